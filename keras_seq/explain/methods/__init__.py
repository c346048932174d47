"""Methods of explanation, one file each or one a family; see ``keras_seq.explain.registry``."""
