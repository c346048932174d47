"""The commands there are, in the order of the path: data, model, proof, tuning, explanation, export, serving."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """One command line.

    Attributes:
        name: as in ``python -m NAME``.
        what: it does, in one line.
    """

    name: str
    what: str

    @property
    def short(self) -> str:
        """As in ``python -m keras_seq SHORT``."""
        return self.name.removeprefix("keras_seq.")

    @property
    def module(self) -> str:
        """Where its ``main`` is."""
        if self.name.startswith("keras_seq."):
            return f"keras_seq.commands.{self.short}"
        return f"{self.name}.__main__"


GROUPS: dict[str, tuple[Command, ...]] = {
    "data": (
        Command("keras_seq.data", "known data sets, their state and quality"),
        Command("keras_seq.init", "a first, commented configuration for your own table"),
        Command("keras_seq.select", "which input features are worth having, chosen on training units only"),
    ),
    "model": (
        Command("keras_seq.train", "data -> trained bundle, record and served version"),
        Command("keras_seq.devices", "what TensorFlow can compute on here, and whether LSTM and GRU use cuDNN"),
        Command("keras_seq.predict", "answers of a bundle for a CSV or Parquet file, or row by row"),
        Command("keras_seq.ensemble", "several bundles as one: means, votes, learnt weights, stacking, bagging"),
        Command("keras_seq.bridge", "weights of an equivalent PyTorch network -> bundle"),
    ),
    "proof": (
        Command("keras_seq.evaluate", "judge a bundle on a part of its data"),
        Command("keras_seq.crossval", "train over the folds of a split and several seeds; mean and deviation"),
        Command("keras_seq.backtest", "train anew as time goes on, judge each period by the model of its time"),
        Command("keras_seq.compare", "which of several models is better, and is that sure"),
        Command("keras_seq.temporal", "where and when a model errs: by band, length and position"),
        Command("keras_seq.ablate", "what each component is worth: switched off one by one, several seeds"),
        Command("keras_seq.report", "one self-contained HTML page of a run"),
        Command("keras_seq.status", "what the store holds: best runs, champions, last drift and retraining"),
    ),
    "tuning": (Command("tuning", "search for better hyperparameters; status, winner, Pareto front, report"),),
    "explanation": (Command("keras_seq.explain", "why a model says so: which inputs, when, and how faithful that is"),),
    "export": (
        Command("keras_seq.export", "a bundle in every format, proved, judged and pushed to where a server loads it"),
        Command("keras_seq.compress", "prune, cluster or quantise a bundle; what that costs"),
        Command("keras_seq.benchmark", "every format of a bundle: accuracy, size, latency, memory"),
    ),
    "serving": (
        Command("serving", "answer over REST and gRPC with TensorFlow Serving's contract"),
        Command("serving.client", "ask a server: predict, status, metadata"),
        Command("serving.monitor", "what a server's monitor has seen; labels; rates"),
        Command("serving.rollout", "which version answers: canary, shadow, the way back"),
        Command("serving.retrain", "train on new data and serve the result if it is better"),
        Command("serving.tf_serving", "files for Docker Compose, Kubernetes and KServe"),
    ),
    "shell": (Command("keras_seq.completion", "completion of all this with TAB, for bash, zsh and fish"),),
}
COMMANDS = {command.name: command for group in GROUPS.values() for command in group}


def find(word: str) -> Command | None:
    """The command that a word means: its name, or that without ``keras_seq.``; None if there is none."""
    return COMMANDS.get(word) or COMMANDS.get(f"keras_seq.{word}")
