"""Write the files that TensorFlow Serving is deployed with: Docker Compose, Prometheus, Grafana, Kubernetes, KServe.

::

    FOLDER/
      compose.yaml                       server, Prometheus, Grafana, MLflow
      config/                            models.config, batching.config, monitoring.config
      prometheus.yml
      grafana/provisioning/..., grafana/dashboards/serving.json
      kubernetes.yaml                    PersistentVolumeClaim, ConfigMap, Deployment, Service, autoscaler, budget
      kserve-NAME.yaml                   an InferenceService a model
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any

from keras_seq import files
from keras_seq.errors import ConfigError
from serving.models.policy import find_models
from serving.tf_serving import images, texts
from serving.tf_serving.dashboard import dashboard

TEMPLATES = Path(__file__).with_name("templates")
CONTAINER = "/models"  # where containers see the folder of models
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def write(folder: str | Path, models: str | Path, *, replace: bool = False) -> list[Path]:
    """Write all files, or none.

    Args:
        folder: takes them.
        models: folder of models, ``NAME/VERSION/``.
        replace: take the place of an existing folder.

    Returns:
        The files written.

    Raises:
        ConfigError: there are no models, or two that Kubernetes could not tell apart.
        OutputError: the folder exists, or cannot be written.
    """
    names, models, folder = _names(Path(models)), Path(models), Path(folder)
    if replace and folder.exists() and not (folder / "config" / "models.config").is_file():
        raise ConfigError(f"'{folder}' was not written by this command, so it is not replaced; choose a new folder.")
    with files.new_folder(folder, replace=replace) as partial:
        for path, text in render(names, models.absolute()).items():
            files.write_text(partial / path, text)
    return sorted(path for path in folder.rglob("*") if path.is_file())


def render(names: Sequence[str], models: Path) -> dict[str, str]:
    """Text of every file by its path."""
    config = {
        "models.config": texts.models_config({name: f"{CONTAINER}/{name}" for name in names}),
        "batching.config": texts.BATCHING,
        "monitoring.config": texts.MONITORING,
    }
    values: dict[str, Any] = {
        "serving_image": images.serving_image(),
        "serving_tag": images.serving_tag(),
        "prometheus_image": images.PROMETHEUS,
        "grafana_image": images.GRAFANA,
        "mlflow_image": images.mlflow_image(),
        "models_folder": json.dumps(str(models).replace("$", "$$")),
        "health": json.dumps(health(names).replace("$", "$$")),  # Compose reads $$ as $
        "probe_path": json.dumps(f"/v1/models/{names[0]}"),
        **{name.replace(".", "_"): textwrap.indent(text.rstrip(), "    ") for name, text in config.items()},
    }
    texts_by_path = {f"config/{name}": text for name, text in config.items()}
    for path, template in {
        "compose.yaml": "compose.yaml",
        "prometheus.yml": "prometheus.yml",
        "grafana/provisioning/datasources/prometheus.yaml": "datasource.yaml",
        "grafana/provisioning/dashboards/serving.yaml": "dashboards.yaml",
        "kubernetes.yaml": "kubernetes.yaml",
    }.items():
        texts_by_path[path] = _filled(template, values)
    for name, object_name in object_names(names).items():
        filled = _filled("kserve.yaml", values | {"model": name, "object": object_name})
        texts_by_path[f"kserve-{object_name}.yaml"] = filled
    texts_by_path["grafana/dashboards/serving.json"] = json.dumps(dashboard(), indent=2) + "\n"
    return texts_by_path


def health(names: Sequence[str]) -> str:
    """Shell text that succeeds when every model has a version that answers; bash alone, no curl."""
    ask = (
        "exec 3<>/dev/tcp/127.0.0.1/8501 && printf 'GET /v1/models/%s HTTP/1.0\\r\\n\\r\\n' \"$model\" >&3 "
        "&& grep -q '\"AVAILABLE\"' <&3 || exit 1"
    )
    return f"for model in {' '.join(names)}; do {ask}; done"


def object_names(names: Sequence[str]) -> dict[str, str]:
    """Names that Kubernetes takes (RFC 1123 labels) by model.

    Raises:
        ConfigError: two models would get the same.
    """
    labels: dict[str, str] = {}
    for name in names:
        label = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63].rstrip("-")
        same = next((other for other, known in labels.items() if known == label), None)
        if same is not None:
            raise ConfigError(f"Models '{same}' and '{name}' would both be '{label}' on Kubernetes; rename one.")
        labels[name] = label
    return labels


def _names(models: Path) -> list[str]:
    try:
        names = list(find_models(models))
    except OSError as error:
        raise ConfigError(f"The folder '{models}' of --models cannot be read: {error.strerror}.") from None
    if not names:
        raise ConfigError(
            f"The folder '{models}' of --models holds no model (NAME/VERSION/saved_model.pb); push one with "
            "'python -m keras_seq.export RUN --push saved_models/NAME'."
        )
    for name in names:
        if not NAME.fullmatch(name):
            raise ConfigError(
                f"Model folder '{name}' has a name that URLs cannot carry; use letters, digits, - _ and ."
            )
    return names


def _filled(template: str, values: dict[str, Any]) -> str:
    return Template((TEMPLATES / template).read_text(encoding="utf-8")).substitute(values)
