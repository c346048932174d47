"""Command lines, one file each: ``python -m keras_seq.NAME`` runs ``keras_seq/commands/NAME.py``."""
