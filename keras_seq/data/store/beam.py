"""The same jobs as a pipeline of Apache Beam; imported only if it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from keras_seq.data.store.plan import Recipe, ShardJob
from keras_seq.data.store.writer import write_shard
from keras_seq.errors import ConfigError, KerasSeqError


def run_beam(recipe: Recipe, jobs: Sequence[ShardJob]) -> None:
    """Write all jobs with Beam's default runner; every worker must see the input and the output folder.

    Raises:
        ConfigError: apache-beam is not installed.
        KerasSeqError: as ``write_shard``; Beam wraps the messages of its workers.
    """
    try:
        import apache_beam as beam
    except ImportError as error:
        raise ConfigError(
            f"--runner beam needs the package apache-beam, which cannot be imported here ({error}). Install it with "
            "pip install 'keras-seq[beam]' (docs/data.md tells where that works), or use --runner local."
        ) from None
    try:
        with beam.Pipeline() as pipeline:
            jobs_there = pipeline | "jobs" >> beam.Create(list(jobs)) | "apart" >> beam.Reshuffle()
            _ = jobs_there | "write" >> beam.Map(partial(write_shard, recipe))
    except Exception as error:  # runners wrap errors of workers in their own
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, KerasSeqError):
                raise cause from None
            cause = cause.__cause__
        raise
