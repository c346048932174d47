from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from keras_seq.errors import ConfigError, ServingError
from serving.models.batching import read_batching, read_monitoring
from serving.models.config import read_config
from serving.models.policy import VersionPolicy
from serving.server.metrics import Metrics
from serving.settings import parse
from serving.tf_serving import commands, dashboard, images, launch
from serving.tf_serving.write import health, object_names, render, write

NAMES = ["fd001", "Casting_v2"]
PINNED = re.compile(r"[\w./-]+:v?\d+\.\d+\.\d+")
API = {
    "PersistentVolumeClaim": "v1",
    "ConfigMap": "v1",
    "Deployment": "apps/v1",
    "Service": "v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
    "PodDisruptionBudget": "policy/v1",
}


@pytest.fixture
def models(tmp_path):
    for name in NAMES:
        (tmp_path / "models" / name / "1").mkdir(parents=True)
    return tmp_path / "models"


@pytest.fixture
def deploy(models, tmp_path):
    write(tmp_path / "deploy", models)
    return tmp_path / "deploy"


def kubernetes(deploy):
    return {item["kind"]: item for item in yaml.safe_load_all((deploy / "kubernetes.yaml").read_text())}


def test_text_protos_are_read_by_their_message_classes(deploy):
    config = read_config(deploy / "config" / "models.config")
    assert {model.name: str(model.base_path) for model in config.models} == {name: f"/models/{name}" for name in NAMES}
    assert all(model.policy == VersionPolicy(latest=1) for model in config.models)
    batching = read_batching(deploy / "config" / "batching.config")
    assert (batching.max_batch_size, batching.pad_variable_length_inputs) == (32, True)
    assert read_monitoring(deploy / "config" / "monitoring.config").enable


def test_every_yaml_file_parses_and_says_what_to_change(deploy):
    found = [path for path in deploy.rglob("*.y*ml")]
    assert len(found) == 7
    for path in found:
        text = path.read_text()
        assert all(isinstance(part, dict) for part in yaml.safe_load_all(text))
        assert text.startswith("#") and "$" not in re.sub(r"\$\{GRAFANA_PASSWORD:\?[^}]*}|\$\$model", "", text)
    for name in ("compose.yaml", "kubernetes.yaml", "kserve-fd001.yaml"):
        assert "change" in (deploy / name).read_text()


def test_compose(deploy, models):
    compose = yaml.safe_load((deploy / "compose.yaml").read_text())
    services = compose["services"]
    assert set(services) == {"serving", "prometheus", "grafana", "mlflow"}
    assert set(compose) == {"name", "services", "volumes"}
    for name, service in services.items():
        assert PINNED.fullmatch(service["image"]), name
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]), name
        for needed in service.get("depends_on", {}):
            assert needed in services
        for volume in service["volumes"]:
            source, target = (volume["source"], volume["target"]) if isinstance(volume, dict) else volume.split(":")[:2]
            assert target.startswith("/")
            local = source.startswith(("./", "/"))
            assert (deploy / source).exists() if local else source in compose["volumes"], volume
    bound = {"type": "bind", "source": str(models), "target": "/models", "read_only": True}
    assert services["serving"]["volumes"][1] == bound
    assert services["serving"]["image"] == images.serving_image()
    assert re.search(r"\$\{GRAFANA_PASSWORD:\?", services["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"])


def test_flags_of_the_server_are_flags_it_has(deploy):
    compose = yaml.safe_load((deploy / "compose.yaml").read_text())
    container = kubernetes(deploy)["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    for flags in (compose["services"]["serving"]["command"], container["args"]):
        settings = parse(flags)
        assert len(settings.given) == len(flags)  # none of them is ours
        for name in ("model_config_file", "monitoring_config_file", "batching_parameters_file"):
            assert (deploy / "config" / Path(getattr(settings, name)).name).is_file()


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_the_health_check_tells_ready_from_not(tmp_path):
    import http.server
    import threading

    states = {"fd001": "AVAILABLE", "two": "AVAILABLE"}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            state = states[self.path.rpartition("/")[2]]
            self.wfile.write(json.dumps({"model_version_status": [{"version": "1", "state": state}]}).encode())

        def log_message(self, *words):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    text = health(list(states)).replace("8501", str(server.server_port))
    try:
        assert subprocess.run(["bash", "-c", text], check=False).returncode == 0
        states["two"] = "LOADING"
        assert subprocess.run(["bash", "-c", text], check=False).returncode == 1
    finally:
        server.shutdown()
        server.server_close()
    assert subprocess.run(["bash", "-c", text], check=False, capture_output=True).returncode == 1  # nobody there


def test_kubernetes_objects_fit_together(deploy):
    objects = kubernetes(deploy)
    assert {kind: item["apiVersion"] for kind, item in objects.items()} == API
    deployment = objects["Deployment"]["spec"]
    pod, labels = deployment["template"]["spec"], deployment["template"]["metadata"]["labels"]
    for selector in (
        deployment["selector"]["matchLabels"],
        objects["Service"]["spec"]["selector"],
        objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        pod["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()
    for item in objects.values():
        assert item["metadata"]["labels"].items() <= labels.items()
    reference = objects["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (reference["apiVersion"], reference["kind"], reference["name"]) == (
        "apps/v1",
        "Deployment",
        objects["Deployment"]["metadata"]["name"],
    )
    autoscaler, budget = objects["HorizontalPodAutoscaler"]["spec"], objects["PodDisruptionBudget"]["spec"]
    assert budget["minAvailable"] < autoscaler["minReplicas"] <= autoscaler["maxReplicas"]
    assert objects["PersistentVolumeClaim"]["spec"]["accessModes"] == ["ReadWriteMany"]


def test_pod(deploy):
    objects = kubernetes(deploy)
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert {f"--port={ports['grpc']}", f"--rest_api_port={ports['http']}"} <= set(container["args"])
    assert {(port["name"], port["targetPort"]) for port in objects["Service"]["spec"]["ports"]} == {
        (name, name) for name in ports
    }
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        action = container[probe].get("httpGet") or container[probe]["tcpSocket"]
        assert action["port"] in ports
    assert container["startupProbe"]["httpGet"]["path"] == "/v1/models/Casting_v2"
    assert set(container["resources"]) == {"requests", "limits"}
    assert all(set(amounts) == {"cpu", "memory"} for amounts in container["resources"].values())
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    assert (
        volumes["models"]["persistentVolumeClaim"]["claimName"] == objects["PersistentVolumeClaim"]["metadata"]["name"]
    )
    assert volumes["config"]["configMap"]["name"] == objects["ConfigMap"]["metadata"]["name"]
    assert PINNED.fullmatch(container["image"])
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    for name, text in objects["ConfigMap"]["data"].items():
        assert text.rstrip("\n") == (deploy / "config" / name).read_text().rstrip("\n")
        assert f"{mounted['config']}/{name}" in " ".join(container["args"])
    annotations = objects["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    monitoring = read_monitoring(deploy / "config" / "monitoring.config")
    assert annotations["prometheus.io/path"] == monitoring.path
    assert annotations["prometheus.io/port"] == str(ports["http"])


def test_kserve(deploy):
    claim = kubernetes(deploy)["PersistentVolumeClaim"]["metadata"]["name"]
    for model, name in (("fd001", "fd001"), ("Casting_v2", "casting-v2")):
        found = yaml.safe_load((deploy / f"kserve-{name}.yaml").read_text())
        assert (found["apiVersion"], found["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
        assert found["metadata"]["name"] == name
        predictor = found["spec"]["predictor"]
        assert predictor["minReplicas"] <= predictor["maxReplicas"]
        assert {"scaleMetric", "scaleTarget"} <= set(predictor)
        assert predictor["model"]["modelFormat"] == {"name": "tensorflow"}
        assert predictor["model"]["storageUri"] == f"pvc://{claim}/{model}"
        assert predictor["model"]["runtimeVersion"] == images.serving_tag()


def test_prometheus_and_grafana_point_at_one_another(deploy):
    services = yaml.safe_load((deploy / "compose.yaml").read_text())["services"]
    scrape = yaml.safe_load((deploy / "prometheus.yml").read_text())["scrape_configs"][0]
    host, port = scrape["static_configs"][0]["targets"][0].split(":")
    assert host in services and f"--rest_api_port={port}" in services[host]["command"]
    assert scrape["metrics_path"] == read_monitoring(deploy / "config" / "monitoring.config").path
    source = yaml.safe_load((deploy / "grafana/provisioning/datasources/prometheus.yaml").read_text())["datasources"][0]
    assert source["url"] == "http://prometheus:9090"
    found = json.loads((deploy / "grafana/dashboards/serving.json").read_text())
    for panel in found["panels"]:
        assert {panel["datasource"]["uid"], *(target["datasource"]["uid"] for target in panel["targets"])} == {
            source["uid"]
        }
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in found["panels"]]
    assert len(set(places)) == len(places)
    provider = yaml.safe_load((deploy / "grafana/provisioning/dashboards/serving.yaml").read_text())["providers"][0]
    mounts = [volume.split(":")[1] for volume in services["grafana"]["volumes"]]
    assert provider["options"]["path"] in mounts


def test_the_dashboard_asks_for_metrics_that_are_exported():
    from serving.monitor import prometheus

    metrics = Metrics()
    exported = {each.name for each in vars(metrics).values() if hasattr(each, "lines")}
    exported |= {f"{name}_bucket" for name in exported}
    exported |= {f"{prometheus.PREFIX}_{name}" for name in prometheus.HELP}
    used = {name for query in dashboard.queries() for name in re.findall(r"(:[a-z_:]+|keras_seq_\w+)", query)}
    assert len(used) >= 8
    assert used <= exported, used - exported
    labels = {name: each.labels for name, each in ((m.name, m) for m in vars(metrics).values() if hasattr(m, "lines"))}
    for query in dashboard.queries():
        for name, given in labels.items():
            if name in query and "model_name" in query and "monitor" not in query:
                assert "model_name" in given, (name, query)


def test_names_for_kubernetes():
    assert object_names(["a.b", "Ä-x", "x" * 80]) == {"a.b": "a-b", "Ä-x": "x", "x" * 80: "x" * 63}
    with pytest.raises(ConfigError, match=r"'a_b' and 'a.b' would both be 'a-b'"):
        object_names(["a_b", "a.b"])


def test_wrong_folders(tmp_path, models):
    with pytest.raises(ConfigError, match=r"cannot be read"):
        write(tmp_path / "d", tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"holds no model"):
        write(tmp_path / "d", tmp_path / "empty")
    with pytest.raises(ConfigError, match=r"not written by this command"):
        write(models, models, replace=True)
    (models / "two words" / "1").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"'two words' has a name that URLs cannot carry"):
        write(tmp_path / "d", models)
    assert not (tmp_path / "d").exists()


def test_written_again_only_when_asked(deploy, models):
    with pytest.raises(OSError, match=r"exists already"):
        write(deploy, models)
    assert write(deploy, models, replace=True)


def test_dollars_in_a_folder_survive():
    compose = yaml.safe_load(render(["m"], Path("/a$b/models"))["compose.yaml"])
    assert compose["services"]["serving"]["volumes"][1]["source"] == "/a$$b/models"  # Compose reads $$ as $


def plan(tmp_path, *flags):
    return commands.plan(parse(flags), tmp_path)


def test_the_binary_gets_the_flags_as_given(tmp_path, models):
    made = plan(tmp_path, "--model_name=fd001", f"--model_base_path={models / 'fd001'}", "--rest_api_port=9001")
    assert commands.binary(made) == [
        "tensorflow_model_server",
        "--model_name=fd001",
        f"--model_base_path={models / 'fd001'}",
        "--rest_api_port=9001",
        "--port=8500",
    ]


def test_a_folder_of_models_becomes_a_config_file(tmp_path, models):
    made = plan(tmp_path, f"--models={models}")
    assert f"--model_config_file={tmp_path / 'models.config'}" in made.flags
    found = read_config(tmp_path / "models.config")
    assert {model.name: model.base_path for model in found.models} == {name: models / name for name in NAMES}


def test_the_container_sees_what_the_flags_name(tmp_path, models, deploy):
    flags = [f"--models={models}", f"--monitoring_config_file={deploy / 'config' / 'monitoring.config'}"]
    settings = parse([*flags, "--backend=docker"])
    command = commands.docker(commands.plan(settings, tmp_path), settings, "name")
    mounts = [word for word in command if word.startswith("type=bind")]
    for path in (tmp_path / "models.config", deploy / "config" / "monitoring.config", *(models / n for n in NAMES)):
        assert f"type=bind,source={path},target={path},readonly" in mounts
    assert [command[i + 1] for i, word in enumerate(command) if word == "--publish"] == [
        "127.0.0.1:8500:8500",
        "127.0.0.1:8501:8501",
    ]
    image = command.index(images.serving_image())
    assert command[image - 2 : image] == ["--entrypoint", "tensorflow_model_server"]
    assert all(word.startswith("--") for word in command[image + 1 :])


@pytest.mark.parametrize("flag", ["--extras_prefix=/x", "--token_file=/t", "--workers=2", "--onnx_threads=2"])
def test_flags_of_the_embedded_server_are_refused(tmp_path, models, flag):
    with pytest.raises(ConfigError, match=rf"{flag.partition('=')[0]} is a flag of the embedded server"):
        plan(tmp_path, f"--models={models}", flag)


def test_files_that_are_not_there(tmp_path, models):
    with pytest.raises(ConfigError, match=r"/none/x' does not exist"):
        plan(tmp_path, f"--models={models}", "--monitoring_config_file=/none/x")
    with pytest.raises(ConfigError, match=r"cannot be read"):
        plan(tmp_path, f"--models={tmp_path / 'none'}")


def settings_of(models, *flags):
    return parse([f"--models={models}", "--port=0", *flags])


def stand_in(folder, monkeypatch, text):
    """An executable of the server's name."""
    folder.mkdir()
    path = folder / "tensorflow_model_server"
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_without_the_binary(tmp_path, models, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServingError, match=r"tensorflow_model_server is not on PATH"):
        launch.launch(settings_of(models, "--backend=tensorflow_model_server"))
    with pytest.raises(ServingError, match=r"docker is not on PATH"):
        launch.launch(settings_of(models, "--backend=docker"))


@pytest.mark.skipif(shutil.which("docker") is None, reason="docker is not installed")
def test_without_a_docker_daemon(models, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with pytest.raises(ServingError, match=r"docker cannot run containers: .* --backend=embedded"):
        launch.launch(settings_of(models, "--backend=docker"))


def test_the_binary_is_not_opened_to_the_network_by_chance(tmp_path, models, monkeypatch):
    stand_in(tmp_path / "bin", monkeypatch, "raise SystemExit('started')")
    with pytest.raises(ConfigError, match=r"every address of this machine"):
        launch.launch(settings_of(models, "--backend=tensorflow_model_server"))


def test_a_server_that_dies_is_quoted(tmp_path, models, monkeypatch):
    stand_in(tmp_path / "bin", monkeypatch, "print('Failed to start server: no such model'); raise SystemExit(7)")
    with pytest.raises(ServingError, match=r"code 7 before it answered; .*Failed to start server: no such model"):
        launch.launch(settings_of(models, "--backend=tensorflow_model_server", "--insecure"))


ANSWERS = """
import http.server, json, sys
port = next(int(word.partition("=")[2]) for word in sys.argv if word.startswith("--rest_api_port"))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"model_version_status": [
            {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        pass
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


def test_ready_then_told_to_end(tmp_path, models, monkeypatch):
    import os
    import signal
    import socket
    import time

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    stand_in(tmp_path / "bin", monkeypatch, ANSWERS)
    flags = [
        f"--models={models}",
        "--backend=tensorflow_model_server",
        "--insecure",
        "--port=0",
        f"--rest_api_port={port}",
    ]
    code = (
        "import sys; from serving.settings import parse; from serving.tf_serving.launch import launch; "
        "sys.exit(launch(parse(sys.argv[1:])))"
    )
    started = subprocess.Popen([sys.executable, "-c", code, *flags], stderr=subprocess.PIPE, text=True, env=os.environ)
    said = []
    for line in started.stderr:
        said.append(line)
        if line.startswith("ready:"):
            break
    assert said[-1] == "ready: Casting_v2, fd001\n", said
    time.sleep(0.1)
    started.send_signal(signal.SIGTERM)
    assert started.wait(10) == 0
    started.stderr.close()
    with pytest.raises(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        pass
