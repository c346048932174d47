"""Features of windows in numpy, for what is fitted outside a graph."""
