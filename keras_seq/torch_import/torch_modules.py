"""PyTorch's modules in a state dict: which tensors belong together, and what they are, by names and shapes.

Names are those of ``torch.nn`` (docs.pytorch.org, "Variables" of LSTM, GRU, Linear, Conv1d, BatchNorm1d, LayerNorm,
MultiheadAttention), behind any prefix.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from keras_seq.torch_import.read import Weights

BEFORE = r"^(?:(?P<module>.*)\.)?"
RECURRENT = re.compile(BEFORE + r"(?P<what>weight|bias)_(?P<side>ih|hh|hr)(?:_l(?P<level>\d+))?(?P<reverse>_reverse)?$")
ATTENTION = re.compile(BEFORE + r"(?P<role>in_proj_weight|in_proj_bias|[qkv]_proj_weight|bias_[kv])$")
PROJECTED = re.compile(BEFORE + r"(?P<role>out_proj\.(?:weight|bias))$")
PLAIN = re.compile(BEFORE + r"(?P<role>weight|bias|running_mean|running_var|num_batches_tracked)$")
COUNTER = "num_batches_tracked"  # steps of training; no answer depends on it

NAMES = {
    "lstm": "nn.LSTM", "bilstm": "two-way nn.LSTM", "gru": "nn.GRU", "bigru": "two-way nn.GRU",
    "linear": "nn.Linear", "conv": "nn.Conv1d", "attention": "nn.MultiheadAttention",
    "batch_norm": "nn.BatchNorm1d", "layer_norm": "nn.LayerNorm", "table": "nn.Embedding or a parameter",
}  # fmt: skip
ONE_WAY = ("weight_ih", "weight_hh")
REQUIRED = {
    "lstm": ONE_WAY,
    "gru": ONE_WAY,
    "bilstm": (*ONE_WAY, "weight_ih_reverse", "weight_hh_reverse"),
    "bigru": (*ONE_WAY, "weight_ih_reverse", "weight_hh_reverse"),
    "linear": ("weight",),
    "conv": ("weight",),
    "attention": ("in_proj_weight", "out_proj.weight"),
    "batch_norm": ("running_mean", "running_var"),
    "layer_norm": ("weight",),
    "table": ("weight",),
}

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Module:
    """One layer of a network, as its state dict shows it.

    Attributes:
        name: the prefix of its tensors; of a recurrent layer with its level: ``encoder.lstm.l0``.
        kind: key of ``NAMES``, or "" for what has no counterpart here.
        tensors: names by role.
        why: what is known of a module without counterpart.
    """

    name: str
    kind: str
    tensors: dict[str, str] = field(default_factory=dict)
    why: str = ""


def find_modules(weights: Weights) -> list[Module]:
    """The modules of a state dict, in the order of their first tensors."""
    attentive = {match["module"] for match in map(ATTENTION.match, weights) if match}
    groups: dict[tuple[str, str], dict[str, str]] = {}
    for name in weights:
        kind, module, role = _place(name, attentive)
        groups.setdefault((kind, module), {})[role] = name
    return [_module(kind, name, tensors, weights) for (kind, name), tensors in groups.items()]


def describe(kind: str, shapes: Shapes, why: str = "") -> str:
    """``nn.Linear: weight (1, 8), bias (1,)``."""
    what = NAMES.get(kind, "")
    listed = ", ".join(f"{role} {tuple(shape)}" for role, shape in shapes.items() if role != COUNTER)
    return f"{what}{': ' if what else ''}{listed}{'; ' if why else ''}{why}"


def _place(name: str, attentive: set[str | None]) -> tuple[str, str, str]:
    """Kind of pattern, module and role of a tensor."""
    if match := RECURRENT.match(name):
        level = "" if match["level"] is None else f"l{match['level']}"
        module = ".".join(part for part in (match["module"], level) if part)
        return "recurrent", module, f"{match['what']}_{match['side']}{match['reverse'] or ''}"
    if match := ATTENTION.match(name):
        return "attention", match["module"] or "", match["role"]
    if (match := PROJECTED.match(name)) and match["module"] in attentive:
        return "attention", match["module"] or "", match["role"]
    if match := PLAIN.match(name):
        return "plain", match["module"] or "", match["role"]
    return "loose", name, "weight"


def _module(kind: str, name: str, tensors: dict[str, str], weights: Weights) -> Module:
    shapes = {role: weights[tensor].shape for role, tensor in tensors.items()}
    known, why = {"recurrent": _recurrent, "attention": _attention, "plain": _plain, "loose": _loose}[kind](
        shapes, next(iter(tensors.values()))
    )
    missing = [role for role in REQUIRED.get(known, ()) if role not in shapes]
    if missing:
        known, why = "", f"{NAMES[known]} without {', '.join(missing)}"
    return Module(name, known, tensors, why)


def _recurrent(shapes: Shapes, name: str) -> tuple[str, str]:
    if any(role.startswith("weight_hr") for role in shapes):
        return "", "an nn.LSTM with proj_size, which Keras' LSTM does not have"
    hidden = shapes.get("weight_hh", ())
    gates = hidden[0] // hidden[1] if len(hidden) == 2 and hidden[1] and not hidden[0] % hidden[1] else 0
    if gates == 1:
        return "", "a plain nn.RNN, for which there is no family"
    kind = {4: "lstm", 3: "gru"}.get(gates)
    if kind is None:
        return "", "no weight_hh of 4 (LSTM) or 3 (GRU) times as many rows as columns"
    return ("bi" if any(role.endswith("_reverse") for role in shapes) else "") + kind, ""


def _attention(shapes: Shapes, name: str) -> tuple[str, str]:
    if any(role in shapes for role in ("q_proj_weight", "k_proj_weight", "v_proj_weight")):
        return "", "attention with kdim or vdim of its own; self-attention has one width"
    if "bias_k" in shapes or "bias_v" in shapes:
        return "", "attention with add_bias_kv, which Keras' layer does not have"
    return "attention", ""


def _plain(shapes: Shapes, name: str) -> tuple[str, str]:
    if "running_mean" in shapes or "running_var" in shapes:
        return "batch_norm", ""
    kind = {1: "layer_norm", 2: "linear", 3: "conv"}.get(len(shapes.get("weight", ())))
    return (kind, "") if kind else ("", "no layer of a sequence model")


def _loose(shapes: Shapes, name: str) -> tuple[str, str]:
    if "parametrizations." in name or name.endswith(("weight_g", "weight_v", "weight_orig", "weight_u")):
        return "", "weight or spectral norm: save the network after torch.nn.utils.parametrize.remove_parametrizations"
    return "", "a parameter outside the layers known here"
