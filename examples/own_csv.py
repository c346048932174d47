"""From your own CSV to a forecast with intervals: weekly CO2 stands in for your file, nothing is downloaded.

    .venv/bin/python examples/own_csv.py [FOLDER]

Writes ``weekly.csv``, trains an LSTM and a seasonal naive model on the same split, compares them, and
answers the weeks after the last one. Nothing is served here, so no versions are exported.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from statsmodels.datasets import co2

STUDY = """
    --data.source table --data.path weekly.csv --data.time week --data.targets [co2] --data.features [co2]
    --data.task forecast --data.split.by time --data.split.validation 104 --data.split.test 104
    --data.windows.mode sliding --data.windows.length 104 --data.windows.horizon 4 --evaluation.baseline false
    --export.saved_model false
"""
STEPS = (
    f"keras_seq.train --name lstm --model.family lstm --model.skip linear --training.epochs 8 --model.units 16 {STUDY}",
    f"keras_seq.train --name naive --model.family seasonal_naive --model.arima.period 52 {STUDY}",
    "keras_seq.compare runs/lstm/seed-0 runs/naive/seed-0 --no-costs",
    "keras_seq.predict runs/lstm/seed-0 weekly.csv",
)


def main() -> None:
    """Write the file, then run the steps as a user would, each shown before it runs."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="own_csv_"))
    folder.mkdir(parents=True, exist_ok=True)
    co2.load_pandas().data.loc["1975":].interpolate().rename_axis("week").to_csv(folder / "weekly.csv")
    for step in STEPS:
        words = shlex.split(step)
        print("\n$ python -m", *words, flush=True)
        subprocess.run([sys.executable, "-m", *words], cwd=folder, check=True)
    print(f"\neverything lies in {folder}")


if __name__ == "__main__":
    main()
