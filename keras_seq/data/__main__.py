"""``python -m keras_seq.data``: the command is in ``keras_seq/commands/data.py``."""

import sys

from keras_seq import cli
from keras_seq.commands.data import main

if __name__ == "__main__":
    sys.exit(cli.run(main))
