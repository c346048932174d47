"""Several models answering as one: means, votes, learnt weights and meta learners, all in one Keras graph."""
