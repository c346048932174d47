"""Studies on disk as a search leaves them, with a score whose dependence on the values is known."""

from __future__ import annotations

import math
import random

from tuning.records import Record, begin_study

SPACE = {
    "model.family": ["lstm", "transformer"],
    "model.units": {"low": 32, "high": 128, "step": 16},
    "model.heads": {"choices": [2, 4, 8], "when": {"model.family": ["transformer"]}},
    "model.history.ewm": [[], [0.9], [0.8, 0.97]],
    "model.trees.depth": [None, 4, 8],
    "model.bidirectional": [True, False],
    "training.learning_rate": {"low": 5e-4, "high": 1e-2, "log": True},
}
START = 1_750_000_000.0


def make_study(folder, trials=60, *, failing=lambda number: number % 15 == 7, seed=0, epochs=6, higher=False, **about):
    """``trials`` trials, one in five pruned; the learning rate decides, the units a little, nothing else."""
    study = begin_study(
        folder,
        {
            "name": folder.name,
            "experiment": {"name": folder.name, "output": str(folder.parent / "runs")} | about.pop("experiment", {}),
            "space": SPACE,
            "objective": "rmse",
            "direction": "max" if higher else "min",
            "task": "regression",
            "tuner": "random",
            "trials": trials,
            "tuning": {"tuner": "random", "folds": 0},
        }
        | about,
    )
    draw = random.Random(seed)
    for number in range(trials):
        study.save(make_record(number, draw, failed=failing(number), epochs=epochs, higher=higher))
    return study


def make_record(number, draw, *, failed=False, epochs=6, higher=False):
    values = {
        "model.family": draw.choice(SPACE["model.family"]),
        "model.units": draw.randrange(32, 129, 16),
        "model.history.ewm": draw.choice(SPACE["model.history.ewm"]),
        "model.trees.depth": draw.choice(SPACE["model.trees.depth"]),
        "model.bidirectional": draw.random() < 0.5,
        "training.learning_rate": math.exp(draw.uniform(math.log(5e-4), math.log(1e-2))),
    }
    if values["model.family"] == "transformer":
        values["model.heads"] = draw.choice([2, 4, 8])
    score = 10 + 8 * math.log10(values["training.learning_rate"] / 2e-3) ** 2 - values["model.units"] / 100
    score += draw.gauss(0, 0.1)
    score = (-score if higher else score) * (1000 if number == 31 else 1)  # one diverged
    status = "failed" if failed else "pruned" if number % 5 == 4 else "completed"
    started, took = START + 20 * number, 18 + draw.random()
    rows = [
        {"fold": 0, "epoch": e, "loss": 5 / e, "val_rmse": score + 6 / e, "learning_rate": 1e-3, "seconds": 2.5}
        for e in range(1, epochs + 1)
    ]
    parameters = 40 * values["model.units"] ** 2
    return Record(
        str(number),
        values,
        status=status,
        reason={"failed": "ResourceExhaustedError: <out> of memory", "pruned": "worse than the median"}.get(status, ""),
        score=None if failed else score,
        scores=() if failed else (score,),
        metrics={} if failed else {"rmse": score, "mae": score / 1.3, "auc_roc": math.nan},
        epochs=tuple(rows),
        default=number == 0,
        worker=f"worker-{number % 2}",
        started=started,
        ended=started + took,
        costs={"prepare": 0.2, "fit": 16.0, "judge": 0.5, "overhead": took - 16, "total": took}
        | {"resident_mb": 900 + number % 7, "parameters": parameters, "model_bytes": 4 * parameters}
        | {"latency_ms": 0.2 + values["model.units"] / 200},
    )
