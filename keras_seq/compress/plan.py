"""What to do in which order: ``prune+cluster`` and the like, checked before anything heavy is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from keras_seq.errors import ConfigError, nearest

if TYPE_CHECKING:
    from keras_seq.bundle import Bundle

STAGES = ("prune", "cluster", "qat", "ptq")
METHODS = (
    "prune", "cluster", "qat", "ptq", "auto",
    "prune+cluster", "prune+qat", "prune+ptq", "cluster+ptq", "qat+ptq",
    "prune+cluster+ptq", "prune+qat+ptq", "auto+cluster", "auto+qat", "auto+ptq",
    "auto+cluster+ptq", "auto+qat+ptq",
)  # fmt: skip
RATES = {"prune": 1.0, "cluster": 0.1, "qat": 0.1}  # of the learning rate of training
SHARES = {"prune": 1.0, "cluster": 1 / 3, "qat": 1 / 3}  # of the epochs: a trained model that is only rounded overfits


@dataclass(frozen=True)
class CompressionPlan:
    """A checked request.

    Attributes:
        method: of ``METHODS``; "auto" is pruning with a measured sparsity for each layer.
        sparsity: share of zeros among the kernel weights.
        clusters: values of a kernel.
        epochs: of pruning, clustering and QAT take a third of them; 0: a third of the training's, at least 5.
        loss: relative loss of the metric that is borne, for what is kept of the int8 forms and said of the result.
        seconds: limit of each stage.
    """

    method: str
    sparsity: float = 0.7
    clusters: int = 16
    epochs: int = 0
    loss: float = 0.02
    seconds: float = 3600.0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(
                f"--method: there is no '{self.method}'{nearest(self.method, METHODS)} Pruning comes first, ptq last; "
                "qat and cluster exclude each other, since training with rounding moves shared values apart."
            )
        if not 0 < self.sparsity < 1:
            raise ConfigError(f"--sparsity must lie between 0 and 1 (0.7: 70 % zeros), got {self.sparsity:g}.")
        if self.measured and self.sparsity > 0.9:
            raise ConfigError(
                f"--sparsity {self.sparsity:g} with --method {self.method}: layers are measured up to 90 % zeros; give "
                "0.9 or less, or use --method prune for the same sparsity in every layer."
            )
        if not 3 <= self.clusters <= 256:
            raise ConfigError(f"--clusters must be 3 to 256 values a kernel, got {self.clusters}.")
        if self.epochs < 0:
            raise ConfigError(f"--epochs must be at least 1, or 0 for a third of the training's, got {self.epochs}.")
        if not 0 < self.loss < 1:
            raise ConfigError(f"--loss must lie between 0 and 1 (0.02: 2 % of the metric), got {self.loss:g}.")
        if self.seconds <= 0:
            raise ConfigError(f"--minutes must be above 0, got {self.seconds / 60:g}.")

    @property
    def stages(self) -> tuple[str, ...]:
        """Of ``STAGES``, in order."""
        return tuple(self.method.replace("auto", "prune").split("+"))

    @property
    def measured(self) -> bool:
        """Each layer's sparsity is chosen by measurement."""
        return self.method.startswith("auto")

    def options(self, bundle: Bundle, stage: str, by_layer: Mapping[str, float]) -> dict[str, Any]:
        """What ``finetune.run_stage`` needs."""
        training = bundle.experiment.training
        epochs = self.epochs or max(5, training.epochs // 3)
        return {
            "sparsity": dict(by_layer),
            "clusters": self.clusters,
            "epochs": max(min(epochs, 2), round(epochs * SHARES[stage])),
            "learning_rate": training.learning_rate * RATES[stage],
        }

    def to_dict(self) -> dict[str, Any]:
        """As JSON knows it."""
        return asdict(self)


def check_bundle(bundle: Bundle, plan: CompressionPlan) -> None:
    """Refuse what cannot be compressed.

    Raises:
        ConfigError: a fitted family, an ensemble, no layer with kernels, or no validation windows to judge on.
    """
    from keras_seq.compress.kernels import LEAST, compressible
    from keras_seq.models.registry import networks

    family = bundle.experiment.model.family
    if "ensemble" in bundle.data:
        raise ConfigError(
            f"Bundle '{bundle.folder}' is an ensemble. Compress its members, then build the ensemble from them: "
            "python -m keras_seq.ensemble."
        )
    if family not in networks():
        raise ConfigError(
            f"Bundle '{bundle.folder}' is of family '{family}', which is fitted, not trained by gradients: it has no "
            "layers to prune, cluster or quantise. Give a network (lstm, gru, bilstm, cnn_lstm, tcn, transformer, "
            "attention_lstm), or make the model smaller by model.trees.*."
        )
    if not compressible(bundle.model):
        raise ConfigError(
            f"Bundle '{bundle.folder}' has no layer with {LEAST} or more kernel weights; there is nothing to gain by "
            f"--method {plan.method}."
        )
    validation = bundle.data.get("statistics", {}).get("validation", {})
    if not validation.get("windows", 1):
        raise ConfigError(
            f"Bundle '{bundle.folder}' was trained without validation windows, so nothing can be judged; train again "
            "with data.split.validation above 0."
        )
