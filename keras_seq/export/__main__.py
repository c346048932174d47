"""``python -m keras_seq.export``: the command is in ``keras_seq/commands/export.py``."""

import sys

from keras_seq import cli
from keras_seq.commands.export import main

if __name__ == "__main__":
    sys.exit(cli.run(main))
