"""The one experiment tree: frozen, validated, shared by training, tuning, export and serving.

``Experiment`` <-> YAML file <-> command line. An unknown key is an error that names the nearest
known one. Importing this module imports neither TensorFlow nor pandas.
"""

from keras_seq.config.base import ConfigSection, TaskName
from keras_seq.config.data import (
    AugmentConfig,
    CasterConfig,
    DataConfig,
    SplitConfig,
    WindowsConfig,
)
from keras_seq.config.evaluation import EvaluationConfig, ExportConfig, TargetsConfig, TrackingConfig
from keras_seq.config.experiment import (
    Experiment,
    fields,
    from_dict,
    load,
    override,
    read,
    replace,
    to_dict,
    to_yaml,
    validate,
)
from keras_seq.config.model import HistoryConfig, ModelConfig
from keras_seq.config.training import TrainingConfig

__all__ = [
    "AugmentConfig",
    "CasterConfig",
    "DataConfig",
    "EvaluationConfig",
    "Experiment",
    "ExportConfig",
    "HistoryConfig",
    "ModelConfig",
    "ConfigSection",
    "SplitConfig",
    "TargetsConfig",
    "TaskName",
    "TrackingConfig",
    "TrainingConfig",
    "WindowsConfig",
    "fields",
    "from_dict",
    "load",
    "override",
    "read",
    "replace",
    "to_dict",
    "to_yaml",
    "validate",
]
