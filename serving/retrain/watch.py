"""Start retrainings by drift or by the clock, each in a process of its own: what crashes there is not the watcher."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from keras_seq.errors import ConfigError
from keras_seq.figures import Say
from serving.monitor.events import read_events
from serving.retrain.state import OVER, JobStore

POLL = 2.0  # seconds between two looks
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
DURATION = re.compile(r"^\s*([0-9]*\.?[0-9]+)\s*([smhd])\s*$")


@dataclass(frozen=True)
class JobTrigger:
    """Conditions that start a job.

    Attributes:
        model: name.
        events: folder of a monitor, whose alarms of the model start one; None: none do.
        every: seconds between the starts of two jobs; 0: not by the clock.
        cooldown: seconds after a job in which alarms start none; the newest is looked at then.
        jobs: after so many the watch ends; 0: never.
    """

    model: str
    events: Path | None = None
    every: float = 0.0
    cooldown: float = 3600.0
    jobs: int = 0


def seconds_of(text: str, option: str) -> float:
    """``24h``, ``30m``, ``90s`` or ``7d`` as seconds.

    Raises:
        ConfigError: another form, or nothing.
    """
    match = DURATION.match(text)
    value = float(match[1]) * UNITS[match[2]] if match else 0.0
    if not match or (value <= 0 and option != "--cooldown"):
        raise ConfigError(f"Option '{option}' must be a time such as 24h, 30m or 90s, got '{text}'.")
    return value


def watch(
    when: JobTrigger,
    keeper: JobStore,
    command: Sequence[str],
    say: Say,
    *,
    poll: float = POLL,
    ended: Callable[[int], None] = lambda code: None,
) -> int:
    """Wait for reasons and run jobs; a job that fails leaves the champion and the watch goes on.

    Args:
        when: what starts a job.
        keeper: of the model's jobs: says which alarm was answered last, also over restarts.
        command: of one job, to which ``--event ID`` is added.
        say: where starts and ends are told.
        poll: seconds between two looks.
        ended: gets the exit code of every job.

    Returns:
        0, or 2 if the last job failed.
    """
    done, code, began = 0, 0, time.time()
    while not when.jobs or done < when.jobs:
        event = _reason(when, keeper, began)
        if event is None:
            time.sleep(poll)
            continue
        say(f"retraining '{when.model}': {'alarm ' + event if event else 'by the clock, or going on'}")
        code = subprocess.run([*command, *(["--event", event] if event else [])], check=False).returncode
        say("done" if code == 0 else f"failed with code {code}; the champion stays")
        ended(code)
        done, began = done + 1, time.time()
        if code != 0 and _unfinished(keeper):
            time.sleep(poll)  # killed: it goes on, but not in a tight circle
    return 2 if code else 0


def command_of(words: Sequence[str]) -> list[str]:
    """The command of one job."""
    return [sys.executable, "-m", "serving.retrain", *words]


def _reason(when: JobTrigger, keeper: JobStore, began: float) -> str | None:
    """Id of the alarm to answer, "" for another reason, None for none."""
    if _unfinished(keeper):
        return ""
    last, now = keeper.read(), time.time()
    # A clock that was put back leaves times that lie ahead: they are over, else nothing would start until then.
    if when.every and not 0 <= now - (last.started if last else began) < when.every:
        return ""
    if when.events is None or (last and 0 <= now - last.finished < when.cooldown):
        return None
    known = last.started if last and last.started <= now else 0.0
    for event in reversed(list(read_events(when.events))):
        alarm = event.get("event") == "drift_started" and event.get("model") == when.model
        if alarm and last and event["id"] == last.event:
            return None  # answered, and those before it
        if alarm and float(event.get("time", 0)) > known:
            return str(event["id"])
    return None


def _unfinished(keeper: JobStore) -> bool:
    last = keeper.read()
    return last is not None and last.step not in OVER
