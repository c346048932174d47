"""Collective operations of a training's workers: sums of gradients, the chief's decisions, loss of a worker.

Every worker is a process with one device and the same plain model as a single process has. Only sums travel, through
TensorFlow's collective operations: ``all_reduce`` within ``MultiWorkerMirroredStrategy.run`` (docs/distribution.md
says why this way and not another). Losing a worker ends the collectives of the others within
``HEARTBEAT_SECONDS``, as TensorFlow's coordination service finds it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from keras_seq.config import TrainingConfig
from keras_seq.errors import ConfigError, TrainingError
from keras_seq.models.xla_flags import prepare_environment
from keras_seq.training.cluster import ClusterSpec, WorkerLost
from keras_seq.training.device import choose_device
from keras_seq.training.single_process import SingleProcess

HEARTBEAT_SECONDS = 20  # after which a silent worker counts as lost
LEAVING_SECONDS = 10  # waited for the others when a process ends
_LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError)
_PERHAPS = (tf.errors.CancelledError, tf.errors.FailedPreconditionError, tf.errors.InternalError)


class ProcessGroup(SingleProcess):
    """Several workers connected by TensorFlow's collective operations.

    Args:
        strategy: of ``tf.distribute.MultiWorkerMirroredStrategy``; one device in each worker.
        cluster: addresses and rank.
    """

    def __init__(self, strategy: tf.distribute.Strategy, cluster: ClusterSpec) -> None:
        self.cluster, self.rank, self.size = cluster, cluster.rank, cluster.size
        # traced once, with one collective each: however often and in whatever shapes they are called, the workers'
        # collectives keep the same keys
        self._sum32 = self._make_sum(strategy, tf.float32)
        self._sum64 = self._make_sum(strategy, tf.float64)

    @staticmethod
    def _make_sum(strategy: tf.distribute.Strategy, dtype: tf.DType) -> Callable[[tf.Tensor], tf.Tensor]:
        def reduce(numbers: tf.Tensor) -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(numbers))

        def run(numbers: tf.Tensor) -> tf.Tensor:
            return strategy.run(reduce, args=(numbers,))

        traced = tf.function(run, input_signature=[tf.TensorSpec([None], dtype)], autograph=False)
        traced.get_concrete_function()
        return traced

    def all_reduce_sum(self, numbers: tf.Tensor) -> tf.Tensor:
        """Sum over the workers of ``(n,)`` float32, inside or outside a graph."""
        return self._sum32(numbers)

    def _sum(self, numbers: ArrayLike) -> np.ndarray:
        """Sum over the workers of ``(n,)`` float64."""
        return np.asarray(self._sum64(tf.constant(np.asarray(numbers, np.float64))).numpy())

    def broadcast(self, data: bytes) -> bytes:
        """The chief's bytes, four to a float64, which holds them exactly."""
        length = int(self._sum([len(data) if self.chief else 0])[0])
        words = np.zeros(-(-length // 4), "<u4")
        if self.chief:
            words.view(np.uint8)[:length] = np.frombuffer(data, np.uint8)
        return self._sum(words).astype("<u4").tobytes()[:length]

    def any(self, *flags: bool) -> list[bool]:
        """For each flag, whether any worker has raised it."""
        return [bool(count) for count in self._sum([float(flag) for flag in flags])]

    def all_gather(self, rows: np.ndarray) -> np.ndarray:
        """All workers' rows, in the order of their ranks."""
        counts = np.zeros(self.size)
        counts[self.rank] = len(rows)
        ends = np.cumsum(self._sum(counts)).astype(int)
        everything = np.zeros((ends[-1], *rows.shape[1:]))
        everything[ends[self.rank] - len(rows) : ends[self.rank]] = rows
        return self._sum(everything.ravel()).reshape(everything.shape).astype(rows.dtype)

    def average_variables(self, variables: Sequence[keras.Variable]) -> None:
        """Set float variables to their mean; in float64, so that equal float32 values come back as they were."""
        arrays = [np.asarray(variable.numpy()) for variable in variables]
        if not arrays:
            return
        mean = self._sum(np.concatenate([array.ravel() for array in arrays])) / self.size
        pieces = np.split(mean, np.cumsum([array.size for array in arrays])[:-1])
        for variable, array, piece in zip(variables, arrays, pieces, strict=True):
            variable.assign(piece.reshape(array.shape).astype(array.dtype))

    def check_same(self, key: str) -> None:
        """Compare a key with the chief's: all workers must have been started alike."""
        differs = np.zeros(self.size)
        differs[self.rank] = self.broadcast(key.encode()) != key.encode()
        others = [str(number) for number in np.flatnonzero(self._sum(differs))]
        if others:
            raise TrainingError(
                f"Worker {', '.join(others)} of {self.size} has another configuration or other data than the chief "
                f"({self.cluster.addresses[0]}). Start all of them with the same options, seed and data."
            )

    def spread_seeds(self, variables: Sequence[keras.Variable]) -> None:
        """Add the rank to the seeds of the random layers."""
        for variable in variables:
            if "seed_generator" in variable.path and self.rank:
                state = variable.numpy()
                state[0] += self.rank
                variable.assign(state)

    def barrier(self) -> None:
        """Wait until all workers have come here."""
        self._sum([0.0])

    @contextmanager
    def translated_errors(self) -> Iterator[None]:
        """Turn the loss of a worker within the block into ``WorkerLost``."""
        try:
            yield
        except tf.errors.OpError as error:
            silent = self.cluster.unreachable()
            if not isinstance(error, _LOST) and not (isinstance(error, _PERHAPS) and silent):
                raise
            raise WorkerLost(
                f"Worker {self.rank} of {self.size} has lost {self._named(silent, str(error))} and cannot go on. Start "
                "all workers again with the same command (python -m keras_seq.train --workers does it by itself): they "
                "go on after the last saved state."
            ) from None

    def _named(self, silent: Sequence[str], message: str) -> str:
        """Lost workers in words: those that do not answer, else those that TensorFlow has named."""
        ranks = [self.cluster.addresses.index(address) for address in silent]
        ranks = ranks or [int(rank) for rank in re.findall(r"/task:(\d+)", message) if int(rank) != self.rank]
        names = [f"worker {n} ({self.cluster.addresses[n]})" for n in dict.fromkeys(ranks) if n < self.size]
        return ", ".join(names) or "another worker"


def connect(cluster: ClusterSpec, training: TrainingConfig) -> ProcessGroup:
    """Connect to the other workers; call before TensorFlow's first operation.

    Raises:
        DeviceError: the device is not there.
        TrainingError: TensorFlow has been used before, so that it cannot be connected.
        WorkerLost: not all came within ``training.worker_wait`` seconds.
    """
    from tensorflow.python.eager import context  # the strategy's own defaults wait an hour, with no public way out

    prepare_environment()
    _take_one_device(training, cluster)
    wait = int(training.worker_wait * 1000)
    job = context.coordination_config_pb2.CoordinatedJob(name="worker", num_tasks=cluster.size)
    try:
        context.context().configure_coordination_service(
            service_type="standalone",
            service_leader="/job:worker/replica:0/task:0",
            cluster_register_timeout_in_ms=wait,
            heartbeat_timeout_in_ms=HEARTBEAT_SECONDS * 1000,
            shutdown_barrier_timeout_in_ms=LEAVING_SECONDS * 1000,
            coordinated_jobs=[job],
        )
        resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec({"worker": list(cluster.addresses)}),
            task_type="worker",
            task_id=cluster.rank,
            rpc_layer="grpc",
        )
        group = ProcessGroup(tf.distribute.MultiWorkerMirroredStrategy(resolver), cluster)
        group.barrier()
    except tf.errors.OpError as error:
        missing = ", ".join(cluster.unreachable()) or "some"
        raise WorkerLost(
            f"Not all of the {cluster.size} workers came within training.worker_wait={training.worker_wait:g} seconds; "
            f"missing: {missing}. Start them, check that {cluster.addresses[cluster.rank]} and the others reach each "
            f"other, and start this one again. ({str(error).splitlines()[0][:200]})"
        ) from None
    except RuntimeError as error:
        raise TrainingError(
            f"The workers must meet before TensorFlow is used in this process ({error}). Enter "
            "keras_seq.training.distribute.connect first, or use python -m keras_seq.train."
        ) from None
    return group


def _take_one_device(training: TrainingConfig, cluster: ClusterSpec) -> None:
    """Hide all GPUs but one: workers of one host take one each, in the order of their ranks."""
    gpus, wanted = tf.config.list_physical_devices("GPU"), training.device.strip().lower()
    if ":" in wanted:
        raise ConfigError(
            f"Option 'training.device' is '{training.device}', but workers take the GPUs of their host in order; use "
            "gpu or auto, and CUDA_VISIBLE_DEVICES to choose among them."
        )
    if choose_device(training.device) == "/CPU:0":
        tf.config.set_visible_devices([], "GPU")
        return
    tf.config.set_visible_devices([gpus[cluster.local_rank % len(gpus)]], "GPU")
