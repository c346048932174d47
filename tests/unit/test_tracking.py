"""Runs on record tell the truth about those who wrote them."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from keras_seq import config
from keras_seq.tracking import track


@pytest.mark.slow
def test_runs_of_killed_processes_do_not_stay_running(tmp_path):
    import mlflow

    tree = {"name": "casts", "output": str(tmp_path / "runs"), "tracking": {"uri": f"sqlite:///{tmp_path}/runs.db"}}
    killed = f"""
        import os, signal
        from keras_seq import config
        from keras_seq.tracking import track
        with track(config.from_dict({tree!r}), run_name="killed"):
            os.kill(os.getpid(), signal.SIGKILL)
    """
    assert subprocess.run([sys.executable, "-c", textwrap.dedent(killed)], check=False).returncode == -9
    elsewhere = {"tags": {"keras_seq.process": "another-1", "mlflow.runName": "elsewhere"}}
    with track(config.from_dict(tree), run_name="first") as tracker:
        client = mlflow.MlflowClient()
        client.create_run(client.get_run(tracker.run_id).info.experiment_id, **elsewhere)
    with track(config.from_dict(tree), run_name="second"):
        states = {run.info.run_name: run.info.status for run in mlflow.search_runs(output_format="list")}
    assert states == {"killed": "KILLED", "first": "FINISHED", "elsewhere": "RUNNING", "second": "RUNNING"}
