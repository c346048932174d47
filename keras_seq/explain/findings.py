"""The findings in words, each with its numbers: what a reader should know first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_seq.explain import views
from keras_seq.explain.attribution import Attribution
from keras_seq.explain.drawing import label
from keras_seq.explain.output_target import in_steps

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST = 5


def findings(
    attribution: Attribution,
    values: NDArray[np.floating],
    *,
    constant: Sequence[str] = (),
    agreement: Sequence[Mapping[str, Any]] = (),
    areas: Mapping[str, tuple[float, float]] | None = None,
    interactions: Sequence[Mapping[str, Any]] = (),
    importance: Sequence[Mapping[str, Any]] = (),
    words: Sequence[Mapping[str, Any]] = (),
) -> list[dict[str, Any]]:
    """At most five findings: the main sensors, when they matter, one telling sample, what belongs together, trust.

    Args:
        attribution: attributions of the main method.
        values: of the samples, raw ``(samples, time, features)``.
        constant: features that never change.
        agreement: of the methods.
        areas: of deletion and insertion by method, with ``random``.
        interactions: of the top sensors.
        importance: permutation importance.
        words: what each word of a column of words does.
    """
    paragraphs = [_top(attribution, values, words), _when(attribution), _sample(attribution)]
    if interactions and interactions[0]["strength"] > 0:
        paragraphs.append(_together(attribution, interactions))
    elif importance:
        paragraphs.append(_needed(importance))
    paragraphs.append(_trust(attribution, agreement, areas or {}, constant))
    return paragraphs[:MOST]


def _unit(attribution: Attribution) -> str:
    return f" {attribution.output_unit}" if attribution.output_unit else ""


def _name(attribution: Attribution) -> str:
    return attribution.method.replace("_", " ")


def _top(
    attribution: Attribution, values: NDArray[np.floating], words: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    if not attribution.by_sensor:
        text = (
            f"{_name(attribution).capitalize()} tells where in time the model reads, not which sensors it uses nor "
            "what moves the answer. Ask for another method as well, such as --methods integrated_gradients or "
            "occlusion."
        )
        return {"title": "Which sensors decide", "text": text, "numbers": {"top": [], "sensors_for_80_percent": None}}
    rows = views.sensors(attribution, values)
    first = rows[0]
    shares = np.cumsum([row["share"] for row in rows])
    enough = int(np.searchsorted(shares, 0.8)) + 1
    text = (
        f"{label(first['feature'])} moves {attribution.output} most: {first['importance']:.3g}{_unit(attribution)} a "
        f"sample on average, {first['share']:.0%} of all attribution"
        if len(rows) > 1
        else f"{label(first['feature'])}, the only sensor, moves {attribution.output} by {first['importance']:.3g}"
        f"{_unit(attribution)} a sample on average"
    )
    if np.isfinite(first["direction"]) and abs(first["direction"]) > 0.3:
        text += f"; higher values {'raise' if first['direction'] > 0 else 'lower'} it (rank correlation "
        text += f"{first['direction']:+.2f})"
    following = ", ".join(f"{row['feature']} ({row['share']:.0%})" for row in rows[1:4] if row["share"] > 0.005)
    if following:
        text += f". Then come {following}"
    text += f". {enough} of {len(rows)} sensors carry 80%." if len(rows) > 1 else "."
    if words:
        told = ", ".join(f"{word['feature']} '{word['word']}' {word['effect']:+.3g}" for word in words[:4])
        text += f" Words, a step that holds one on average: {told}."
    keys = ("feature", "importance", "share", "direction", "rank")
    top = [{key: row[key] for key in keys} for row in rows[:5]]
    numbers = {"top": top, "sensors_for_80_percent": enough} | ({"words": list(words)} if words else {})
    return {"title": "Which sensors decide", "text": text, "numbers": numbers}


def _when(attribution: Attribution) -> dict[str, Any]:
    importance = views.lag_importance(attribution).sum(1)
    share = np.cumsum(importance) / max(float(importance.sum()), 1e-12)
    half, most = (int(np.searchsorted(share, level)) + 1 for level in (0.5, 0.8))
    peak = int(importance.argmax())
    spread = "evenly over the window" if half > 0.4 * len(share) else "near the end" if half < 0.2 * len(share) else ""
    weight = float(importance[peak]) / max(float(importance.sum()), 1e-12)
    where = f"{peak} before the last one" if peak else "the last one"
    what = "attribution" if attribution.by_sensor else _name(attribution)
    text = (
        f"Half of all {what} lies within the last {in_steps(half)}, 80% within the last {in_steps(most)} of "
        f"{len(share)}; the single step that counts most is {where} ({weight:.1%})"
    )
    decides = "what decides" if attribution.by_sensor else "what is read"
    text += f": {decides} lies {spread}." if spread else "."
    numbers = {"steps_for_half": half, "steps_for_80_percent": most, "window": len(share), "peak_lag": peak}
    return {"title": "Which steps decide", "text": text, "numbers": numbers}


def _sample(attribution: Attribution) -> dict[str, Any]:
    change = attribution.predictions - attribution.base
    k = int(np.abs(change).argmax())
    by_feature = attribution.by_feature()[k]
    order = np.argsort(-np.abs(by_feature), kind="stable")[:3]
    reasons = ", ".join(f"{attribution.features[f]} {by_feature[f]:+.3g}" for f in order if by_feature[f])
    text = (
        f"Farthest from its base is sample {attribution.samples[k]}: {attribution.predictions[k]:.4g} instead of "
        f"{attribution.base[k]:.4g}{_unit(attribution)} ({change[k]:+.3g})"
    )
    text += f", mostly by {reasons or 'no single sensor'}." if attribution.by_sensor else "."
    numbers = {
        "sample": k,
        "unit_id": attribution.samples[k],
        "prediction": float(attribution.predictions[k]),
        "base": float(attribution.base[k]),
        "reasons": {attribution.features[f]: float(by_feature[f]) for f in order} if attribution.by_sensor else {},
    }
    return {"title": "The most telling sample", "text": text, "numbers": numbers}


def _together(attribution: Attribution, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    first, mean = rows[0], float(np.mean([row["strength"] for row in rows]))
    share = first["strength"] / max(attribution.output_range, 1e-12)
    strong = "belong together" if share > 0.05 else "work almost independently"
    text = (
        f"The top sensors {strong}: the strongest joint effect is that of {first['feature']} and {first['other']}, "
        f"{first['strength']:.3g}{_unit(attribution)} beyond the sum of both ({share:.1%} of the range of answers; "
        f"mean of the pairs {mean:.3g})."
    )
    return {"title": "What works together", "text": text, "numbers": {"pairs": [dict(row) for row in rows[:5]]}}


def _needed(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    top = ", ".join(f"{row['group']} (+{row['increase']:.3g})" for row in rows[:3])
    useless = sum(row["increase"] <= 2 * row["deviation"] for row in rows)
    text = (
        f"The model errs most without {top}: its loss is {rows[0]['loss']:.4g} as it is. {useless} of {len(rows)} "
        "groups could be exchanged between samples without harm beyond twice the spread of the repeats."
    )
    return {"title": "What the model needs", "text": text, "numbers": {"groups": [dict(row) for row in rows[:5]]}}


def _trust(
    attribution: Attribution,
    agreement: Sequence[Mapping[str, Any]],
    areas: Mapping[str, tuple[float, float]],
    constant: Sequence[str],
) -> dict[str, Any]:
    worst = float(attribution.additivity_error().max())
    text = f"The attributions ({_name(attribution)}) add up to the answers within {worst:.2%} of their range"
    if not attribution.additive:
        text = f"Numbers of {_name(attribution)} need not add up to the answers"
        text += f" (they are off by up to {worst:.0%} of their range)" if attribution.by_sensor else ""
    numbers: dict[str, Any] = {"additivity_error": worst}
    if (
        attribution.method in areas
        and "random" in areas
        and np.isfinite([*areas[attribution.method], *areas["random"]]).all()
    ):
        deletion, insertion = areas[attribution.method]
        chance = areas["random"]
        better = deletion < chance[0] and insertion > chance[1]
        text += (
            f"; taking away what they name first leaves an area of {deletion:.2f} of the answer's change (any order: "
            f"{chance[0]:.2f}), putting it in reaches {insertion:.2f} ({chance[1]:.2f})"
        )
        text += "" if better else ", which is no better than chance: do not rely on single values here"
        numbers["areas"] = {key: list(value) for key, value in areas.items()}
    mine = [row for row in agreement if attribution.method in (row["method"], row["other"])]
    if mine:
        best = max(mine, key=lambda row: row["spearman"])
        other = best["other"] if best["method"] == attribution.method else best["method"]
        text += f"; rank correlation with {other.replace('_', ' ')} {best['spearman']:.2f}"
        numbers["agreement"] = [dict(row) for row in mine]
    if constant:
        text += f". {len(constant)} features never change and tell nothing: {', '.join(constant[:6])}"
        text += " ..." if len(constant) > 6 else ""
    return {"title": "How far to trust this", "text": text + ".", "numbers": numbers | {"constant": list(constant)}}
