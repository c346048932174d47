"""The embedded server as a process, held against what the real one was recorded to answer."""

from __future__ import annotations

import concurrent.futures
import contextlib
import gzip
import http.client
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from tests.factories.serving_process import Server, read_reply, request
from tests.factories.tiers import tiers

pytestmark = pytest.mark.slow
SHARED = Path(os.environ.get("KERAS_SEQ_DATA", "")).parent / "serving"
FILE = SHARED / "tf_serving_cases.json"
CASES = json.loads(FILE.read_text()) if os.environ.get("KERAS_SEQ_DATA") and FILE.is_file() else []
PLAIN = [case for case in CASES if case["method"] not in ("SCENARIO",) and "server_flags" not in case]
LABELS = "--allow_version_labels_for_unavailable_models"  # the config has labels from the start
MONITORING = 'prometheus_config { enable: true path: "/monitoring/prometheus/metrics" }'
if not CASES:
    pytest.skip("the recorded cases are not beside the data home (KERAS_SEQ_DATA/../serving)", allow_module_level=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Models of make_models.py and their config; KERAS_SEQ_TEST_MODELS names models that were made before."""
    made = tmp_path_factory.mktemp("models")
    if os.environ.get("KERAS_SEQ_TEST_MODELS"):
        shutil.copytree(os.environ["KERAS_SEQ_TEST_MODELS"], made, dirs_exist_ok=True)
    else:
        command = [sys.executable, str(SHARED / "make_models.py"), str(made), "--lstm"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
    config = (SHARED / "models.config").read_text().replace("BASE", str(made))
    (made / "models.config").write_text(config)
    (made / "monitoring.config").write_text(MONITORING)
    return made


@pytest.fixture(scope="module")
def server(folder):
    flags = [f"--model_config_file={folder}/models.config", f"--monitoring_config_file={folder}/monitoring.config"]
    with Server(*flags, LABELS) as running:
        yield running
    assert "Traceback" not in running.text, running.text[-3000:]


def check(case, reply):
    assert reply.status == case["expect_status"], reply
    kind = case.get("expect_content_type")
    if kind:
        assert reply.headers["content-type"] == kind, reply
    raw = case.get("raw_body")
    body = reply.body.decode()
    if "expect_headers" in case:
        for name, value in case["expect_headers"].items():
            assert reply.headers[name.lower()] == value
    if case.get("graph_error"):  # the text is TensorFlow's, its end names nodes
        assert case["expect_body_contains"] in reply.json["error"], (case["expect_body_contains"], reply)
        return
    if case["id"] == "http_metrics":
        assert case["expect_body_contains"] in body
        return
    if raw is not None:
        assert body == raw
    elif "expect_json" in case:
        assert reply.json == case["expect_json"]
    elif case.get("expect_body_contains"):
        assert case["expect_body_contains"] in body


@pytest.mark.parametrize("case", PLAIN, ids=lambda case: case["id"])
def test_recorded_case(server, case):
    if case["id"] == "http_metrics":  # something must have been counted
        assert server.predict("half_plus_two", {"instances": [1]}).status == 200
    if case["method"] == "RAW":
        with server.connect() as client:
            client.sendall(case["path"].encode() + b"\r\n\r\n")
            reply = read_reply(client)
            check(case, reply)
            assert reply.headers["connection"] == "close" and client.recv(10) == b""
        return
    options = {"headers": case.get("headers"), "version": case.get("http_version", "1.1")}
    with server.connect() as client:
        for _ in range(case.get("repeat", 1)):
            reply = server.ask(case["method"], case["path"], case["body"], on=client, **options)
            check(case, reply)
        if options["version"] == "1.0":
            assert "content-length" not in reply.headers and client.recv(10) == b""
        elif case["id"] == "http_keepalive":
            assert {"content-length", "date"} <= set(reply.headers) and "server" not in reply.headers


def test_all_recorded_cases_are_used():
    others = {case["id"] for case in CASES} - {case["id"] for case in PLAIN}
    assert others == {"http_cors_on", "version_dir_removed"} and len(CASES) == 83


def test_cors(folder):
    (case,) = [case for case in CASES if case["id"] == "http_cors_on"]
    with Server(f"--model_base_path={folder}/half_plus_two", *case["server_flags"].split(), grpc=False) as running:
        check(case, running.ask(case["method"], case["path"], None, case["headers"]))
        reply = running.predict("default", {"instances": [1]})
        assert reply.headers["access-control-allow-origin"] == "*" and reply.json == {"predictions": [2.5]}
        assert "access-control-allow-origin" in running.predict("default", {}).headers


def states(server, model):
    """State by version."""
    reply = server.ask("GET", f"/v1/models/{model}")
    return {int(line["version"]): line["state"] for line in reply.json.get("model_version_status", [])}


def until(condition, seconds=30.0):
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_a_version_folder_that_goes_and_comes_back(folder, tmp_path):
    base = tmp_path / "versions"
    shutil.copytree(folder / "versions", base)
    config = tmp_path / "models.config"
    config.write_text(
        f"model_config_list {{ config {{ name: 'versions' base_path: '{base}' model_platform: 'tensorflow' "
        "model_version_policy { specific { versions: 1 versions: 2 } } } }"
    )
    with Server(f"--model_config_file={config}", "--file_system_poll_wait_seconds=0.2", grpc=False) as running:
        assert states(running, "versions") == {1: "AVAILABLE", 2: "AVAILABLE"}
        os.rename(base / "2", tmp_path / "away")
        assert until(lambda: states(running, "versions").get(2) == "END")
        os.rename(tmp_path / "away", base / "2")
        assert until(lambda: states(running, "versions").get(2) == "AVAILABLE")


class Hammer:
    """Threads that predict on kept connections until told to stop."""

    def __init__(self, server, model, threads=4):
        self.server, self.model, self.answers, self.failures = server, model, [], []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work) for _ in range(threads)]

    def _work(self):
        body, headers = json.dumps({"instances": [2.0]}), {"Content-Type": "application/json"}
        while not self._stop.is_set():
            client = http.client.HTTPConnection("127.0.0.1", self.server.rest, timeout=20)
            try:
                while not self._stop.is_set():
                    client.request("POST", f"/v1/models/{self.model}:predict", body, headers)
                    reply = client.getresponse()
                    content = reply.read()
                    if reply.status == 200:
                        self.answers.append(json.loads(content)["predictions"][0])
                    else:
                        self.failures.append((reply.status, content))
                    if reply.will_close:
                        break
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(("broken", repr(error)))
                time.sleep(0.02)
            finally:
                client.close()

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error):
        self._stop.set()
        for thread in self._threads:
            thread.join(30)


def test_hot_swap_under_load_and_a_broken_version(folder, tmp_path):
    base = tmp_path / "m"
    shutil.copytree(folder / "versions" / "1", base / "1")  # x/2 + 2
    flags = [f"--model_base_path={base}", "--file_system_poll_wait_seconds=0.2", "--max_num_load_retries=0"]
    with Server(*flags, grpc=False) as running, Hammer(running, "default") as hammer:
        time.sleep(0.5)
        shutil.copytree(folder / "versions" / "2", tmp_path / "2")  # x/2 + 3
        os.rename(tmp_path / "2", base / "2")
        assert until(lambda: hammer.answers[-1] == 4.0)
        assert until(lambda: states(running, "default").get(1) in ("END", None))
        old = running.ask("POST", "/v1/models/default/versions/1:predict", '{"instances": [2.0]}')
        assert old.status == 404
        (tmp_path / "3").mkdir()
        (tmp_path / "3" / "saved_model.pb").write_bytes(b"broken")
        os.rename(tmp_path / "3", base / "3")
        assert until(lambda: states(running, "default").get(3) == "END")
        error = running.ask("GET", "/v1/models/default/versions/3").json["model_version_status"][0]["status"]
        assert error["error_code"] != "OK" and error["error_message"]
        time.sleep(0.3)
    assert not hammer.failures, hammer.failures[:3]
    assert set(hammer.answers) == {3.0, 4.0} and len(hammer.answers) > 200
    assert sorted(hammer.answers[:50]) == [3.0] * 50 and hammer.answers[-50:] == [4.0] * 50


def test_a_killed_worker_is_replaced_and_new_connections_wait(folder):
    with Server(f"--model_base_path={folder}/half_plus_two", grpc=False) as running:
        (worker,) = running.workers()
        os.kill(worker, signal.SIGKILL)
        time.sleep(0.05)
        reply = running.predict("default", {"instances": [1]}, timeout=60)  # waits in the backlog
        assert reply.json == {"predictions": [2.5]}
        assert running.workers() != [worker] and "starting it again" in running.text


def test_two_workers_lose_only_what_is_in_flight(folder):
    flags = [
        f"--model_base_path={folder}/half_plus_two",
        "--workers=2",
        f"--monitoring_config_file={folder}/monitoring.config",
    ]
    with Server(*flags) as running, Hammer(running, "default", threads=6) as hammer:
        time.sleep(1.0)
        os.kill(running.workers()[0], signal.SIGKILL)
        assert until(lambda: len(running.workers()) == 2, 60)
        time.sleep(3.0)
        page = running.ask("GET", "/monitoring/prometheus/metrics").body.decode()
    assert len(hammer.failures) <= 12, hammer.failures[:20]
    assert all(kind == "broken" for kind, _ in hammer.failures), hammer.failures
    (line,) = [line for line in page.splitlines() if line.startswith(":tensorflow:serving:request_count{")]
    counted = int(line.rpartition(" ")[2])
    assert 0.5 * len(hammer.answers) < counted <= len(hammer.answers) + 12


def test_sigterm_finishes_what_is_in_flight(folder):
    with Server(f"--model_base_path={folder}/slow", grpc=False) as running:
        running.predict("default", {"instances": [1]})
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            calls = [pool.submit(running.predict, "default", {"instances": [4000]}) for _ in range(3)]
            time.sleep(0.3)
            assert not any(call.done() for call in calls)
            running.process.send_signal(signal.SIGTERM)
            replies = [call.result(60) for call in calls]
        assert [reply.status for reply in replies] == [200] * 3
        assert all(reply.headers["connection"] == "close" for reply in replies)
        assert running.process.wait(30) == 0


def test_a_worker_goes_with_its_supervisor(folder):
    with Server(f"--model_base_path={folder}/half_plus_two", grpc=False) as running:
        (worker,) = running.workers()
        running.process.kill()
        running.process.wait()
        assert until(lambda: not Path(f"/proc/{worker}").exists(), 20)


def test_the_deadline(folder):
    with Server(f"--model_base_path={folder}/slow", "--rest_api_timeout_in_ms=300", grpc=False) as running:
        running.predict("default", {"instances": [1]})
        reply = running.predict("default", {"instances": [20000]})
        assert reply.status == 504 and reply.json == {"error": "Timed out waiting for notification"}
        assert running.predict("default", {"instances": [1]}).status == 200
        start = time.monotonic()
        assert running.ask("GET", "/v1/models/default").status == 200 and time.monotonic() - start < 0.5


def test_status_is_answered_while_models_are_busy(folder):
    with Server(f"--model_base_path={folder}/slow", "--rest_api_num_threads=1", grpc=False) as running:
        running.predict("default", {"instances": [1]})
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            call = pool.submit(running.predict, "default", {"instances": [6000]})
            time.sleep(0.1)
            start = time.monotonic()
            assert running.ask("GET", "/v1/models/default").status == 200
            assert time.monotonic() - start < 0.5 and not call.done()
            assert call.result().status == 200


def test_a_full_queue_is_unavailable(folder):
    flags = [f"--model_base_path={folder}/slow", "--max_queue=2", "--rest_api_num_threads=1"]
    with Server(*flags, grpc=False) as running, concurrent.futures.ThreadPoolExecutor(8) as pool:
        running.predict("default", {"instances": [1]})
        replies = list(pool.map(lambda _: running.predict("default", {"instances": [3000]}), range(8)))
    refused = [reply for reply in replies if reply.status == 503]
    assert refused and all(reply.headers["retry-after"] == "1" and "error" in reply.json for reply in refused)
    assert {reply.status for reply in replies} == {200, 503}


def test_gzip_bodies_and_their_bounds(folder):
    with Server(f"--model_base_path={folder}/half_plus_two", "--max_body_mb=1", grpc=False) as running:
        gz = {"Content-Encoding": "gzip"}
        path = "/v1/models/default:predict"
        good = gzip.compress(b'{"instances": [1]}')
        assert running.ask("POST", path, good, gz).json == {"predictions": [2.5]}
        assert running.ask("POST", path, good[:-5], gz).status == 400
        assert running.ask("POST", path, gzip.compress(bytes(3 * 2**20)), gz).status == 413
        assert running.ask("POST", path, b" " * (2**20 + 1)).status == 413
        assert running.ask("POST", path, b'{"instances": [1]' + b" " * (2**20 - 18) + b"}").status == 200


def test_loopback_and_tokens(folder, tmp_path):
    token = tmp_path / "token"
    token.write_text("correct-horse-battery")
    with Server(f"--model_base_path={folder}/half_plus_two", f"--token_file={token}") as running:
        listening = subprocess.run(["ss", "-ltnH"], capture_output=True, text=True).stdout if shutil.which("ss") else ""
        for line in listening.splitlines():
            if line.split()[3].endswith((f":{running.rest}", f":{running.grpc}")):
                assert line.split()[3].startswith(("127.0.0.1:", "[::ffff:127.0.0.1]:")), line
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic correct-horse-battery"}):
            reply = running.predict("default", {"instances": [1]}, headers=headers)
            assert reply.status == 401 and reply.headers["www-authenticate"] == "Bearer" and "error" in reply.json
        headers = {"Authorization": "Bearer correct-horse-battery"}
        assert running.predict("default", {"instances": [1]}, headers=headers).status == 200
        grpc, stub = stubs(running)
        with pytest.raises(grpc.RpcError) as refused:
            stub.Predict(predict_request("default", x=np.float32([1])))
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        metadata = (("authorization", "Bearer correct-horse-battery"),)
        assert stub.Predict(predict_request("default", x=np.float32([1])), metadata=metadata)


def test_tls(folder, tmp_path):
    import ssl

    openssl = shutil.which("openssl")
    if not openssl:
        pytest.skip("openssl is not here")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(certificate)]
    command += ["-days", "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(command, check=True, capture_output=True)
    config = tmp_path / "ssl.config"
    texts = {"server_key": key.read_text(), "server_cert": certificate.read_text()}
    config.write_text("\n".join(f"{name}: {json.dumps(text)}" for name, text in texts.items()))
    with Server(f"--model_base_path={folder}/half_plus_two", f"--ssl_config_file={config}") as running:
        context = ssl.create_default_context(cafile=str(certificate))
        client = http.client.HTTPSConnection("localhost", running.rest, context=context, timeout=20)
        client.request("POST", "/v1/models/default:predict", '{"instances": [1]}')
        assert json.loads(client.getresponse().read()) == {"predictions": [2.5]}
        with pytest.raises((ConnectionError, TimeoutError)):
            running.predict("default", {"instances": [1]}, timeout=3)
        _, stub = stubs(running, certificate.read_bytes())
        assert stub.Predict(predict_request("default", x=np.float32([1]))).outputs["y"].float_val[0] == 2.5


# gRPC


def stubs(server, certificate=None, service="PredictionService"):
    grpc = pytest.importorskip("grpc")
    from serving.contract import protos

    if certificate:
        channel = grpc.secure_channel(f"localhost:{server.grpc}", grpc.ssl_channel_credentials(certificate))
    else:
        channel = grpc.insecure_channel(f"127.0.0.1:{server.grpc}")
    file = {"PredictionService": "prediction_service", "ModelService": "model_service"}[service]
    return grpc, getattr(protos.load(f"tensorflow_serving/apis/{file}_pb2_grpc"), f"{service}Stub")(channel)


def predict_request(model, *, signature="", version=None, label=None, outputs=(), **arrays):
    from serving.contract import protos
    from serving.contract.tensor_protos import to_proto

    made = protos.apis("predict").PredictRequest()
    made.model_spec.name, made.model_spec.signature_name = model, signature
    if version is not None:
        made.model_spec.version.value = version
    if label is not None:
        made.model_spec.version_label = label
    for name, array in arrays.items():
        to_proto(np.asarray(array), made.inputs[name], content=True)
    made.output_filter.extend(outputs)
    return made


def test_grpc_predict(server):
    from serving.contract.tensor_protos import to_array

    _, stub = stubs(server)
    reply = stub.Predict(predict_request("half_plus_two", x=np.float32([1, 2])))
    assert to_array(reply.outputs["y"], "y").tolist() == [2.5, 3.0]
    assert (reply.model_spec.name, reply.model_spec.version.value) == ("half_plus_two", 1)
    assert reply.model_spec.signature_name == "serving_default"
    reply = stub.Predict(predict_request("versions", label="canary", x=np.float32([0])))
    assert to_array(reply.outputs["y"], "y").tolist() == [3.0] and reply.model_spec.version.value == 2
    reply = stub.Predict(predict_request("versions", version=1, x=np.float32([0])))
    assert to_array(reply.outputs["y"], "y").tolist() == [2.0]
    two = {"a": np.float32([1]), "b": np.float32([[1, 2]])}
    assert set(stub.Predict(predict_request("two_io", outputs=["cnt"], **two)).outputs) == {"cnt"}
    text = stub.Predict(predict_request("text", s=np.array([b"abc", b"\xff"], object)))
    assert list(text.outputs["s_bytes"].string_val) == [b"abc", b"\xff"]


@pytest.mark.parametrize("name", ["i32", "i64", "u8", "f64", "boolean", "i8", "i16", "u32", "u64", "f16", "bf16"])
def test_grpc_dtypes(server, name):
    import ml_dtypes

    from serving.contract.tensor_protos import to_array

    kinds = {"i32": np.int32, "i64": np.int64, "u8": np.uint8, "f64": np.float64, "boolean": np.bool_, "i8": np.int8}
    kinds |= {"i16": np.int16, "u32": np.uint32, "u64": np.uint64, "f16": np.float16, "bf16": ml_dtypes.bfloat16}
    given = np.array([0, 1, 100, 1], np.int64).astype(kinds[name])
    _, stub = stubs(server)
    found = to_array(stub.Predict(predict_request("types", signature=name, x=given)).outputs["y"], "y")
    assert found.dtype == given.dtype and np.array_equal(found, given)


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        ({"model": "foo", "x": np.float32([1])}, "NOT_FOUND", "Servable not found for request: Latest(foo)"),
        (
            {"model": "half_plus_two", "version": 50, "x": np.float32([1])},
            "NOT_FOUND",
            "Servable not found for request: Specific(half_plus_two, 50)",
        ),
        ({"model": "", "x": np.float32([1])}, "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        (
            {"model": "half_plus_two", "signature": "q", "x": np.float32([1])},
            "FAILED_PRECONDITION",
            'Serving signature key "q" not found.',
        ),
        (
            {"model": "half_plus_two", "q": np.float32([1])},
            "INVALID_ARGUMENT",
            "Signature input alias: x(feed name: serving_default_x:0) not found in request",
        ),
        ({"model": "half_plus_two"}, "INVALID_ARGUMENT", "input size does not match signature: 0!=1"),
        ({"model": "half_plus_two", "x": np.float64([1])}, "INVALID_ARGUMENT", "to be float but double is provided"),
        (
            {"model": "half_plus_two", "outputs": ["z"], "x": np.float32([1])},
            "INVALID_ARGUMENT",
            "output tensor alias not found in signature: z",
        ),
        ({"model": "versions", "label": "none", "x": np.float32([1])}, "INVALID_ARGUMENT", "label"),
        (
            {"model": "two_io", "a": np.float32([1, 2, 3]), "b": np.float32([[1, 2], [3, 4]])},
            "INVALID_ARGUMENT",
            "Incompatible shapes: [3,1] vs. [2,2]",
        ),
    ],
)
def test_grpc_errors_have_rests_codes_and_texts(server, options, code, text):
    grpc, stub = stubs(server)
    with pytest.raises(grpc.RpcError) as refused:
        stub.Predict(predict_request(**options))
    assert refused.value.code().name == code and text in refused.value.details()


def examples(*values):
    from serving.contract import protos

    made = []
    for value in values:
        example = protos.example().Example()
        example.features.feature["x"].float_list.value.append(value)
        made.append(example)
    return made


def test_grpc_classify_regress_and_both(server):
    from serving.contract import protos

    _, stub = stubs(server)
    asked = protos.apis("classification").ClassificationRequest()
    asked.model_spec.name, asked.model_spec.signature_name = "reg", "classify_x_to_y"
    asked.input.example_list.examples.extend(examples(10.0))
    (row,) = stub.Classify(asked).result.classifications
    assert [(each.label, each.score) for each in row.classes] == [("low", 7.0), ("high", -6.0)]
    asked = protos.apis("regression").RegressionRequest()
    asked.model_spec.name, asked.model_spec.signature_name = "reg", "regress_x_to_y"
    asked.input.example_list.examples.extend(examples(2.0, 4.0))
    reply = stub.Regress(asked)
    assert [each.value for each in reply.result.regressions] == [3.0, 4.0]
    assert reply.model_spec.version.value == 1
    asked = protos.apis("inference").MultiInferenceRequest()
    asked.input.example_list.examples.extend(examples(2.0))
    for name, method in (("classify_x_to_y", "classify"), ("regress_x_to_y", "regress")):
        task = asked.tasks.add(method_name=f"tensorflow/serving/{method}")
        task.model_spec.name, task.model_spec.signature_name = "reg", name
    first, second = stub.MultiInference(asked).results
    assert len(first.classification_result.classifications[0].classes) == 2
    assert second.regression_result.regressions[0].value == 3.0
    assert second.model_spec.signature_name == "regress_x_to_y"


def test_grpc_metadata_and_status(server):
    from serving.contract import protos

    grpc, stub = stubs(server)
    module = protos.apis("get_model_metadata")
    asked = module.GetModelMetadataRequest(metadata_field=["signature_def"])
    asked.model_spec.name = "half_plus_two"
    reply = stub.GetModelMetadata(asked)
    found = module.SignatureDefMap()
    assert reply.metadata["signature_def"].Unpack(found) and reply.model_spec.version.value == 1
    assert found.signature_def["serving_default"].inputs["x"].dtype == 1
    with pytest.raises(grpc.RpcError, match="at least one metadata_field"):
        stub.GetModelMetadata(module.GetModelMetadataRequest(model_spec=asked.model_spec))
    _, service = stubs(server, service="ModelService")
    module = protos.apis("get_model_status")
    asked = module.GetModelStatusRequest()
    asked.model_spec.name = "versions"
    states = service.GetModelStatus(asked).model_version_status
    assert [(state.version, state.state) for state in states] == [(3, 30), (2, 30), (1, 30)]
    asked.model_spec.name = "foo"
    with pytest.raises(grpc.RpcError, match="Could not find any versions of model foo"):
        service.GetModelStatus(asked)


@pytest.mark.parametrize("workers", tiers([1, 2], slow=[2]))
def test_grpc_reload(folder, workers):
    from google.protobuf import text_format

    from serving.contract import protos

    with Server(f"--model_base_path={folder}/half_plus_two", f"--workers={workers}") as running:
        _, service = stubs(running, service="ModelService")
        asked = protos.apis("model_management").ReloadConfigRequest()
        text_format.Parse(
            f"model_config_list {{ config {{ name: 'new' base_path: '{folder}/versions' "
            "model_platform: 'tensorflow' } }",
            asked.config,
        )
        reply = service.HandleReloadConfigRequest(asked)
        assert reply.status.error_code == 0, reply
        assert until(lambda: all(running.predict("new", {"instances": [0]}).status == 200 for _ in range(12)))
        assert running.predict("new", {"instances": [0]}).json == {"predictions": [4.0]}
        assert until(lambda: all(running.predict("default", {"instances": [0]}).status == 404 for _ in range(12)))
        asked.config.model_config_list.config[0].base_path = "relative"
        assert service.HandleReloadConfigRequest(asked).status.error_code == 3
        for worker in running.workers():  # the config outlives the worker that was given it
            os.kill(worker, signal.SIGKILL)
        assert running.predict("new", {"instances": [0]}, timeout=60).json == {"predictions": [4.0]}


def test_random_tensors_are_exact_in_both_formats_and_both_protocols(server):
    """Identity and sums over 1,000 random tensors."""
    from serving.contract.tensor_protos import to_array

    rng, picker = np.random.default_rng(5), random.Random(5)
    _, stub = stubs(server)
    with server.connect() as client:
        for number in range(1000):
            shape = tuple(rng.integers(1, 5, size=2))
            given = (rng.normal(size=shape) * 10.0 ** rng.integers(-6, 7)).astype(np.float32)
            row = picker.random() < 0.5
            body = {"signature_name": "mat", "instances" if row else "inputs": given.tolist()}
            reply = server.ask("POST", "/v1/models/types:predict", json.dumps(body), on=client)
            assert reply.status == 200, reply
            found = np.array(reply.json["predictions" if row else "outputs"], np.float64)
            assert found.shape == shape
            close = np.abs(found - given) <= 5e-6 * np.abs(given) + 1e-45  # six digits are written where they suffice
            assert close.all(), (number, given, found)
            if number % 4 == 0:
                answer = stub.Predict(predict_request("types", signature="mat", x=given)).outputs["y"]
                assert np.array_equal(to_array(answer, "y"), given)
        for _ in range(200):
            given = rng.integers(-(2**31), 2**31, size=rng.integers(1, 6))
            body = json.dumps({"signature_name": "i32", "instances": given.tolist()})
            assert server.ask("POST", "/v1/models/types:predict", body, on=client).json == {
                "predictions": given.tolist()
            }


# what nobody should send


SEEDS = [
    b'{"instances": [1.0, 2.0, 5.0]}',
    b'{"inputs": {"x": [1, 2]}}',
    b'{"signature_name": "serving_default", "instances": [{"x": 1}]}',
    b'{"instances": [{"b64": "aGk="}]}',
    b'{"instances": [[NaN, -Inf], [1e39, 1e-320]]}',
    b'{"examples": [{"x": [1.0]}], "context": {"y": "\\u00e9\\ud83d\\ude00"}}',
]
PATHS = [
    "/v1/models/half_plus_two:predict",
    "/v1/models/types:predict",
    "/v1/models/text:predict",
    "/v1/models/reg:classify",
    "/v1/models/reg:regress",
    "/v1/models/two_io/versions/1:predict",
    "/v1/models/versions/labels/stable:predict",
]
ODD_PATHS = [
    "/v1/models/%00:predict", "/v1/models/../../etc/passwd", "/v1/models/half_plus_two/versions/99999999999999999999",
    "/v1/models/%ff%fe:predict", "//v1//models", "/v1/models/" + "a" * 5000, "/v1/models/half_plus_two:PREDICT",
    "/v1/models/half_plus_two/versions/-1:predict", "*", "http://x/v1/models/half_plus_two",
    "/v1/models/a%2Fb/metadata",
    "/v1/models/half_plus_two/labels/%20:predict", "/v1/models?x=/", "/v1/models/half_plus_two#f", "/v1/\\models",
]  # fmt: skip


def mutated(rng, body):
    data = bytearray(body)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(5)
        if kind == 0 and data:
            data[at % len(data)] = rng.randrange(256)
        elif kind == 1:
            data[at:at] = rng.choice(
                [b"[", b"]", b"{", b'"', b",", b"\\", b"\xff", b"\x00", b"e99999", b"\\ud800", b"-"]
            )
        elif kind == 2:
            del data[at : at + rng.randint(1, 8)]
        elif kind == 3:
            data[at:at] = data[at : at + 10] * rng.randint(1, 3)
        else:
            data[at:at] = b"[" * rng.randint(1, 300)
    return bytes(data)


def fuzzed(rng):
    """Bytes of one request and its method."""
    method, path = rng.choice(["POST"] * 8 + ["GET", "PUT", "HEAD", "OPTIONS", "DELETE"]), rng.choice(PATHS)
    if rng.random() < 0.1:
        path = rng.choice(ODD_PATHS)
    body = mutated(rng, rng.choice(SEEDS))
    headers = {}
    if rng.random() < 0.1:
        headers["Content-Encoding"] = "gzip"
        packed = gzip.compress(body, 1)
        body = packed[: rng.randint(0, len(packed))]
    if rng.random() < 0.05:
        headers["X-" + "a" * rng.randint(1, 200)] = "b" * rng.randint(1, 2000)
    if rng.random() < 0.1:
        headers["Transfer-Encoding"] = "chunked"
    return request(method, path, body, headers), method


def memory_mb(process):
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise AssertionError


def test_ten_thousand_broken_requests(folder):
    flags = [f"--model_config_file={folder}/models.config", LABELS, "--max_body_mb=2"]
    with Server(*flags, grpc=False) as running:
        (worker,) = running.workers()
        rng, statuses = random.Random(11), {}
        client = running.connect()
        before = 0.0
        for number in range(10_000):
            if number == 1000:
                before = memory_mb(worker)
            data, method = fuzzed(rng)
            try:
                client.sendall(data)
                reply = read_reply(client, method)
            except OSError as error:
                raise AssertionError(f"no reply to {data!r}") from error
            statuses[reply.status] = statuses.get(reply.status, 0) + 1
            assert reply.status < 500 or reply.status == 501, (data, reply)
            assert b"Traceback" not in reply.body and b"site-packages" not in reply.body, reply
            if reply.headers.get("connection") == "close":
                client.close()
                client = running.connect()
        client.close()
        assert {200, 400, 404} <= set(statuses), statuses
        assert running.workers() == [worker], "it died"
        assert memory_mb(worker) < before + 150
        assert "Traceback" not in running.text, running.text[-3000:]
        assert running.predict("half_plus_two", {"instances": [1]}).status == 200


def test_raw_bytes_and_half_requests(folder):
    flags = [f"--model_base_path={folder}/half_plus_two", "--read_timeout_s=1", "--max_body_mb=1"]
    with Server(*flags, grpc=False) as running:
        (worker,) = running.workers()
        rng = random.Random(3)
        good = request("POST", "/v1/models/default:predict", '{"instances": [1]}')
        slow = [running.connect() for _ in range(50)]
        for client in slow:
            client.sendall(good[: rng.randint(1, len(good) - 1)])
        for number in range(1000):
            data = bytearray(good if number % 2 else rng.randbytes(rng.randint(1, 400)))
            for _ in range(rng.randint(0, 5)):
                data[rng.randrange(len(data))] = rng.randrange(256)
            with running.connect() as client:
                client.sendall(data)
                if number % 10 == 0:
                    client.settimeout(0.05)
                    with contextlib.suppress(OSError):
                        assert not client.recv(65536).startswith(b"HTTP/1.1 5"), data
        for client in slow:
            client.settimeout(10)
            assert client.recv(65536)[:13] in (b"HTTP/1.1 408 ", b"HTTP/1.1 400 ")
            client.close()
        assert running.workers() == [worker] and "Traceback" not in running.text, running.text[-2000:]
        assert running.predict("default", {"instances": [1]}).status == 200


def test_a_large_doubtful_body_does_not_stop_other_calls(server):
    body = '{"instances": [' + ",".join(itertools.repeat("NaN", 200_000)) + "]}"
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        call = pool.submit(server.ask, "POST", "/v1/models/half_plus_two:predict", body)
        slowest = 0.0
        while not call.done():
            start = time.monotonic()
            assert server.ask("GET", "/v1/models/half_plus_two").status == 200
            slowest = max(slowest, time.monotonic() - start)
        assert call.result().status == 200 and slowest < 1.0


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (gzip.compress(b"", mtime=0) * 200_000, 413),
        (gzip.compress(b"", mtime=0) * (64 * 2**20 // 20), 413),
        (gzip.compress(bytes(10**9)), 413),
        (gzip.compress(b'{"instances": [1' + b" " * 60_000_000 + b"]}"), 200),
        (gzip.compress(b" ", mtime=0) * 60_000 + gzip.compress(b'{"instances": [1]}'), 200),
        (gzip.compress(b" ", mtime=0) * 60_000, 400),
    ],
    ids=["200,000 empty members", "64 MiB of them", "1000 to 1", "large inflated", "60,000 members", "only blanks"],
)
def test_a_doubtful_gzip_body_does_not_stop_other_calls(server, body, status):
    path = "/v1/models/half_plus_two:predict"
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        call = pool.submit(server.ask, "POST", path, body, {"Content-Encoding": "gzip"})
        slowest = 0.0
        while not call.done():
            start = time.monotonic()
            assert server.ask("POST", path, b'{"instances": [1]}').json == {"predictions": [2.5]}
            slowest = max(slowest, time.monotonic() - start)
        assert call.result().status == status and slowest < 1.0
