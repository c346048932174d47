# The public names with their types; they load what they need when first used, so __init__.py cannot import them.
from keras_seq.bundle import load_bundle as load_bundle
from keras_seq.config import Experiment as Experiment
from keras_seq.config import load as load_config
from keras_seq.data.prepare import prepare as prepare
from keras_seq.data.sources import load_series as load_series
from keras_seq.errors import KerasSeqError as KerasSeqError
from keras_seq.models.build import build_model as build_model
from keras_seq.models.registry import register as register

__all__ = [
    "__version__",
    "Experiment",
    "load_config",
    "KerasSeqError",
    "load_series",
    "prepare",
    "build_model",
    "register",
    "load_bundle",
]

__version__: str
