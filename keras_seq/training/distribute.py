"""The workers of this process's training: connected for a block, asked for by what shares a batch or writes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from keras_seq import processes
from keras_seq.config import TrainingConfig
from keras_seq.training.cluster import choose_strategy, read_cluster
from keras_seq.training.single_process import SingleProcess

LAUNCHER = "KERAS_SEQ_LAUNCHER"  # variable: process that has started this worker
_groups: list[SingleProcess] = []


@contextmanager
def connect(training: TrainingConfig) -> Iterator[SingleProcess]:
    """Connect to the other workers, if there are any, for the block; ``fit`` then trains with them.

    Args:
        training: strategy, device and worker_wait.

    Yields:
        The process group: rank, size and collective operations.

    Raises:
        ConfigError: ``TF_CONFIG`` and the options contradict each other.
        WorkerLost: not all workers came within ``training.worker_wait`` seconds, or one is lost later.
    """
    cluster, group = read_cluster(), SingleProcess()
    if choose_strategy(training, cluster) == "multi_worker" and cluster:
        launcher = os.environ.get(LAUNCHER, "")
        if launcher.isdigit():  # none trains on unseen once its launcher is gone
            processes.end_with_parent(int(launcher), processes.RESTART)
        cluster.wait_for_all(training.worker_wait)
        from keras_seq.training import process_group

        group = process_group.connect(cluster, training)
    with _within(group), group.translated_errors():
        yield group


def current_group() -> SingleProcess:
    """Process group of the innermost ``connect`` block; outside of one this process is alone."""
    return _groups[-1] if _groups else SingleProcess()


@contextmanager
def single_process() -> Iterator[None]:
    """Leave the process group for the block: the chief's own work while the others wait at a barrier."""
    with _within(SingleProcess()):
        yield


@contextmanager
def _within(group: SingleProcess) -> Iterator[None]:
    _groups.append(group)
    try:
        yield
    finally:
        _groups.pop()
