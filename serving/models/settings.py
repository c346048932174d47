"""Settings of watching, loading and running models, by the names of ``tensorflow_model_server``'s flags."""

from __future__ import annotations

from dataclasses import dataclass

from keras_seq.errors import ConfigError


@dataclass(frozen=True)
class ManagerSettings:
    """Settings of a ``ModelManager``; names and defaults are those of TensorFlow Serving's flags, where it has them.

    Attributes:
        file_system_poll_wait_seconds: between two looks at the base paths; 0: look once, below 0: never look.
        model_config_file_poll_wait_seconds: between two looks at the config file; 0: read it once.
        num_load_threads: versions that load at a time; 0: as many as there are cores, four at most.
        max_num_load_retries: attempts after the first one that failed.
        load_retry_interval_micros: between two attempts; below 0: none.
        allow_version_labels_for_unavailable_models: a new label may name a version that is not loaded yet.
        force_allow_any_version_labels_for_unavailable_models: so may a label that is moved.
        servable_versions_always_present: keep the versions of a base path that is found empty.
        enable_reload_servables_with_error: load a version again that failed, at the next look.
        saved_model_tags: of the graph that is loaded.
        enable_model_warmup: replay ``assets.extra/tf_serving_warmup_requests`` before a version answers.
        tensorflow_session_parallelism: threads of one call, in and between operations; 0: TensorFlow decides.
        tensorflow_intra_op_parallelism: threads in one operation; the session's number goes before it.
        tensorflow_inter_op_parallelism: operations at a time; the session's number goes before it.
        prefer_tensorflow: never serve a version through its ONNX twin.
        onnx_threads: of one call of a twin; one is fastest for small models.
    """

    file_system_poll_wait_seconds: float = 1.0
    model_config_file_poll_wait_seconds: float = 0.0
    num_load_threads: int = 0
    max_num_load_retries: int = 5
    load_retry_interval_micros: int = 60_000_000
    allow_version_labels_for_unavailable_models: bool = False
    force_allow_any_version_labels_for_unavailable_models: bool = False
    servable_versions_always_present: bool = False
    enable_reload_servables_with_error: bool = False
    saved_model_tags: tuple[str, ...] = ("serve",)
    enable_model_warmup: bool = True
    tensorflow_session_parallelism: int = 0
    tensorflow_intra_op_parallelism: int = 0
    tensorflow_inter_op_parallelism: int = 0
    prefer_tensorflow: bool = False
    onnx_threads: int = 1

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing.

        Raises:
            ConfigError: names the setting and its value.
        """
        counts = ("num_load_threads", "max_num_load_retries", "model_config_file_poll_wait_seconds")
        threads = tuple(f"tensorflow_{kind}_parallelism" for kind in ("session", "intra_op", "inter_op"))
        for name in (*counts, *threads):
            if getattr(self, name) < 0:
                raise ConfigError(f"Setting '{name}' is {getattr(self, name)}; it must be 0 or more.")
        if self.onnx_threads < 1:
            raise ConfigError(f"Setting 'onnx_threads' is {self.onnx_threads}; it must be 1 or more.")
        if not all(self.saved_model_tags):
            raise ConfigError("Setting 'saved_model_tags' has an empty name; write for example 'serve' or 'serve,gpu'.")
