"""Calls put together: who goes with whom, who waits, who is refused, who is given up."""

import asyncio
import threading
import time

import numpy as np
import pytest

from serving.contract.status import Code, Refused
from serving.models.batching import BatchingParameters
from serving.server.batching import Batcher
from serving.server.queued_call import QueuedCall


class Doubler:
    """y = 2 x, row by row; remembers the rows of its runs. Rows of -13 are unlucky."""

    name, version, signatures, metadata, signature_protos = "double", 1, {}, "", b""

    def __init__(self, *, rowwise=True, fast=True, seconds=0.0):
        self.rowwise, self.fast, self.seconds = rowwise, fast, seconds
        self.runs, self.threads, self.gate = [], set(), None

    def run(self, signature, inputs, outputs=None):
        self.runs.append(len(inputs["x"]) if inputs["x"].ndim else 0)
        self.threads.add(threading.current_thread().name)
        if self.gate:
            assert self.gate.wait(10)
        if self.seconds:
            time.sleep(self.seconds)
        if (inputs["x"] == -13).any():
            raise Refused(Code.INVALID_ARGUMENT, "-13")
        return {"y": inputs["x"] * 2}

    def close(self):
        pass


def calling(scenario, **options):
    """Run ``scenario(batcher, call)`` on a loop; ``call(servable, values)`` gives a future."""

    async def main():
        loop = asyncio.get_running_loop()
        batcher = Batcher(loop, **options)

        def call(servable, values, *, signature="s", deadline=float("inf"), alive=lambda: True, outputs=None):
            future = loop.create_future()

            def done(answers, error):
                if not future.done():
                    future.set_exception(error) if error else future.set_result(answers["y"])

            made = QueuedCall(
                servable, signature, {"x": np.asarray(values, np.float32)}, outputs, done, deadline, alive
            )
            batcher.submit(made)
            return future

        try:
            return await scenario(batcher, call)
        finally:
            batcher.close()

    return asyncio.run(main())


def test_calls_of_one_turn_are_one_run():
    model = Doubler()

    async def scenario(batcher, call):
        return await asyncio.gather(*(call(model, [number, number + 0.5]) for number in range(4)))

    answers = calling(scenario)
    assert model.runs == [8] and model.threads == {"MainThread"}
    for number, answer in enumerate(answers):
        assert answer.tolist() == [2 * number, 2 * number + 1]


def test_calls_that_come_during_a_run_go_together():
    model = Doubler(fast=False)
    model.gate = threading.Event()

    async def scenario(batcher, call):
        first = call(model, [1])
        await asyncio.sleep(0.05)
        rest = [call(model, [number]) for number in range(20)]
        await asyncio.sleep(0.05)
        assert batcher.in_flight == 21
        model.gate.set()
        return await asyncio.gather(first, *rest)

    answers = calling(scenario, threads=4, max_rows=32)
    assert model.runs == [1, 20] and [answer[0] for answer in answers] == [2, *range(0, 40, 2)]


@pytest.mark.parametrize(("one", "other"), [([[1, 2]], [[1, 2, 3]]), ([1], [[1]]), (1, 2)])
def test_other_shapes_run_on_their_own(one, other):
    model = Doubler()

    async def scenario(batcher, call):
        return await asyncio.gather(call(model, one), call(model, other))

    first, second = calling(scenario)
    assert len(model.runs) == 2
    assert np.array_equal(first, np.multiply(one, 2)) and np.array_equal(second, np.multiply(other, 2))


def test_other_signatures_outputs_and_servables_run_on_their_own():
    model, other = Doubler(), Doubler()

    async def scenario(batcher, call):
        calls = [call(model, [1]), call(model, [1], signature="t"), call(model, [1], outputs=("y",)), call(other, [1])]
        await asyncio.gather(*calls)

    calling(scenario)
    assert model.runs == [1, 1, 1] and other.runs == [1]


def test_a_fast_model_that_turns_slow_goes_to_a_thread():
    model = Doubler(seconds=0.01)

    async def scenario(batcher, call):
        await call(model, [1])
        await call(model, [2, 3])

    calling(scenario)
    assert len(model.threads) == 2 and model.runs == [1, 2]


def test_what_is_not_rowwise_is_never_put_together():
    model = Doubler(rowwise=False, fast=False)

    async def scenario(batcher, call):
        await asyncio.gather(*(call(model, [number]) for number in range(5)))

    calling(scenario, threads=3)
    assert model.runs == [1] * 5 and "MainThread" not in model.threads


def test_what_is_not_rowwise_runs_at_once_in_threads():
    model = Doubler(rowwise=False, fast=False, seconds=0.1)

    async def scenario(batcher, call):
        start = time.perf_counter()
        await asyncio.gather(*(call(model, [number]) for number in range(4)))
        return time.perf_counter() - start

    assert calling(scenario, threads=4) < 0.3


def test_one_bad_call_does_not_spoil_the_others():
    model = Doubler()

    async def scenario(batcher, call):
        return await asyncio.gather(*(call(model, [number]) for number in (1, -13, 3)), return_exceptions=True)

    one, bad, three = calling(scenario)
    assert one.tolist() == [2] and three.tolist() == [6]
    assert isinstance(bad, Refused) and bad.message == "-13"


def test_runs_are_no_larger_than_allowed():
    model = Doubler(fast=False)

    async def scenario(batcher, call):
        await asyncio.gather(*(call(model, [1, 2, 3]) for _ in range(10)))

    calling(scenario, max_rows=8)
    assert model.runs == [6] * 5


def test_a_full_queue_refuses_with_unavailable():
    model = Doubler(fast=False)
    model.gate = threading.Event()

    async def scenario(batcher, call):
        running = call(model, [0])
        await asyncio.sleep(0.05)
        waiting = [call(model, [number]) for number in range(3)]
        with pytest.raises(Refused) as refused:
            call(model, [9])
        model.gate.set()
        await asyncio.gather(running, *waiting)
        return refused.value

    assert calling(scenario, max_queue=3).code is Code.UNAVAILABLE


def test_waiting_bytes_are_bounded():
    model = Doubler(fast=False)
    model.gate = threading.Event()

    async def scenario(batcher, call):
        running = call(model, np.zeros(10))
        await asyncio.sleep(0.05)
        waiting = call(model, np.zeros(20))
        with pytest.raises(Refused):
            call(model, np.zeros(20))
        model.gate.set()
        await asyncio.gather(running, waiting)
        assert batcher.queued_bytes == 0

    calling(scenario, max_bytes=120)


def test_late_calls_are_given_up_waiting_or_running():
    model = Doubler(fast=False)
    model.gate = threading.Event()

    async def scenario(batcher, call):
        running, waiting = call(model, [0], deadline=time.perf_counter()), None
        await asyncio.sleep(0.05)
        waiting = call(model, [1], deadline=time.perf_counter())
        await asyncio.sleep(0.05)
        batcher.expire(time.perf_counter())
        found = await asyncio.gather(running, waiting, return_exceptions=True)
        model.gate.set()
        await asyncio.sleep(0.1)
        assert batcher.in_flight == 0
        return found

    for error in calling(scenario):
        assert error.code is Code.DEADLINE_EXCEEDED and error.message == "Timed out waiting for notification"
    assert model.runs == [1]  # the second was never run


def test_late_calls_of_configured_batching_have_its_code():
    model = Doubler(fast=False)

    async def scenario(batcher, call):
        late = call(model, [0], deadline=time.perf_counter())
        await asyncio.sleep(0.01)
        batcher.expire(time.perf_counter())
        with pytest.raises(Refused, match="timeout exceeded while waiting in batching queue") as refused:
            await late
        return refused.value.code

    parameters = BatchingParameters(batch_timeout_micros=200_000)
    assert calling(scenario, parameters=parameters) is Code.RESOURCE_EXHAUSTED


def test_what_nobody_waits_for_is_not_run():
    model = Doubler()

    async def scenario(batcher, call):
        gone, here = call(model, [1], alive=lambda: False), call(model, [2])
        found = await asyncio.gather(gone, here, return_exceptions=True)
        assert isinstance(found[0], Refused)

    calling(scenario)
    assert model.runs == [1]


def test_configured_batching_waits_for_company():
    model = Doubler(rowwise=False, fast=False)
    parameters = BatchingParameters(max_batch_size=4, batch_timeout_micros=100_000, num_batch_threads=2)

    async def scenario(batcher, call):
        start = time.perf_counter()
        calls = []
        for number in range(3):
            calls.append(call(model, [number]))
            await asyncio.sleep(0.01)
        await asyncio.gather(*calls)
        waited = time.perf_counter() - start
        start = time.perf_counter()
        await asyncio.gather(*(call(model, [number]) for number in range(4)))  # full: goes at once
        return waited, time.perf_counter() - start

    waited, full = calling(scenario, parameters=parameters)
    assert model.runs == [3, 4] and waited >= 0.09 and full < 0.09


def test_configured_batching_refuses_what_is_too_large():
    model = Doubler(rowwise=False)

    async def scenario(batcher, call):
        with pytest.raises(Refused, match="Task size 5 is larger than maximum input batch size 4"):
            call(model, [1, 2, 3, 4, 5])

    calling(scenario, parameters=BatchingParameters(max_batch_size=4))


class Mean(Doubler):
    """y = the mean of a row; keeps what it was given."""

    def __init__(self):
        super().__init__(rowwise=False, fast=False)
        self.given = []

    def run(self, signature, inputs, outputs=None):
        self.given.append(inputs["x"])
        self.runs.append(len(inputs["x"]))
        axes = tuple(range(1, inputs["x"].ndim))
        return {"y": inputs["x"].sum(axis=axes) / max(1, inputs["x"][0].size)}


@pytest.mark.parametrize(("calls", "rows"), [(1, 2), (2, 2), (3, 8), (8, 8)])
def test_batches_are_filled_up_to_an_allowed_size_with_the_last_calls_first_row(calls, rows):
    model = Mean()
    parameters = BatchingParameters(max_batch_size=8, allowed_batch_sizes=(2, 8), batch_timeout_micros=20_000)

    async def scenario(batcher, call):
        return await asyncio.gather(*(call(model, [[number, number + 1]]) for number in range(calls)))

    answers = calling(scenario, parameters=parameters)
    assert model.runs == [rows]
    assert [answer.tolist() for answer in answers] == [[number + 0.5] for number in range(calls)]
    assert (model.given[0][calls:] == [calls - 1, calls]).all()


def test_a_call_of_several_rows_is_filled_up_with_its_first():
    model = Mean()
    parameters = BatchingParameters(max_batch_size=4, allowed_batch_sizes=(4,))

    async def scenario(batcher, call):
        return await call(model, [[1.0], [2.0], [3.0]])

    assert calling(scenario, parameters=parameters).tolist() == [1, 2, 3]
    assert model.given[0].tolist() == [[1], [2], [3], [1]]


def test_inputs_of_different_lengths_are_padded_with_their_own_first_value():
    model = Mean()
    parameters = BatchingParameters(
        max_batch_size=4, allowed_batch_sizes=(4,), batch_timeout_micros=20_000, pad_variable_length_inputs=True
    )

    async def scenario(batcher, call):
        return await asyncio.gather(call(model, [[5.0, 1.0, 3.0]]), call(model, [[7.0], [9.0]]))

    calling(scenario, parameters=parameters)
    assert model.given[0].tolist() == [[5, 1, 3], [7, 7, 7], [9, 7, 7], [7, 7, 7]]


def test_without_padding_other_shapes_are_other_batches():
    model = Mean()
    parameters = BatchingParameters(max_batch_size=4, batch_timeout_micros=20_000)

    async def scenario(batcher, call):
        return await asyncio.gather(call(model, [[5.0, 1.0]]), call(model, [[7.0]]))

    one, two = calling(scenario, parameters=parameters)
    assert model.runs == [1, 1] and (one.tolist(), two.tolist()) == ([3], [7])


def test_what_cannot_be_padded_is_refused_and_the_rest_is_answered():
    model = Mean()
    parameters = BatchingParameters(max_batch_size=4, batch_timeout_micros=20_000, pad_variable_length_inputs=True)

    async def scenario(batcher, call):
        deep = [call(model, np.ones((1, *sizes))) for sizes in [(1, 1, 1, 1, 1, 2), (1, 1, 1, 1, 1, 3)]]
        empty = [call(model, np.ones((1, size))) for size in (2, 0)]
        return await asyncio.gather(*deep, *empty, return_exceptions=True)

    found = calling(scenario, parameters=parameters)
    assert [answer.tolist() for answer in found[:3]] == [[1], [1], [1]]  # each on its own
    assert found[3].tolist() == [0]
