"""The search space: data, checked against the experiment's own fields before the first trial.

::

    space:
      model.family: [lstm, gru]                                   # a choice
      model.units: {low: 32, high: 128, step: 32}                 # whole numbers, by the field's type
      training.learning_rate: {low: 5.0e-4, high: 1.0e-2, log: true}
      model.history.ewm: [[], [0.9], [0.8, 0.97]]                 # any value the field takes
      model.heads: {choices: [2, 4, 8], when: {model.family: [transformer]}}
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from keras_seq import config
from keras_seq.errors import ConfigError, nearest

if TYPE_CHECKING:
    import keras_tuner as kt

Value: TypeAlias = Any  # of a field, as JSON holds it; a list as a tuple

# what is judged must stay the same from trial to trial
_JUDGED: tuple[str, ...] = ("name", "output", "evaluation.", "tracking.", "export.", "data.split.", "data.caster.")
_JUDGED += ("data.source", "data.subset", "data.home", "data.path", "data.schema_file", "data.task", "data.targets")
_JUDGED += ("data.url", "data.query", "data.table", "data.table_schema", "data.statement_timeout")
_JUDGED += ("data.target_cap", "data.unit", "data.group", "data.time", "data.windows.horizon")
_KEYS = ("choices", "low", "high", "step", "log", "when")


@dataclass(frozen=True)
class Parameter:
    """Searched field: choices, or a range.

    Attributes:
        field: dotted name.
        kind: "choice", "int" or "float".
        choices: of a choice, any values the field takes.
        low, high: of a range, both included.
        step: between two values of a range (None: any).
        log: sample the logarithm evenly.
        when: ``{"model.family": ("lstm", "gru")}``: only tried where these parameters have such values.
    """

    field: str
    kind: str
    choices: tuple[Value, ...] = ()
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    log: bool = False
    when: Mapping[str, tuple[Value, ...]] = dataclasses.field(default_factory=dict)


def parse(tree: Mapping[str, Any], experiment: config.Experiment) -> tuple[Parameter, ...]:
    """Check a space against the experiment and put parents before their children.

    Args:
        tree: as in the configuration file.
        experiment: that is varied.

    Raises:
        ConfigError: an unknown field, a value outside the field's type or range, a field that decides what is
            judged, or a condition on something that is not searched.
    """
    if not tree:
        raise ConfigError("Option 'tuning.space' is empty; name at least one field, or leave it out for the default.")
    parameters = {name: _parameter(name, entry, experiment) for name, entry in tree.items()}
    possible = {name: p for name, p in parameters.items() if _possible(p, parameters, experiment)}
    return tuple(_parents_first({name: _conditions(p, possible) for name, p in possible.items()}))


def register(hp: kt.HyperParameters, parameters: Sequence[Parameter], experiment: config.Experiment) -> None:
    """Declare the parameters to KerasTuner; the experiment's own values are the defaults where they can be."""
    for parameter in parameters:
        current = current_value(experiment, parameter.field)
        with ExitStack() as scopes:
            for parent, values in parameter.when.items():
                scopes.enter_context(hp.conditional_scope(parent, [_encode(parameters, parent, v) for v in values]))
            if parameter.kind == "choice":
                encoded = [_code(parameter, choice) for choice in parameter.choices]
                mine = _code(parameter, _hashable(current))
                hp.Choice(parameter.field, encoded, default=mine if mine in encoded else None, ordered=False)
            else:
                _range(hp, parameter, current)


def decode(parameters: Sequence[Parameter], values: Mapping[str, Any]) -> dict[str, Any]:
    """What KerasTuner chose as values of fields; parameters whose condition does not hold are left out."""
    chosen: dict[str, Value] = {}
    for parameter in parameters:
        holds = all(chosen.get(parent) in allowed for parent, allowed in parameter.when.items())
        if holds and parameter.field in values:
            chosen[parameter.field] = _decode(parameter, values[parameter.field])
    return chosen


def own_values(parameters: Sequence[Parameter], experiment: config.Experiment) -> dict[str, Any] | None:
    """The experiment's own values, as KerasTuner writes them; None where one of them lies outside the space."""
    if outside(parameters, experiment):
        return None
    return {
        parameter.field: _code(parameter, _hashable(current_value(experiment, parameter.field)))
        for parameter in active(parameters, experiment)
    }


def outside(parameters: Sequence[Parameter], experiment: config.Experiment) -> list[str]:
    """The fields whose own value the space does not hold: another choice, beyond a range, or between its steps."""
    return [
        parameter.field
        for parameter in active(parameters, experiment)
        if not _holds(parameter, _hashable(current_value(experiment, parameter.field)))
    ]


def active(parameters: Sequence[Parameter], experiment: config.Experiment) -> list[Parameter]:
    """The parameters whose conditions hold for the experiment as it is."""
    return [
        parameter
        for parameter in parameters
        if all(_hashable(current_value(experiment, name)) in allowed for name, allowed in parameter.when.items())
    ]


def every_whole_number(parameter: Parameter) -> list[int]:
    """All values of a range of whole numbers, ascending."""
    if parameter.step is not None:
        return [int(_decode(parameter, number)) for number in range(_steps(parameter) + 1)]
    return list(range(int(parameter.low), int(parameter.high) + 1))


def current_value(experiment: config.Experiment, name: str) -> Value:
    """Value of a dotted field, as plain JSON knows it."""
    value: Any = config.to_dict(experiment)
    for key in name.split("."):
        value = value[key]
    return value


# ---------------------------------------------------------------- reading one entry


def _parameter(name: str, entry: object, experiment: config.Experiment) -> Parameter:
    known = config.fields()
    if name not in known:
        raise ConfigError(f"Option 'tuning.space': there is no field '{name}'{nearest(name, known)}")
    if any(name == judged or (judged.endswith(".") and name.startswith(judged)) for judged in _JUDGED):
        raise ConfigError(
            f"Option 'tuning.space.{name}' decides what is judged or where it is kept, so trials could not be "
            "compared; set it in the experiment instead."
        )
    if isinstance(entry, list):
        entry = {"choices": entry}
    if not isinstance(entry, Mapping):
        raise ConfigError(
            f"Option 'tuning.space.{name}' must be a list of values or a mapping with low and high, got {entry!r}."
        )
    for key in entry:
        if key not in _KEYS:
            raise ConfigError(f"Option 'tuning.space.{name}.{key}' is unknown{nearest(str(key), _KEYS)}")
    when = {parent: _as_tuple(values) for parent, values in (entry.get("when") or {}).items()}
    if "choices" in entry:
        return _choice(name, entry, when, experiment)
    return _interval(name, entry, when, experiment)


def _choice(name: str, entry: Mapping[str, Any], when: dict[str, Any], experiment: config.Experiment) -> Parameter:
    choices = entry["choices"]
    if not isinstance(choices, list) or not choices:
        raise ConfigError(f"Option 'tuning.space.{name}': choices must be a list with a value, got {choices!r}.")
    if extra := sorted(set(entry) & {"low", "high", "step", "log"}):
        raise ConfigError(f"Option 'tuning.space.{name}' has choices, so '{extra[0]}' has no meaning; leave it out.")
    checked = [_checked(name, choice, experiment) for choice in choices]
    return Parameter(name, "choice", tuple(dict.fromkeys(map(_hashable, checked))), when=when)


def _interval(name: str, entry: Mapping[str, Any], when: dict[str, Any], experiment: config.Experiment) -> Parameter:
    for key in ("low", "high"):
        if not isinstance(entry.get(key), int | float) or isinstance(entry.get(key), bool):
            raise ConfigError(f"Option 'tuning.space.{name}': '{key}' must be a number, got {entry.get(key)!r}.")
    low, high = (_checked(name, entry[key], experiment) for key in ("low", "high"))
    if not all(isinstance(end, int | float) and not isinstance(end, bool) for end in (low, high)):
        raise ConfigError(f"Option 'tuning.space.{name}' holds no numbers; give a list of choices.")
    if low >= high:
        raise ConfigError(f"Option 'tuning.space.{name}': low must be below high, got {low} and {high}.")
    log, step = bool(entry.get("log", False)), entry.get("step")
    if log and low <= 0:
        raise ConfigError(f"Option 'tuning.space.{name}': log needs low above 0, got {low}.")
    if step is not None and not (isinstance(step, int | float) and step > (1 if log else 0)):
        raise ConfigError(f"Option 'tuning.space.{name}': step must be above {1 if log else 0}, got {step!r}.")
    kind = "int" if isinstance(low, int) and isinstance(high, int) else "float"
    return Parameter(name, kind, (), low, high, step, log, when)


def _checked(name: str, value: Value, experiment: config.Experiment) -> Value:
    """The value as the field holds it; refuses what the field does not take."""
    try:
        taken = current_value(config.replace(experiment, **{name: value}), name)
    except ConfigError as error:
        raise ConfigError(f"Option 'tuning.space.{name}': {error}") from None
    if name == "model.family":
        from keras_seq.models.registry import names

        if taken not in names():
            raise ConfigError(f"Option 'tuning.space.model.family': no family '{taken}'{nearest(taken, names())}")
    return taken


# ---------------------------------------------------------------- conditions


def _possible(parameter: Parameter, all_of_them: Mapping[str, Parameter], experiment: config.Experiment) -> bool:
    """Whether conditions on fields that are not searched hold; those on searched ones may."""
    for parent, allowed in parameter.when.items():
        if parent not in config.fields():
            raise ConfigError(
                f"Option 'tuning.space.{parameter.field}.when': no field '{parent}'{nearest(parent, config.fields())}"
            )
        if parent not in all_of_them and _hashable(current_value(experiment, parent)) not in allowed:
            return False
    return True


def _conditions(parameter: Parameter, searched: Mapping[str, Parameter]) -> Parameter:
    when = {}
    for parent, allowed in parameter.when.items():
        if parent not in searched:
            continue
        if searched[parent].kind != "choice":
            raise ConfigError(
                f"Option 'tuning.space.{parameter.field}.when': '{parent}' is a range; conditions need choices."
            )
        if unknown := [value for value in allowed if value not in searched[parent].choices]:
            raise ConfigError(
                f"Option 'tuning.space.{parameter.field}.when': '{parent}' is never {unknown[0]!r}; its choices are "
                f"{list(searched[parent].choices)}."
            )
        when[parent] = allowed
    return dataclasses.replace(parameter, when=when)


def _parents_first(parameters: Mapping[str, Parameter]) -> Iterator[Parameter]:
    done: set[str] = set()
    waiting = dict(parameters)
    while waiting:
        ready = [name for name, p in waiting.items() if all(parent in done for parent in p.when)]
        if not ready:
            raise ConfigError(f"Option 'tuning.space': the conditions of {', '.join(waiting)} wait for each other.")
        for name in ready:
            done.add(name)
            yield waiting.pop(name)


# ---------------------------------------------------------------- KerasTuner's values and ours


def _range(hp: kt.HyperParameters, parameter: Parameter, current: Value) -> None:
    """A range with steps is searched by the number of its step: KerasTuner's own steps miss values by rounding."""
    mine = _code(parameter, current) if _holds(parameter, current) else None
    if parameter.step is not None:
        hp.Int(parameter.field, 0, _steps(parameter), default=mine)
        return
    kind = hp.Int if parameter.kind == "int" else hp.Float
    sampling = "log" if parameter.log else "linear"
    kind(parameter.field, parameter.low, parameter.high, sampling=sampling, default=mine)


def _steps(parameter: Parameter) -> int:
    """Number of the last step of a range."""
    return math.floor(_place(parameter, parameter.high) + 1e-9)


def _place(parameter: Parameter, value: float) -> float:
    """How many steps above the low end of its range a value lies."""
    step = float(parameter.step or 1)
    return math.log(value / parameter.low, step) if parameter.log else (value - parameter.low) / step


def _holds(parameter: Parameter, value: object) -> bool:
    if parameter.kind == "choice":
        return value in parameter.choices
    if isinstance(value, bool) or not isinstance(value, int | float) or not parameter.low <= value <= parameter.high:
        return False
    if parameter.step is None:
        return True
    place = _place(parameter, value)
    return math.isclose(place, round(place), abs_tol=1e-9)


def _plain(parameter: Parameter) -> bool:
    """Whether KerasTuner can hold the choices themselves: all of one of its three types."""
    return any(all(type(choice) is kind for choice in parameter.choices) for kind in (str, int, float))


def _code(parameter: Parameter, value: Value) -> Value:
    if parameter.kind != "choice":
        return value if parameter.step is None else round(_place(parameter, value))
    return value if _plain(parameter) else json.dumps(value)


def _encode(parameters: Sequence[Parameter], name: str, value: Value) -> Value:
    return _code(next(p for p in parameters if p.field == name), value)


def _decode(parameter: Parameter, value: Value) -> Value:
    if parameter.kind != "choice" and parameter.step is not None:
        number = round(value)
        value = parameter.low * parameter.step**number if parameter.log else parameter.low + parameter.step * number
    if parameter.kind == "int":  # KerasTuner's logarithmic whole numbers pass their upper end by one
        return min(max(round(value), int(parameter.low)), int(parameter.high))
    if parameter.kind == "choice" and not _plain(parameter):
        return _hashable(json.loads(value))
    return value


def _hashable(value: Value) -> Value:
    return tuple(_hashable(item) for item in value) if isinstance(value, list) else value


def _as_tuple(values: Value) -> tuple[Value, ...]:
    return tuple(_hashable(value) for value in values) if isinstance(values, list) else (_hashable(values),)
