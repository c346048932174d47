"""What a user's table seems to hold, and the experiment that fits it; ``keras_seq.init`` is its command line.

``table`` (facts of every column) -> ``roles`` and ``target`` (which column
plays which part) -> ``plan`` (the experiment, each value with its reason) -> ``write`` (commented YAML).
"""
