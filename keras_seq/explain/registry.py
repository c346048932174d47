"""The methods by name, and which of them fit a model; found out before anything long is started.

A new method is one file in ``keras_seq.explain.methods`` with one decorated function::

    @register(check=needs_gradient)
    def saliency(masked: MaskedModel, *, seed: int = 0) -> Attribution:
        ...

Its keyword-only arguments are its options. Such a file imports neither TensorFlow nor shap at its top: the names of all
methods are listed without them.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from keras_seq.errors import ConfigError, ModelError, nearest
from keras_seq.explain import methods
from keras_seq.explain.attribution import Attribution

if TYPE_CHECKING:
    import keras

    from keras_seq.explain.explained_model import ExplainedModel
    from keras_seq.explain.masked_model import MaskedModel

    Check = Callable[[str, ExplainedModel, keras.Model], object]


@dataclass(frozen=True)
class Method:
    """A method of explanation.

    Attributes:
        function: takes a ``MaskedModel`` and its options by name.
        check: applicability; takes the method's name, the model explained and the bundle's, raises ModelError.
        rank: place in the list of methods.
        main: place among the methods of which ``auto`` takes the first that fits; 0: none of them.
        beside: ``auto`` takes it, too, where it fits.
        offered: False: only there to say why it is not.
    """

    function: Callable[..., Attribution]
    check: Check | None
    rank: int
    main: int
    beside: bool
    offered: bool

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the keyword-only arguments."""
        known = inspect.signature(self.function).parameters.values()
        return tuple(argument.name for argument in known if argument.kind is argument.KEYWORD_ONLY)

    def fits(self, explained: ExplainedModel, model: keras.Model) -> bool:
        """Whether the method can explain a model."""
        try:
            self.require(explained, model)
        except ModelError:
            return False
        return True

    def require(self, explained: ExplainedModel, model: keras.Model) -> None:
        """Refuse a model that the method cannot explain.

        Raises:
            ModelError: says why.
        """
        if self.check:
            self.check(self.function.__name__, explained, model)


_METHODS: dict[str, Method] = {}
F = TypeVar("F", bound=Callable[..., Any])


def register(
    *, check: Check | None = None, rank: int = 100, main: int = 0, beside: bool = False, offered: bool = True
) -> Callable[[F], F]:
    """Decorate a function as the method of its name; see ``Method`` for the arguments."""

    def enter(function: F) -> F:
        _METHODS[function.__name__] = Method(function, check, rank, main, beside, offered)
        return function

    return enter


def needs_gradient(name: str, explained: ExplainedModel, model: keras.Model) -> None:
    """Check of methods that cannot explain models whose answer moves in steps."""
    explained.require_gradient(name)


@cache
def get_methods() -> dict[str, Method]:
    """All methods by name, in the order of their rank."""
    for module in pkgutil.iter_modules(methods.__path__, f"{methods.__name__}."):
        import_module(module.name)
    return dict(sorted(_METHODS.items(), key=lambda item: item[1].rank))


def method_names() -> tuple[str, ...]:
    """Names of the methods that are offered."""
    return tuple(name for name, method in get_methods().items() if method.offered)


def check_names(names: Sequence[str]) -> None:
    """Refuse names that are no method, before TensorFlow is loaded.

    Raises:
        ConfigError: names the nearest method.
        ModelError: ``deep``, which is never run.
    """
    for name in names:
        if name == "auto":
            continue
        if name not in get_methods():
            known = (*method_names(), "auto")
            raise ConfigError(f"Option '--methods': there is no method '{name}'{nearest(name, known)}")
        if not get_methods()[name].offered:
            get_methods()[name].function()


def choose_methods(names: Sequence[str], explained: ExplainedModel, model: keras.Model) -> tuple[str, ...]:
    """The methods to run, in order and once each; ``auto`` stands for those that fit the model best.

    Integrated gradients (trees: Tree SHAP; other models that move in steps: Shapley values by permutation), then
    occlusion, and attention where there is any.

    Raises:
        ModelError: a method that does not fit the model; says why.
    """
    check_names(names)
    chosen: list[str] = []
    for name in names:
        chosen += _fitting(explained, model) if name == "auto" else [name]
    for name in chosen:
        get_methods()[name].require(explained, model)
    return tuple(dict.fromkeys(chosen))


def _fitting(explained: ExplainedModel, model: keras.Model) -> list[str]:
    """Names that ``auto`` stands for."""
    known = get_methods()
    main = sorted((name for name in known if known[name].main), key=lambda name: known[name].main)
    first = next(name for name in main if known[name].fits(explained, model))
    return [first, *(name for name in known if known[name].beside and known[name].fits(explained, model))]


def run_method(name: str, masked: MaskedModel, model: keras.Model, **options: Any) -> Attribution:
    """Attributions of one method; options it does not know are left out."""
    method = get_methods()[name]
    known = {key: value for key, value in ({"model": model} | options).items() if key in method.options}
    return method.function(masked, **known)
