"""What ``python -m keras_seq.train`` runs when it is told neither a file nor a source.

Equal to configs/caster.yaml; kept in the package because an installed one has no configs/ folder.
"""

from __future__ import annotations

from typing import Any

MAIN_JOB: dict[str, Any] = {
    "name": "caster",
    "data": {
        "source": "caster",
        "split": {"by": "group", "validation": 0.15, "test": 0.15},
        "windows": {"mode": "whole", "length": 500},
        "bucket": 100,
        "augment": {"jitter": 0.3, "time_warp": 0.1},
    },
    "model": {
        "family": "tcn",
        "stem": 2,
        "filters": 48,
        "kernel_size": 5,
        "layers": 3,
        "bidirectional": True,
        "pooling": "max",
        "dropout": 0.1,
        "hidden_dims": [32],
    },
    "training": {
        "epochs": 16,
        "batch_size": 32,
        "learning_rate": 4.0e-3,
        "schedule": "cosine",
        "warmup": 1,
        "patience": 5,
    },
    "evaluation": {
        "targets": {
            "auc_roc": 0.88,
            "auc_pr": 0.75,
            "inference_ms": 50.0,
            "memory_gb": 4.0,
            "size_mb": 50.0,
            "training_minutes": 30.0,
        },
    },
}
