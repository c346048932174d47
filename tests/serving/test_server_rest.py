"""The REST front on a numpy servable, in this process: headers, hooks, metrics, bugs that stay hidden."""

import asyncio
import http.client
import json
import threading
import time

import numpy as np
import pytest

from serving.contract.signatures import PREDICT, Signature, TensorInfo
from serving.contract.status import Code, Refused
from serving.contract.version_state import VersionState
from serving.models.batching import Monitoring
from serving.server.app import ServerApp
from serving.server.http import Connection
from serving.server.rest import RestFront
from serving.server.worker import limits_of
from serving.settings import Settings

TOKEN = b"correct-horse-battery"


class Line:
    """y = slope x + version; x of 666 meets a bug."""

    rowwise = fast = True
    metadata, signature_protos = '{"signature_def": {}}', b""

    def __init__(self, version):
        self.name, self.version = "line", version
        tensors = {"x": TensorInfo("x:0", "DT_FLOAT", (-1,))}, {"y": TensorInfo("y:0", "DT_FLOAT", (-1,))}
        self.signatures = {"serving_default": Signature(PREDICT, *tensors)}

    def run(self, signature, inputs, outputs=None):
        if (inputs["x"] == 666).any():
            raise RuntimeError("secret detail of the inside")
        if (inputs["x"] < 0).any():
            time.sleep(0.3)
        return {"y": 2 * inputs["x"] + self.version}

    def close(self):
        pass


class Lines:
    """Versions 1 and 2; counts what is held."""

    def __init__(self):
        self.versions, self.held = {1: Line(1), 2: Line(2)}, 0

    def acquire(self, name, version=None, label=None):
        if name != "line" or version not in (None, *self.versions):
            what = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise Refused(Code.NOT_FOUND, f"Servable not found for request: {what}")
        return Held(self, self.versions[version or 2])

    def states(self, name, version=None, label=None):
        return [VersionState(2, "AVAILABLE"), VersionState(1, "AVAILABLE")]

    def names(self):
        return ["line"]

    def reload(self, text):
        raise Refused(Code.INVALID_ARGUMENT, text)


class Held:
    def __init__(self, lines, servable):
        self.lines, self.servable = lines, servable

    def __enter__(self):
        self.lines.held += 1
        return self.servable

    def __exit__(self, *error):
        self.lines.held -= 1


class Watcher:
    def __init__(self):
        self.calls, self.closed = [], False

    def wants(self, model):
        return True

    def served(self, call):
        self.calls.append(call)

    def metrics(self):
        return "watched 1\n"

    def close(self):
        self.closed = True


class Weights:
    def __init__(self, version):
        self.version, self.keys = version, []

    def choose(self, model, key):
        self.keys.append(key)
        return self.version


class Running:
    """A front in a thread."""

    def __init__(self, settings=None, *, token=None, **options):
        self.models = Lines()
        self.loop, ready = asyncio.new_event_loop(), threading.Event()

        async def serve():
            self.app = ServerApp(settings or Settings(), self.models, loop=self.loop, **options)
            self.front = RestFront(self.app, limits_of(self.app.settings), token=token)
            server = await self.loop.create_server(lambda: Connection(self.front), "127.0.0.1", 0)
            self.port, self.over = server.sockets[0].getsockname()[1], asyncio.Event()
            ready.set()
            while not self.over.is_set():
                self.app.tick()
                await asyncio.sleep(0.02)
            server.close()
            for connection in list(self.front.connections):
                connection.transport.abort()
            self.app.close()
            await asyncio.sleep(0.01)

        self.thread = threading.Thread(target=self.loop.run_until_complete, args=(serve(),))
        self.thread.start()
        assert ready.wait(10)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.loop.call_soon_threadsafe(self.over.set)
        self.thread.join(10)
        self.loop.close()

    def ask(self, method, path, body=None, headers=None):
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            client.request(method, path, body, headers or {})
            reply = client.getresponse()
            return reply.status, dict(reply.getheaders()), reply.read()
        finally:
            client.close()

    def predict(self, *values, path="/v1/models/line:predict", headers=None):
        return self.ask("POST", path, json.dumps({"instances": values}), headers)


def is_released(running):
    """Versions are let go right after the reply is written."""
    for _ in range(100):
        if not running.models.held:
            return True
        time.sleep(0.01)
    return False


def test_predict_names_the_version_that_answered_and_holds_nothing():
    with Running() as running:
        status, headers, body = running.predict(1.0, 2.0)
        assert (status, headers["X-Model-Version"]) == (200, "2")
        assert body == b'{\n    "predictions": [4.0, 6.0\n    ]\n}'
        assert running.predict(1.0, path="/v1/models/line/versions/1:predict")[1]["X-Model-Version"] == "1"
        assert running.predict(1.0, path="/v1/models/foo:predict")[0] == 404
        assert running.ask("POST", "/v1/models/line:predict", '{"instances": ["a"]}')[0] == 400
        assert is_released(running)


def test_bugs_are_internal_errors_that_show_nothing(capfd):
    with Running() as running:
        status, _, body = running.predict(666.0)
        assert status == 500 and json.loads(body) == {"error": "Internal error"}
        assert running.predict(1.0)[0] == 200 and is_released(running)
    assert "secret detail" in capfd.readouterr().err


def test_observers_see_calls_after_their_reply():
    watcher = Watcher()
    with Running(observers=[watcher], monitoring=Monitoring(True)) as running:
        headers = running.predict(1.0, 2.0, headers={"X-Request-Id": "abc"})[1]
        assert headers["X-Request-Id"] == "abc"
        made = running.predict(3.0)[1]["X-Request-Id"]
        running.predict(666.0)
        for _ in range(100):
            if len(watcher.calls) == 2:
                break
            time.sleep(0.01)
        first, second = watcher.calls
        assert first.inputs["x"].tolist() == [1, 2] and first.outputs["y"].tolist() == [4, 6]
        assert (first.model, first.version, first.signature, first.request_id) == ("line", 2, "serving_default", "abc")
        assert second.request_id == made and 0 < second.seconds < 5
        page = running.ask("GET", "/monitoring/prometheus/metrics")[2].decode()
        assert page.endswith("watched 1\n") and ':request_count{model_name="line",status="OK"} 2' in page
        assert ':request_count{model_name="line",status="INTERNAL"} 1' in page
    assert watcher.closed


def test_calls_through_the_extras_are_counted_and_observed():
    watcher, router = Watcher(), Weights(1)
    settings = Settings(extras_prefix="/keras_seq")
    with Running(settings, observers=[watcher], router=router, monitoring=Monitoring(True)) as running:
        ask = {"inputs": {"x": [1.0, 2.0]}}
        mine = {"X-Request-Id": "abc"}
        status, headers, body = running.ask("POST", "/keras_seq/models/line:predict", json.dumps(ask), mine)
        assert (status, headers["X-Request-Id"]) == (200, "abc"), body
        tensor = {"name": "x", "shape": [1], "datatype": "FP32", "data": [3.0]}
        status, headers, _ = running.ask("POST", "/keras_seq/v2/models/line/infer", json.dumps({"inputs": [tensor]}))
        made = headers["X-Request-Id"]
        assert status == 200 and made
        assert running.ask("POST", "/keras_seq/models/line:predict", "{}")[0] == 400
        for _ in range(100):
            if len(watcher.calls) == 2:
                break
            time.sleep(0.01)
        assert [call.inputs["x"].tolist() for call in watcher.calls] == [[1, 2], [3]]
        assert [call.request_id for call in watcher.calls] == ["abc", made] and router.keys == ["abc", made]
        page = running.ask("GET", "/monitoring/prometheus/metrics")[2].decode()
        assert ':request_count{model_name="line",status="OK"} 2' in page
        assert ':request_count{model_name="line",status="INVALID_ARGUMENT"} 1' in page
        assert is_released(running)


def test_an_observer_that_fails_harms_nobody():
    watcher = Watcher()
    watcher.served = lambda call: 1 / 0
    with Running(observers=[watcher]) as running:
        assert running.predict(1.0)[0] == 200 and running.predict(1.0)[0] == 200


def test_a_router_chooses_where_the_client_does_not():
    router = Weights(1)
    with Running(router=router) as running:
        assert running.predict(1.0, headers={"X-Request-Id": "me"})[1]["X-Model-Version"] == "1"
        assert running.predict(1.0)[1]["X-Model-Version"] == "1"
        assert router.keys == ["me", "127.0.0.1"]
        assert running.predict(1.0, path="/v1/models/line/versions/2:predict")[1]["X-Model-Version"] == "2"
        router.version = 9  # gone: the latest answers
        assert running.predict(1.0)[1]["X-Model-Version"] == "2"


def test_the_metrics_page_is_there_only_when_enabled_and_only_at_its_path():
    with Running() as running:
        assert running.ask("GET", "/monitoring/prometheus/metrics")[0] == 404
    with Running(monitoring=Monitoring(True, "/metrics")) as running:
        status, headers, _ = running.ask("GET", "/metrics")
        assert (status, headers["Content-Type"]) == (200, "text/plain")
        assert running.ask("GET", "/metrics?x")[:1] == (400,)
        assert running.ask("GET", "/monitoring/prometheus/metrics")[0] == 404


def test_tokens_guard_every_path():
    with Running(token=TOKEN, monitoring=Monitoring(True)) as running:
        for path in ("/v1/models/line", "/monitoring/prometheus/metrics", "/nothing"):
            status, headers, body = running.ask("GET", path)
            assert (status, headers["WWW-Authenticate"]) == (401, "Bearer") and b"token" in body
        allowed = {"Authorization": f"Bearer {TOKEN.decode()}"}
        assert running.predict(1.0, headers=allowed)[0] == 200


def test_deadlines_of_what_runs():
    settings = Settings(rest_api_timeout_in_ms=100)
    with Running(settings) as running:
        running.models.versions[2].fast = False
        status, _, body = running.predict(-1.0)
        assert status == 504 and json.loads(body) == {"error": "Timed out waiting for notification"}
        time.sleep(0.4)
        assert running.predict(1.0)[0] == 200 and is_released(running)


def test_many_clients_get_their_own_answers():
    with Running() as running:
        found = {}

        def work(number):
            client = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)
            for step in range(20):
                value = number * 100 + step
                client.request("POST", "/v1/models/line:predict", json.dumps({"instances": [value]}))
                found[value] = json.loads(client.getresponse().read())["predictions"]
            client.close()

        threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 240 and all(answer == [2.0 * value + 2] for value, answer in found.items())
        assert is_released(running)


def test_a_large_body_is_read_in_a_thread():
    values = np.arange(1000, 101_000, dtype=np.float32).tolist()
    with Running() as running:
        status, _, body = running.predict(*values)
        assert status == 200 and len(json.loads(body)["predictions"]) == len(values)
        assert running.ask("POST", "/v1/models/line:predict", b'{"instances": [' + b" " * 300_000)[0] == 400


@pytest.mark.parametrize("path", ["/keras_seq/live", "/keras_seq"])
def test_extras_answer_only_when_asked_for(path):
    with Running() as running:
        assert running.ask("GET", path)[0] == 404
    with Running(Settings(extras_prefix="/keras_seq")) as running:
        assert running.ask("GET", path)[0] == 200
        assert running.ask("GET", "/keras_sequence")[0] == 404
        assert running.predict(1.0)[0] == 200
