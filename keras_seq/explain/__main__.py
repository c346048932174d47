"""``python -m keras_seq.explain``: the command is in ``keras_seq/commands/explain.py``."""

import sys

from keras_seq import cli
from keras_seq.commands.explain import main

if __name__ == "__main__":
    sys.exit(cli.run(main))
