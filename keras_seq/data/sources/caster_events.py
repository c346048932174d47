"""Events of the caster generator: which happen when in each cast sequence, and what they leave on the sensors.

An event is a level *surge*, a temperature *rise* that runs through the thermocouple rows, or both at
a fixed distance. Only ``PRECURSOR`` announces a defect; the other kinds are decoys made of the same
surges and rises, with the same amplitudes and widths.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_seq.config import CasterConfig

Int = NDArray[np.int64]

PRECURSOR = 0  # surge, then at a valid lag a rise down the rows
SURGE = 1  # surge alone
UP = 2  # rise up the rows, alone
REVERSED = 3  # rise down the rows first, the surge after it
WRONG_LAG = 4  # surge, then a rise down the rows, too soon or too late
WRONG_ORDER = 5  # surge, then at a valid lag a rise up the rows
KINDS = ("precursor", "surge", "up", "reversed", "wrong_lag", "wrong_order")
PAIR = -1  # a false pair, drawn from ``MATCHED``
BACKGROUND = (SURGE, UP, PAIR)  # sprinkled over every sequence, equally often
MATCHED = (REVERSED, WRONG_LAG, WRONG_ORDER)  # false pairs; one stands in for the precursor where there is none

MARGIN = 12  # steps kept free at both ends of a sequence, so that no event is cut
GUARD = 6  # lags this close to the valid range never happen by chance
LATE = 20  # too late means up to this many steps beyond the guard
DELAYS = (3, 5)  # steps from one row to the next
SURGE_WIDTH = (1.5, 2.5)  # deviation of the bell, steps
RISE_WIDTH = (2.0, 3.5)
HEIGHT = (0.8, 1.2)  # factor on the configured amplitude
REDRAWS = 200


@dataclass(frozen=True)
class CastingEvents:
    """Events of all sequences, one row per event, times in steps from the start of the sequence.

    Attributes:
        unit: int64 ``(events,)``.
        kind: int64 ``(events,)``, a position in ``KINDS``.
        surge: int64 ``(events,)``, peak of the surge, -1 where the event has none.
        rise: int64 ``(events, rows)``, peak of the rise in each row, -1 where the event has none.
    """

    unit: Int
    kind: Int
    surge: Int
    rise: Int


def longest_span(config: CasterConfig) -> int:
    """Steps the longest event needs, free ends included."""
    return config.max_lag + GUARD + LATE + DELAYS[1] * (config.rows - 1) + 2 * MARGIN + 1


def plan_events(
    config: CasterConfig, lengths: Int, visible: NDArray[np.bool_], rng: np.random.Generator
) -> CastingEvents:
    """Draw the events of every sequence.

    Each sequence gets one *main* event: the precursor where ``visible``, else a false pair, so that
    counts of surges and rises are distributed alike in both classes; and Poisson numbers of background
    decoys: ``config.decoys`` surges and ``config.decoys`` rises per 150 steps, alone or in false pairs.
    A decoy that would form a precursor by chance with another event is moved; one that finds no place
    (very dense decoys) is dropped.

    Args:
        config: the generator's knobs.
        lengths: int64 ``(units,)``.
        visible: bool ``(units,)``, whether the sequence shows a precursor.
        rng: source of randomness.
    """
    units = len(lengths)
    # half of the decoy surges and of the decoy rises stand alone, half belong to false pairs
    counts = rng.poisson(0.5 * config.decoys * lengths[:, None] / 150.0, (units, len(BACKGROUND)))
    main = np.where(visible, PRECURSOR, rng.choice(MATCHED, units))
    unit = np.concatenate([np.arange(units), np.repeat(np.arange(units), counts.sum(1))])
    kind = np.concatenate([main, np.repeat(np.tile(BACKGROUND, units), counts.ravel())])
    pairs = kind == PAIR
    kind[pairs] = rng.choice(MATCHED, int(pairs.sum()))
    order = np.argsort(unit, kind="stable")  # the main event of a unit stays first
    unit, kind = unit[order], kind[order]
    surge, rise, delay = _shapes(config, kind, rng)
    run = delay * (config.rows - 1)
    span = np.maximum(surge, np.where(rise >= 0, rise + run, 0))
    start, placed = _place(config, unit, kind, lengths, surge, rise, span, rng)
    rows = np.arange(config.rows)
    steps = np.where(np.isin(kind, (UP, WRONG_ORDER))[:, None], rows[::-1], rows) * delay[:, None]
    first = np.where(rise >= 0, start + rise, -1)
    peaks = np.where(rise[:, None] >= 0, first[:, None] + steps, -1)
    return CastingEvents(unit[placed], kind[placed], np.where(surge >= 0, start + surge, -1)[placed], peaks[placed])


def _shapes(config: CasterConfig, kind: Int, rng: np.random.Generator) -> tuple[Int, Int, Int]:
    """Steps from an event's start to its surge and to its first rise (-1: none), and the delay between rows."""
    n = len(kind)
    delay = rng.integers(DELAYS[0], DELAYS[1] + 1, n)
    lag = rng.integers(config.min_lag, config.max_lag + 1, n)
    soon = config.min_lag - GUARD - 1  # the longest lag that is still too short
    late = config.max_lag + GUARD + rng.integers(1, LATE + 1, n)
    wrong = np.where((rng.random(n) < 0.5) & (soon > 0), rng.integers(0, max(soon, 0) + 1, n), late)
    run = delay * (config.rows - 1)
    surge = np.select([kind == UP, kind == REVERSED], [-1, run + lag], 0)
    rise = np.select([kind == SURGE, kind == UP, kind == REVERSED, kind == WRONG_LAG], [-1, 0, 0, wrong], lag)
    return surge, rise, delay


def _place(
    config: CasterConfig,
    unit: Int,
    kind: Int,
    lengths: Int,
    surge: Int,
    rise: Int,
    span: Int,
    rng: np.random.Generator,
) -> tuple[Int, NDArray[np.bool_]]:
    """Start steps ``(events,)`` without chance precursors, and which events are kept."""
    column = np.arange(len(unit)) - np.searchsorted(unit, unit)
    slots = (len(lengths), int(column.max()) + 1)
    room = lengths[unit] - 2 * MARGIN - span

    def table(values: np.ndarray, fill: float) -> np.ndarray:
        full = np.full(slots, fill)
        full[unit, column] = values
        return full

    down = (rise >= 0) & ~np.isin(kind, (UP, WRONG_ORDER))
    # far apart and never equal, so that a missing surge or rise is never at a valid lag
    surge_at = table(np.where(surge >= 0, surge, 1e6), 1e6)
    rise_at = table(np.where(down, rise, -1e6), -1e6)
    rooms, own = table(room, 1), table(kind, -1.0) == PRECURSOR
    starts = MARGIN + np.floor(rng.random(slots) * rooms)
    low, high = max(config.min_lag - GUARD, 1), config.max_lag + GUARD
    todo = np.arange(len(lengths))
    guilty = np.zeros(slots, bool)
    for attempt in range(REDRAWS + 1):
        lag = (starts[todo] + rise_at[todo])[:, None, :] - (starts[todo] + surge_at[todo])[:, :, None]
        clash = (lag >= low) & (lag <= high)  # (units, surge's event, rise's event)
        diagonal = np.arange(slots[1])
        clash[:, diagonal, diagonal] &= ~own[todo]
        blamed_surge = rng.random(clash.shape[:2]) < 0.5
        bad = (clash & blamed_surge[:, :, None]).any(2) | (clash & ~blamed_surge[:, :, None]).any(1)
        # a main event never moves: the other one of the pair does
        bad |= clash[:, 0, :] | clash[:, :, 0]
        bad[:, 0] = False
        guilty[:] = False
        guilty[todo] = bad
        todo = todo[bad.any(1)]
        if not len(todo) or attempt == REDRAWS:
            break
        fresh = MARGIN + np.floor(rng.random((len(todo), slots[1])) * rooms[todo])
        starts[todo] = np.where(guilty[todo], fresh, starts[todo])
    return starts[unit, column].astype(np.int64), ~guilty[unit, column]


def render_events(
    events: CastingEvents, offsets: Int, amplitude: float, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw the bells that events leave, in noise deviations.

    Args:
        events: events of all sequences.
        offsets: int64 ``(units + 1,)``, first row of each sequence in the long table.
        amplitude: mean height of a bell.
        rng: source of heights and widths, drawn alike for every kind.

    Returns:
        level ``(rows,)`` and temperatures ``(rows, thermocouple rows)``, float64, zero without events.
    """
    base = offsets[events.unit]
    total = int(offsets[-1])
    level = np.zeros(total)
    temperature = np.zeros((total, events.rise.shape[1]))
    has = events.surge >= 0
    _add_bells(level, (base + events.surge)[has], amplitude, SURGE_WIDTH, rng)
    has = events.rise[:, 0] >= 0
    for row in range(events.rise.shape[1]):
        _add_bells(temperature[:, row], (base + events.rise[:, row])[has], amplitude, RISE_WIDTH, rng)
    return level, temperature


def _add_bells(
    channel: NDArray[np.float64], peaks: Int, amplitude: float, width: tuple[float, float], rng: np.random.Generator
) -> None:
    height = amplitude * rng.uniform(*HEIGHT, len(peaks))
    deviation = rng.uniform(*width, len(peaks))
    reach = np.arange(-MARGIN, MARGIN + 1)  # at most ``MARGIN`` steps, so a bell stays in its sequence
    bells = height[:, None] * np.exp(-0.5 * (reach / deviation[:, None]) ** 2)
    np.add.at(channel, (peaks[:, None] + reach).ravel(), bells.ravel())
