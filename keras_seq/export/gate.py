"""May a version be served? As TFX's Evaluator and InfraValidator decide it, with reasons.

A version is blessed if every format was written and answers as the Keras model, a canary that loads it answers real
windows likewise, it keeps what ``--require`` asks of its metrics, and it is better than the champion in the push
target, or where there is none than the baseline of its own training, by a margin.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keras_seq import files
from keras_seq.bundle import Bundle
from keras_seq.errors import ConfigError, KerasSeqError, nearest
from keras_seq.evaluation.measures import MEASURES
from keras_seq.export.canary import Arrays, Canary
from keras_seq.export.metadata import Source
from keras_seq.export.parity import BRANCH, ParityReport, called_otherwise, has_trees, largest_difference, scale_of

LIMIT = 1e-5  # of the canary's answers, in deviations of the target or as probability
ADDITIVE = 1e-4  # of an explanation: float32 sums over all cells
BLESSED, NOT_BLESSED = "BLESSED", "NOT_BLESSED"
COMPARE = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}
REQUIREMENT = re.compile(r"^\s*(\S(?:.*?\S)?)\s*(<=|>=|<|>)\s*([-+0-9.eE]+)\s*$")  # a target may be called anything


@dataclass(frozen=True)
class Requirement:
    """A bound on a metric: ``rmse<=12``."""

    metric: str
    sign: str
    bound: float


@dataclass(frozen=True)
class Check:
    """One thing the gate looked at: what it found, and why that speaks against the version (empty: it does not)."""

    name: str
    found: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class GateVerdict:
    """The gate's decision."""

    checks: tuple[Check, ...]
    numbers: Mapping[str, float] = field(default_factory=dict)

    @property
    def blessed(self) -> bool:
        """No reason against it."""
        return not self.reasons

    @property
    def reasons(self) -> tuple[str, ...]:
        """All reasons, each with its check."""
        return tuple(f"{check.name}: {reason}" for check in self.checks for reason in check.reasons)

    def to_dict(self) -> dict[str, Any]:
        """As JSON knows it."""
        checks = [asdict(check) | {"passed": not check.reasons} for check in self.checks]
        return {"blessed": self.blessed, "reasons": list(self.reasons), "checks": checks, "numbers": dict(self.numbers)}

    def write(self, folder: Path) -> Path:
        """``BLESSED`` or ``NOT_BLESSED`` with the reasons as JSON."""
        return files.write_json(folder / (BLESSED if self.blessed else NOT_BLESSED), self.to_dict())


def read_verdict(folder: Path) -> dict[str, Any] | None:
    """The verdict in a version; None where it has none. It is blessed only by the file ``BLESSED`` alone."""
    for name in (NOT_BLESSED, BLESSED):
        if (folder / name).is_file():
            return dict(files.read_json(folder / name)) | {"blessed": name == BLESSED}
    return None


def parse_requirements(texts: Sequence[str], bundle: Bundle) -> list[Requirement]:
    """Bounds on test metrics or on what was measured of performance.

    Raises:
        ConfigError: not of the form ``rmse<=12``, or a metric the bundle does not have; names the nearest.
    """
    known, requirements = _metrics(bundle), []
    for text in texts:
        match = REQUIREMENT.match(text)
        try:
            metric, sign, bound = match.groups() if match else ("", "", "none")
            number = float(bound)
        except ValueError:
            raise ConfigError(f"Option '--require' must look like 'rmse<=12', got '{text}'.") from None
        if metric not in known:
            raise ConfigError(f"Option '--require': the bundle has no metric '{metric}'{nearest(metric, known)}")
        requirements.append(Requirement(metric, sign, number))
    return requirements


def _metrics(bundle: Bundle) -> dict[str, float]:
    return {**bundle.metrics.get("performance", {}), **bundle.metrics.get("test", {})}


def check_formats(report: ParityReport, failed: Mapping[str, str]) -> list[Check]:
    """One check a format; one that was not written does not pass."""
    checks = [Check(f"format {name}", "not written", (reason,)) for name, reason in failed.items()]
    return checks + [
        Check(
            f"format {parity.format}",
            f"differs by at most {parity.largest:.2g}, {parity.mean:.2g} on average, on {parity.windows} windows",
            parity.reasons,
        )
        for parity in report.formats
    ]


def check_canary(
    source: Source, folder: Path, windows: Mapping[str, np.ndarray], canary: Canary, name: str
) -> tuple[Check, dict[str, float]]:
    """A canary's answers beside the Keras model's, signature by signature; the check and the differences."""
    label = f"canary ({name})"
    try:
        answers_by_signature = canary(folder, windows)
    except KerasSeqError as error:
        return Check(label, "no answers", (str(error),)), {}
    expected = source.answers(windows)
    apart, reasons = {}, []
    if "serving_default" not in answers_by_signature:
        reasons.append("it gave no answers of serving_default")
    for signature, answers in answers_by_signature.items():
        if signature == "explain":
            apart[signature] = _unexplained(answers)
            if not apart[signature] <= ADDITIVE:
                reasons.append(f"explain does not add up: {apart[signature]:.2g} of its answers is missing")
            continue
        wanted = _wanted(signature, expected, answers)
        lacking = sorted(set(wanted) - set(answers))
        if lacking:
            reasons.append(f"{signature} lacks the answer '{lacking[0]}'")
            continue
        apart[signature] = _apart(wanted, answers, source)
        margin = BRANCH if has_trees(source.model) else LIMIT
        calls = called_otherwise(wanted, dict(answers), margin, source.decision.get("threshold", 0.5))
        if not apart[signature] <= LIMIT:
            reasons.append(f"{signature} differs from the Keras model by {apart[signature]:.2g}, more than {LIMIT:.0e}")
        if calls:
            reasons.append(f"{signature} calls {calls} windows otherwise")
    count = len(windows["values"])
    differences = ", ".join(f"{signature} {value:.1e}" for signature, value in apart.items())
    return Check(label, f"largest differences on {count} windows: {differences or 'none'}", tuple(reasons)), apart


def _unexplained(answers: Arrays) -> float:
    """What base, attributions and the stated error miss of the answers, as a share of the largest."""
    total = answers["attributions"].sum(axis=(1, 2))[:, None] + answers["base"] + answers["error"]
    return float(np.abs(total - answers["explained"]).max() / max(float(np.abs(answers["explained"]).max()), 1e-6))


def check_step(source: Source, path: Path, windows: Mapping[str, np.ndarray]) -> Check:
    """``step.onnx``, row by row through the windows, beside the Keras model's answers to them."""
    from keras_seq.export.canary import last_answers
    from keras_seq.runtime import Stepper

    label, values = "format step", windows["values"]
    try:
        stepper = Stepper(path)
        units = list(range(len(values)))
        answers = last_answers(windows, lambda rows: stepper.step_many(rows, units))
    except KerasSeqError as error:
        return Check(label, "no answers", (str(error),))
    expected = source.answers(windows)
    apart = _apart(expected, answers, source)
    reason = f"it differs from the whole sequences' answers by {apart:.2g}, more than {LIMIT:.0e}"
    text = f"differs by at most {apart:.2g} at the end of {len(values)} windows"
    return Check(label, text, () if apart <= LIMIT else (reason,))


def _wanted(signature: str, expected: Arrays, answers: Arrays) -> Arrays:
    """The Keras model's answers under the names of a signature."""
    if signature == "classify":
        score = expected.get("probabilities", expected.get("probability"))
        assert score is not None
        return {"scores": score if "probabilities" in expected else np.concatenate([1 - score, score], axis=1)}
    if signature == "regress":
        return {"outputs": expected["prediction"]}
    if set(answers) == {""}:  # REST does not name a single answer
        answers[next(iter(expected))] = answers.pop("")
    return expected


def _apart(expected: Arrays, answers: Arrays, source: Source) -> float:
    largest, trees = 0.0, has_trees(source.model)
    for key, value in expected.items():
        if key == "class":
            continue
        if np.shape(answers[key]) != value.shape:
            return float("inf")
        scale = scale_of("prediction" if key == "outputs" else key, source.spec)
        difference = np.abs(np.asarray(answers[key], np.float64) - value) / scale
        largest = max(
            largest, largest_difference(np.where(np.isfinite(difference), difference, np.inf), LIMIT, trees=trees)[0]
        )
    return largest


def check_requirements(bundle: Bundle, wanted: Sequence[Requirement]) -> list[Check]:
    """One check a requirement."""
    known, checks = _metrics(bundle), []
    for need in wanted:
        value, text = known[need.metric], f"{need.metric}{need.sign}{need.bound:g}"
        met = COMPARE[need.sign](value, need.bound)
        reasons = () if met else (f"{need.metric} is {value:.6g}, required is {need.sign} {need.bound:g}",)
        checks.append(Check(f"require {text}", f"{need.metric} {value:.6g}", reasons))
    return checks


def check_baseline(bundle: Bundle, margin: float) -> Check:
    """The model beside the cheap one trained on the same split."""
    baseline = bundle.metrics.get("baseline") or {}
    if not baseline.get("test"):
        return Check("baseline", "none was trained with the bundle, so nothing is compared")
    name = MEASURES[bundle.spec.task][0].name
    own, other = bundle.metrics.get("test", {}).get(name), baseline["test"].get(name)
    return compare(bundle, own, other, margin, check="baseline", rival=f"the baseline ({baseline.get('name')})")


def check_members(bundle: Bundle) -> list[Check]:
    """An ensemble beside the member that is best by itself on validation, on the test part; none for other bundles."""
    groups = bundle.data.get("ensemble", {}).get("groups", [])
    measure = MEASURES[bundle.spec.task][0]
    known = [group for group in groups if measure.name in group.get("metrics", {}).get("validation", {})]
    if not known:
        return []
    sign = -1 if measure.higher_is_better else 1
    best = min(known, key=lambda group: sign * group["metrics"]["validation"][measure.name])
    own, other = (of.get("test", {}).get(measure.name) for of in (bundle.metrics, best["metrics"]))
    return [compare(bundle, own, other, 0.0, check="best member", rival=f"its own member '{best['name']}'")]


def compare(bundle: Bundle, own: float | None, other: float | None, margin: float, *, check: str, rival: str) -> Check:
    """Is the deciding metric better by ``margin``, a share of the rival's? A margin of 0: not worse."""
    measure = MEASURES[bundle.spec.task][0]
    if own is None or other is None:
        which = "the candidate" if own is None else rival
        return Check(check, "not comparable", (f"{which} has no {measure.name} on the test part",))
    bound = other * (1 + margin) if measure.higher_is_better else other * (1 - margin)
    passed = own >= bound if measure.higher_is_better else own <= bound
    text = f"{measure.name} {own:.6g} against {other:.6g} of {rival}"
    wanted = f"better by {margin:.3g} of it" if margin else "no worse"
    return Check(check, text, () if passed else (f"{text}, must be {wanted}",))
