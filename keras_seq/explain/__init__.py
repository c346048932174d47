"""Why a sequence model says what it says: attributions, their checks, pictures and findings.

All methods explain one masked model: the answer to a sample is compared with what the model says of real training
windows put in its place, step for step (``keras_seq.explain.background``). What a method returns is an
``Attribution`` in raw time and features. Importing this package imports neither TensorFlow nor shap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_seq.explain.attribution import Attribution
    from keras_seq.explain.explainer import Explainer, ExplanationPlan
    from keras_seq.explain.layout import Explanations, read
    from keras_seq.explain.methods.gradients import expected_gradients, gradient_times_input, integrated_gradients
    from keras_seq.explain.run import explain, open_bundle

_HOME = {
    "Attribution": "attribution",
    "Explainer": "explainer",
    "ExplanationPlan": "explainer",
    "Explanations": "layout",
    "expected_gradients": "methods.gradients",
    "explain": "run",
    "gradient_times_input": "methods.gradients",
    "integrated_gradients": "methods.gradients",
    "open_bundle": "run",
    "read": "layout",
}
__all__ = [
    "Attribution",
    "Explainer",
    "ExplanationPlan",
    "Explanations",
    "expected_gradients",
    "explain",
    "gradient_times_input",
    "integrated_gradients",
    "open_bundle",
    "read",
]


def __getattr__(name: str) -> Any:
    """Public names, loaded when first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module 'keras_seq.explain' has no attribute '{name}'")
    return getattr(importlib.import_module(f"keras_seq.explain.{_HOME[name]}"), name)
