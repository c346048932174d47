"""Names of the columns of a table of answers: one rule for files, streams, the client and reports.

The table's own names stay: the unit column, the time column, and each target for its point answer. Beside them stand
words of ours: ``unit`` and ``row`` where the table names no unit and no time, ``steps_ahead``, ``forecast_time``,
``class``, ``probability``, ``probability_<class>``, ``<target>_lower``, ``<target>_upper``, ``<target>_q05`` and, in a
stream, ``..._ahead1``.

Where one of these would meet another name, all of its kind get one more underscore, and one more until every name is
unique: behind a target or class in the middle (``temp__lower``), of words that stand alone in front (``_class``,
``_row``). Quantile levels are exact: ``q05``, ``q50``, ``q2.5``, ``q99.9``.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from keras_seq.data.series import Schema
from keras_seq.data.spec import DataSpec
from keras_seq.errors import ConfigError
from keras_seq.tasks import classifies

ENDS = ("lower", "upper")


def level_name(level: float) -> str:
    """Name of a quantile level: ``q05`` for 0.05, ``q2.5`` for 0.025."""
    percent = Decimal(repr(float(level))) * 100
    if percent == percent.to_integral_value():
        return f"q{int(percent):02d}"
    return f"q{percent.normalize():f}"


@dataclass(frozen=True)
class AnswerColumns:
    """Names of the columns of one table of answers.

    Attributes:
        unit: the column that names units; None: ours.
        clock: the time column; None: the row's number stands there.
        targets: point answers.
        classes: of a multiclass model.
        levels: quantiles that stand instead of point answers.
        horizon: steps ahead of a forecast; 0: none.
        joints: underscores between a name and a word of ours.
        lead: underscores before a word of ours that stands alone.
    """

    unit: str | None
    clock: str | None
    targets: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    levels: tuple[float, ...] = ()
    horizon: int = 0
    joints: int = 1
    lead: int = 0

    def word(self, text: str) -> str:
        """A name of ours that no target stands in: ``class``, ``row``, ``steps_ahead``."""
        return "_" * self.lead + text

    def join(self, name: str, text: str) -> str:
        """A name with a word of ours behind it."""
        return f"{name}{'_' * self.joints}{text}"

    @property
    def unit_name(self) -> str:
        """Name of the column that names units."""
        return self.word("unit") if self.unit is None else self.unit

    @property
    def clock_name(self) -> str:
        """Name of the column with the time or the number of the last row seen."""
        return self.word("row") if self.clock is None else self.clock

    def of_class(self, label: str) -> str:
        """Name of the column with a class's probability."""
        return self.join(self.word("probability"), label)

    def end(self, target: str, side: str) -> str:
        """Name of an end (``lower``, ``upper``) of a target's interval."""
        return self.join(target, side)

    def quantile(self, target: str, level: float) -> str:
        """Name of a target's quantile."""
        return self.join(target, level_name(level))

    def ahead(self, name: str, steps: int) -> str:
        """Name of an answer so many steps ahead, where each step has a column."""
        return self.join(name, f"ahead{steps}") if self.horizon else name

    def derived(self) -> list[str]:
        """Names of ours behind a target or a class."""
        if not self.targets:
            return [self.of_class(label) for label in self.classes]
        quantiles = [self.quantile(target, level) for target in self.targets for level in self.levels]
        return quantiles + [self.end(target, side) for target in self.targets for side in ENDS]

    def alone(self) -> list[str]:
        """Names that stand alone: the table's own, and words of ours."""
        words = [] if self.targets else [self.word("class"), self.word("probability")]
        steps = [self.word("steps_ahead"), self.word("forecast_time")] if self.horizon else []
        return [self.unit_name, self.clock_name, *self.targets, *words, *steps]

    def clashes(self) -> bool:
        """Whether a name behind a target or class would be read in two ways, in the table of a file or in a stream."""
        alone, derived = self.alone(), self.derived()
        if len({*alone, *derived}) < len(alone) + len(derived):
            return True
        pattern = re.compile(rf"(.*){'_' * self.joints}ahead[1-9][0-9]*", re.S)
        answers = {*self.targets, *derived}
        matches = [pattern.fullmatch(name) for name in alone] if self.horizon else []
        return any(match and match[1] in answers for match in matches)


def answer_columns(
    *,
    unit: str | None,
    clock: str | None,
    task: str,
    targets: Sequence[str],
    classes: Sequence[str] = (),
    levels: Sequence[float] = (),
    horizon: int = 0,
) -> AnswerColumns:
    """Column names of one table of answers.

    Args:
        unit: the table's unit column, if it has one.
        clock: its time column, if it has one.
        task: of the model.
        targets: columns that are predicted.
        classes: of the model, by number.
        levels: quantiles that are answered instead of points.
        horizon: steps ahead of a forecast; 0: none.

    Raises:
        ConfigError: the table's own names (unit, time, targets) are not different.
    """
    by_class = classifies(task)
    _check_unique(unit, clock, targets, classes, by_class=by_class)
    names = AnswerColumns(
        unit=unit,
        clock=clock,
        targets=() if by_class else tuple(targets),
        classes=tuple(classes) if task == "multiclass" else (),
        levels=tuple(levels),
        horizon=horizon,
    )
    while len(set(names.alone())) < len(names.alone()):
        names = replace(names, lead=names.lead + 1)
    while names.clashes():
        names = replace(names, joints=names.joints + 1)
    return names


def _check_unique(
    unit: str | None, clock: str | None, targets: Sequence[str], classes: Sequence[str], *, by_class: bool
) -> None:
    """Refuse a column that plays two parts, and classes of one name."""
    own = [name for name in (unit, clock, *(() if by_class else targets)) if name is not None]
    doubled = [name for name, count in Counter(own).items() if count > 1]
    if doubled:
        raise ConfigError(
            f"Column '{doubled[0]}' plays two parts among unit ({unit}), time ({clock}) and targets "
            f"({', '.join(targets)}), so a table of answers would hold two columns of that name. Copy the column under "
            "another name and let each part have its own."
        )
    if len(set(classes)) < len(classes):
        raise ConfigError(
            f"The model has several classes of one name ({', '.join(classes)}), so their answers could not be told "
            "apart. Give every class its own text and train again."
        )


def columns_for(spec: DataSpec, schema: Schema, *, clock: str | None, levels: Sequence[float]) -> AnswerColumns:
    """Column names of the answers of a model.

    Args:
        spec: of the model.
        schema: of its data.
        clock: time column of the table that is answered; None: it has none.
        levels: quantiles that are answered instead of points.

    Raises:
        ConfigError: as ``answer_columns``.
    """
    return answer_columns(
        unit=schema.unit_column,
        clock=clock,
        task=spec.task,
        targets=spec.targets,
        classes=spec.classes,
        levels=levels,
        horizon=spec.horizon,
    )


def output_columns(own: Sequence[str], outputs: Mapping[str, int]) -> dict[str, list[str]]:
    """Column names for outputs that no description explains: ``name``, or ``name_0``, ``name_1`` for several numbers.

    Args:
        own: names of the columns beside them.
        outputs: numbers an answer by output.
    """
    joints = 1
    while True:
        head = "_" * (joints - 1)
        names = {
            name: [head + name] if count == 1 else [f"{head}{name}{'_' * joints}{number}" for number in range(count)]
            for name, count in outputs.items()
        }
        flat = [*itertools.chain(*names.values())]
        if len(set(flat) - set(own)) == len(flat):
            return names
        joints += 1
