"""shap's DeepExplainer, which is never run."""

from __future__ import annotations

from typing import NoReturn

from keras_seq.errors import ModelError
from keras_seq.explain.registry import register


@register(offered=False)
def deep(masked: object = None) -> NoReturn:
    """Refuse: it fails on recurrent networks and spoils the gradients of the whole process.

    Raises:
        ModelError: always.
    """
    raise ModelError(
        "Method 'deep' is not offered: shap's DeepExplainer cannot differentiate recurrent layers, and after the "
        "attempt TensorFlow's own gradients fail in the same process. Use --methods integrated_gradients, which is "
        "exact to a stated error, or gradient_shap."
    )
