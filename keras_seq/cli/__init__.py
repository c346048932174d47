"""What every command line shares: parser, JSON documents, one paragraph for a mistake, the list of commands."""

from keras_seq.cli.output import Lines, Result
from keras_seq.cli.parser import Parser, experiment_parser, parse_experiment, read_overrides, refuse_other_sections
from keras_seq.cli.runner import command, run

__all__ = [
    "Lines",
    "Parser",
    "Result",
    "command",
    "experiment_parser",
    "parse_experiment",
    "read_overrides",
    "refuse_other_sections",
    "run",
]
