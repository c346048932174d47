"""``python -m keras_seq.compress``: the command is in ``keras_seq/commands/compress.py``."""

import sys

from keras_seq import cli
from keras_seq.commands.compress import main

if __name__ == "__main__":
    sys.exit(cli.run(main))
