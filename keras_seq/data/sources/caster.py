"""Embedded generator: continuous steel casting, whose defects are announced by order and lag of events.

Each sequence is one cast of 100-500 steps on 5 process channels and rows of thermocouples down the
mould. A level surge, followed ``min_lag`` to ``max_lag`` steps later by a temperature rise that
travels *down* the rows, announces a defect. Every sequence without a visible precursor holds a matched
decoy instead (rise up the rows, rise before the surge, wrong lag), and all hold background decoys:
counts, amplitudes, widths, extremes and lengths do not tell the class. A weak static part (superheat
and casting speed levels of the heat and cast) shifts the log-odds.

**The defaults of** ``CasterConfig`` **and the constants here and in** ``caster_events`` **are frozen:
published results refer to them; they are not to be made easier.**
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keras_seq.config import CasterConfig, DataConfig
from keras_seq.data.series import Column, Schema, Series
from keras_seq.data.sources.caster_events import PRECURSOR, CastingEvents, longest_span, plan_events, render_events
from keras_seq.data.sources.registry import SourceInfo, register
from keras_seq.errors import ConfigError

# name, physical unit, level, noise deviation, least, largest, memory of the noise (AR(1) coefficient),
# share of the noise deviation that follows the slow wander common to all channels
PROCESS = (
    ("mould_level", "mm", 100.0, 1.0, 0.0, 250.0, 0.3, 0.0),
    ("casting_speed", "m/min", 1.2, 0.02, 0.2, 3.0, 0.8, 0.5),
    ("superheat", "K", 28.0, 1.5, -50.0, 120.0, 0.8, -0.3),
    ("cooling_flow", "l/min", 2600.0, 30.0, 500.0, 5000.0, 0.7, 0.5),
    ("heat_flux", "MW/m2", 1.6, 0.04, 0.2, 4.0, 0.7, 0.6),
)
ROW = ("degC", 2.0, 0.0, 400.0, 0.3, 0.2)  # thermocouples: unit, deviation, least, largest, memory, wander
WANDER_MEMORY = 0.98
STATIC_CHANNELS = (1, 2)  # casting speed and superheat carry the static part

PRECURSOR_SHARE = 0.148  # of sequences; with p_low 0.02 and p_high 0.90 it makes 15% defects
STATIC_WEIGHT = 0.6  # log-odds per deviation of the static part
HEAT_OFFSET = 0.8  # deviation of the offset a heat adds to each channel, in noise deviations
CAST_OFFSET = 0.6  # the same for each sequence

NONE, VISIBLE, HIDDEN = 0, 1, 2  # truth["precursor"]


@register(
    SourceInfo(
        "caster",
        "generated continuous casting: precursors of defects in the order and lag of events",
        "binary",
        licence="part of this project",
        embedded=True,
        rank=1,
    )
)
def _load(config: DataConfig) -> Series:
    return load_caster(config.caster)


def load_caster(config: CasterConfig) -> Series:
    """Generate the caster data set; equal configs give equal data.

    ``Series.truth`` holds per unit: ``probability`` (the p that drew the label), ``observable`` (the same
    without knowing hidden precursors), ``static``, ``precursor`` (0 none, 1 visible, 2 hidden) and
    ``event_start``/``event_stop`` (steps ``[start, stop)`` of the visible precursor, -1 without).
    ``Series.info["ceiling"]`` is what the best possible model reaches on these labels (``observable``);
    ``info["oracle"]`` what knowing p itself would.

    Raises:
        ConfigError: knobs contradict each other; names both and both values.
    """
    _check(config)
    rng = np.random.default_rng(config.seed)
    units = config.sequences
    heat = np.arange(units) * config.heats // units if config.heats < units else np.arange(units)
    lengths = rng.integers(config.min_length, config.max_length + 1, units)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    names = len(PROCESS) + config.rows
    levels = HEAT_OFFSET * rng.standard_normal((config.heats, names))[heat]
    levels += CAST_OFFSET * rng.standard_normal((units, names))
    static = levels[:, STATIC_CHANNELS].sum(1) / np.sqrt(len(STATIC_CHANNELS) * (HEAT_OFFSET**2 + CAST_OFFSET**2))
    truth = _labels(config, static, rng)
    events = plan_events(config, lengths, truth["precursor"] == VISIBLE, rng)
    truth["event_start"], truth["event_stop"] = _windows(events, units)
    levels += config.drift * (heat / max(config.heats - 1, 1))[:, None]  # the sensors drift, the process does not
    label = truth.pop("label")
    schema = _schema(config)
    return Series(
        schema=schema,
        values=_signals(config, events, levels, lengths, offsets, rng),
        targets=label.astype(np.float32)[:, None],
        offsets=offsets,
        unit_ids=np.array([f"cast{number:05d}" for number in range(units)]),
        groups=np.array([f"heat{number:04d}" for number in heat]),
        time=(np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)).astype(np.float64),
        official=np.full(units, ""),
        info=_facts(config, label, truth),
        truth=truth,
    )


def _check(config: CasterConfig) -> None:
    def refuse(name: str, value: float, expected: str) -> None:
        raise ConfigError(f"Option 'data.caster.{name}' is {value}, but {expected}.")

    if config.rows < 2:
        refuse("rows", config.rows, "the order of a rise needs at least 2 rows of thermocouples")
    if config.max_lag < config.min_lag:
        refuse("max_lag", config.max_lag, f"it must be at least data.caster.min_lag, {config.min_lag}")
    if config.max_length < config.min_length:
        refuse("max_length", config.max_length, f"it must be at least data.caster.min_length, {config.min_length}")
    need = longest_span(config)
    if config.min_length < need:
        refuse(
            "min_length",
            config.min_length,
            f"an event with max_lag={config.max_lag} and rows={config.rows} needs {need} steps; "
            "raise min_length or lower max_lag or rows",
        )


def _schema(config: CasterConfig) -> Schema:
    unit, _, low, high, *_ = ROW
    columns = [Column(name=name, unit=u, minimum=lo, maximum=hi) for name, u, _, _, lo, hi, _, _ in PROCESS]
    columns += [
        Column(name=f"thermocouple_row{row + 1}", unit=unit, minimum=low, maximum=high) for row in range(config.rows)
    ]
    return Schema(
        name="caster",
        task="binary",
        columns=tuple(columns),
        targets=("defect",),
        target_per="unit",
        classes=("sound", "defect"),
        unit_column="cast",
        group_column="heat",
        time_column="step",
    )


def _labels(config: CasterConfig, static: NDArray[np.float64], rng: np.random.Generator) -> dict[str, NDArray]:
    """Draw precursors and labels; ``observable`` averages p over what a sequence without trace may hide."""
    precursor = np.where(rng.random(len(static)) < PRECURSOR_SHARE, VISIBLE, NONE)
    precursor[(precursor == VISIBLE) & (rng.random(len(static)) < config.hidden_share)] = HIDDEN
    low, high = _probability(config.p_low, static), _probability(config.p_high, static)
    probability = np.where(precursor == NONE, low, high)
    hidden = PRECURSOR_SHARE * config.hidden_share
    share = hidden / (hidden + 1.0 - PRECURSOR_SHARE)
    observable = np.where(precursor == VISIBLE, high, share * high + (1.0 - share) * low)
    return {
        "label": rng.random(len(static)) < probability,
        "probability": probability,
        "observable": observable,
        "static": static,
        "precursor": precursor,
    }


def _probability(mean: float, static: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shift the log-odds by the static part so that the mean probability stays about ``mean``."""
    if mean == 0.0:
        return np.zeros_like(static)
    # the mean of a logistic of a normal variable, MacKay's approximation, solved for the intercept
    intercept = np.log(mean / (1.0 - mean)) * np.sqrt(1.0 + np.pi * STATIC_WEIGHT**2 / 8.0)
    return 1.0 / (1.0 + np.exp(-(intercept + STATIC_WEIGHT * static)))


def _windows(events: CastingEvents, units: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    start, stop = np.full(units, -1, np.int64), np.full(units, -1, np.int64)
    true = events.kind == PRECURSOR
    start[events.unit[true]] = events.surge[true] - 4  # two deviations of a bell on both sides
    stop[events.unit[true]] = events.rise[true].max(1) + 7
    return start, stop


def _signals(
    config: CasterConfig,
    events: CastingEvents,
    levels: NDArray[np.float64],
    lengths: NDArray[np.int64],
    offsets: NDArray[np.int64],
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Values ``(rows, features)`` in physical units: level + offsets + noise + events."""
    level, temperature = render_events(events, offsets, config.amplitude, rng)
    wander = _noise(WANDER_MEMORY, lengths, offsets, rng)
    plan = [(mean, deviation, memory, share) for _, _, mean, deviation, _, _, memory, share in PROCESS]
    plan += [(120.0 + 60.0 * 0.8**row, ROW[1], ROW[4], ROW[5]) for row in range(config.rows)]
    values = np.empty((int(offsets[-1]), len(plan)), np.float32)
    for channel, (mean, deviation, memory, share) in enumerate(plan):
        signal = _noise(memory, lengths, offsets, rng)
        signal *= np.sqrt(1.0 - share**2)  # noise and wander together keep deviation 1
        signal += share * wander
        signal += np.repeat(levels[:, channel], lengths)
        if channel == 0:
            signal += level
        elif channel >= len(PROCESS):
            signal += temperature[:, channel - len(PROCESS)]
        values[:, channel] = mean + deviation * signal
    return values


def _noise(
    memory: float, lengths: NDArray[np.int64], offsets: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Stationary AR(1) noise of deviation 1, ``(rows,)``, independent between sequences."""
    from scipy.signal import lfilter

    shocks = rng.standard_normal(int(offsets[-1]), np.float32).astype(np.float64)
    noise = lfilter([np.sqrt(1.0 - memory**2)], [1.0, -memory], shocks)
    # one filter ran over all sequences: exchange the state each inherited for a fresh stationary one
    inherited = np.concatenate([[0.0], noise[offsets[1:-1] - 1]])
    reach = int(np.ceil(np.log(1e-6) / np.log(memory)))
    steps = np.arange(min(reach, int(lengths.max())))
    rows = offsets[:-1, None] + steps
    change = (rng.standard_normal(len(lengths)) - inherited)[:, None] * memory ** (steps + 1)
    inside = steps < lengths[:, None]
    noise[rows[inside]] += change[inside]
    return noise


def _facts(config: CasterConfig, label: NDArray[np.bool_], truth: dict[str, NDArray]) -> dict[str, object]:
    return {
        "origin": "generated by keras_seq.data.sources.caster",
        "config": config.model_dump(),
        "defect_share": float(label.mean()),
        "ceiling": _ranking(label, truth["observable"]),
        "oracle": _ranking(label, truth["probability"]),
    }


def _ranking(label: NDArray[np.bool_], score: NDArray[np.float64]) -> dict[str, float | None]:
    """AUC-ROC and average precision of a score, ties shared; None where a class is absent."""
    positives = int(label.sum())
    if positives in (0, len(label)):
        return {"auc_roc": None, "auc_pr": None}
    levels, inverse = np.unique(-score, return_inverse=True)  # best first
    hits = np.bincount(inverse, weights=label, minlength=len(levels))
    misses = np.bincount(inverse, weights=~label, minlength=len(levels))
    below = misses.sum() - np.cumsum(misses)
    auc = float((hits * (below + 0.5 * misses)).sum() / (positives * misses.sum()))
    precision = np.cumsum(hits) / (np.cumsum(hits) + np.cumsum(misses))
    return {"auc_roc": auc, "auc_pr": float((precision * hits).sum() / positives)}
