"""Weights of PyTorch networks: the same answers as PyTorch's documented equations, written out in numpy."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_seq.config import ModelConfig
from keras_seq.data.spec import DataSpec, Scaling
from keras_seq.errors import ConfigError, ModelError
from keras_seq.torch_import import check_answers, import_weights, read_map, read_weights, scaled_as
from keras_seq.torch_import.read import Weights
from keras_seq.torch_import.torch_modules import find_modules

TIME, UNITS, HEADS = 12, 6, 2
CENTER, SCALE = np.array([1.0, -2.0, 0.5]), np.array([2.0, 0.5, 1.5])
MEAN, DEVIATION = 40.0, 7.0
LENGTHS = np.array([12, 7, 1, 10], np.int32)


def spec(**changes):
    settings = {
        "task": "regression", "features": ("a", "b", "c"), "targets": ("y",), "time": TIME, "variable_length": True,
        "target_mean": (MEAN,), "target_std": (DEVIATION,),
        "scaling": Scaling(center=(tuple(CENTER),), scale=(tuple(SCALE),), fill=(0.0, 0.0, 0.0)),
    }  # fmt: skip
    return DataSpec(**{**settings, **changes})


def build(family, data=None, **options):
    from keras_seq.models import build_model

    settings = {"units": UNITS, "layers": 1, "hidden_dims": (5,), "positional": "none", "heads": HEADS} | options
    return build_model(ModelConfig(family=family, **settings), data or spec())


def windows(seed=0):
    """Raw units, padding full of rubbish."""
    values = np.random.default_rng(seed).normal(size=(len(LENGTHS), TIME, 3)).astype(np.float32) * 2 + 1
    values[np.arange(TIME) >= LENGTHS[:, None]] = 1e6
    return values


# PyTorch's equations (docs.pytorch.org: LSTM, GRU, Conv1d, MaxPool1d, MultiheadAttention, LayerNorm, BatchNorm1d),
# for one unpadded sequence (time, channels)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def torch_lstm(x, w, prefix, end=""):
    units = w[f"{prefix}weight_hh{end}"].shape[1]
    zero = np.zeros(4 * units)
    b_ih, b_hh = w.get(f"{prefix}bias_ih{end}", zero), w.get(f"{prefix}bias_hh{end}", zero)
    h, c, outputs = np.zeros(units), np.zeros(units), []
    for row in x:
        gates = w[f"{prefix}weight_ih{end}"] @ row + b_ih + w[f"{prefix}weight_hh{end}"] @ h + b_hh
        i, f, g, o = np.split(gates, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        outputs.append(h)
    return np.array(outputs)


def torch_gru(x, w, prefix, end=""):
    h, outputs = np.zeros(w[f"{prefix}weight_hh{end}"].shape[1]), []
    for row in x:
        i_r, i_z, i_n = np.split(w[f"{prefix}weight_ih{end}"] @ row + w[f"{prefix}bias_ih{end}"], 3)
        h_r, h_z, h_n = np.split(w[f"{prefix}weight_hh{end}"] @ h + w[f"{prefix}bias_hh{end}"], 3)
        r, z = sigmoid(i_r + h_r), sigmoid(i_z + h_z)
        n = np.tanh(i_n + r * h_n)
        h = (1 - z) * n + z * h
        outputs.append(h)
    return np.array(outputs)


def torch_stack(run, x, w, prefix, layers, two_way):
    for level in range(layers):
        forward = run(x, w, prefix, f"_l{level}")
        if two_way:
            backward = run(x[::-1], w, prefix, f"_l{level}_reverse")[::-1]
            forward = np.concatenate([forward, backward], axis=1)
        x = forward
    return x


def torch_linear(x, w, prefix):
    return x @ w[f"{prefix}weight"].T + w.get(f"{prefix}bias", 0)


def torch_conv(x, w, prefix):
    """padding='same': the odd zero goes to the end."""
    kernel = w[f"{prefix}weight"]
    steps = kernel.shape[2]
    left = (steps - 1) // 2
    padded = np.pad(x, [(left, steps - 1 - left), (0, 0)])
    rows = [np.einsum("ock,kc->o", kernel, padded[t : t + steps]) for t in range(len(x))]
    return np.array(rows) + w[f"{prefix}bias"]


def torch_max_pool(x, size):
    """ceil_mode=True."""
    return np.array([x[t : t + size].max(axis=0) for t in range(0, len(x), size)])


def torch_attention(x, w, prefix, heads, out="out_proj."):
    q, k, v = np.split(x @ w[f"{prefix}in_proj_weight"].T + w[f"{prefix}in_proj_bias"], 3, axis=1)
    size, joined = x.shape[1] // heads, []
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        logits = q[:, part] @ k[:, part].T / np.sqrt(size)
        share = np.exp(logits - logits.max(axis=1, keepdims=True))
        joined.append(share / share.sum(axis=1, keepdims=True) @ v[:, part])
    return torch_linear(np.concatenate(joined, axis=1), w, prefix + out)


def torch_layer_norm(x, w, prefix):
    mean, variance = x.mean(axis=1, keepdims=True), x.var(axis=1, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-5) * w[f"{prefix}weight"] + w[f"{prefix}bias"]


def torch_batch_norm(x, w, prefix):
    normal = (x - w[f"{prefix}running_mean"]) / np.sqrt(w[f"{prefix}running_var"] + 1e-5)
    return normal * w[f"{prefix}weight"] + w[f"{prefix}bias"]


def torch_head(vector, w):
    return torch_linear(np.maximum(torch_linear(vector, w, "head.0."), 0), w, "head.3.")


# state dicts as torch.nn names them


class State(dict):
    """A state dict under construction, filled with random numbers."""

    def __init__(self, seed=1):
        self.rng = np.random.default_rng(seed)

    def tensor(self, name, *shape):
        self[name] = self.rng.normal(size=shape, scale=0.5).astype(np.float32)
        return self

    def recurrent(self, prefix, gates, inputs, units=UNITS, layers=1, two_way=False):
        for level in range(layers):
            for end in ("", "_reverse") if two_way else ("",):
                tail = f"_l{level}{end}"
                self.tensor(f"{prefix}weight_ih{tail}", gates * units, inputs)
                self.tensor(f"{prefix}weight_hh{tail}", gates * units, units)
                self.tensor(f"{prefix}bias_ih{tail}", gates * units).tensor(f"{prefix}bias_hh{tail}", gates * units)
            inputs = units * (2 if two_way else 1)
        return self

    def layer(self, prefix, *shape):
        return self.tensor(f"{prefix}weight", *shape).tensor(f"{prefix}bias", shape[0])

    def head(self, width):
        return self.layer("head.0.", 5, width).layer("head.3.", 1, 5)

    def batch_norm(self, prefix, width):
        self.layer(prefix, width).tensor(f"{prefix}running_mean", width).tensor(f"{prefix}running_var", width)
        self[f"{prefix}running_var"] = np.abs(self[f"{prefix}running_var"]) * 1e-3  # so that epsilon counts
        self[f"{prefix}num_batches_tracked"] = np.array(17)
        return self

    def attention(self, prefix, width):
        self.tensor(f"{prefix}in_proj_weight", 3 * width, width).tensor(f"{prefix}in_proj_bias", 3 * width)
        return self.layer(f"{prefix}out_proj.", width, width)


def expected(network, seed=0):
    """Answers in raw units, ``(windows, 1)``."""
    values = windows(seed).astype(np.float64)
    scaled = [(v[:n] - CENTER) / SCALE for v, n in zip(values, LENGTHS, strict=True)]
    return np.array([network(x) for x in scaled]) * DEVIATION + MEAN


def answers(model, seed=0):
    return np.asarray(model({"values": windows(seed), "lengths": LENGTHS}, training=False))


def same(model, network):
    np.testing.assert_allclose(answers(model), expected(network), atol=2e-5 * DEVIATION, rtol=0)


def recurrent_case(kind, layers, two_way):
    gates, run = (4, torch_lstm) if kind == "lstm" else (3, torch_gru)
    state = State().recurrent("encoder.rnn.", gates, 3, layers=layers, two_way=two_way)
    state.head(UNITS * (2 if two_way else 1))

    def network(x):
        y = torch_stack(run, x, state, "encoder.rnn.", layers, two_way)
        # h_n[-1], or torch.cat([h_n[-2], h_n[-1]]) where two-way
        return torch_head(np.concatenate([y[-1, :UNITS], y[0, UNITS:]]) if two_way else y[-1], state)

    return state, network


CASES = {
    "lstm": ("lstm", {"layers": 3}, recurrent_case("lstm", 3, False)),
    "lstm_two_way": ("lstm", {"layers": 2, "bidirectional": True}, recurrent_case("lstm", 2, True)),
    "gru": ("gru", {"layers": 2}, recurrent_case("gru", 2, False)),
    "gru_two_way": ("gru", {"layers": 2, "bidirectional": True}, recurrent_case("gru", 2, True)),
    "bilstm": ("bilstm", {"layers": 3}, recurrent_case("lstm", 3, True)),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_recurrent_families_answer_as_pytorch(case, suffix, tmp_path):
    family, options, (state, network) = CASES[case]
    model = build(family, **options)
    imported = import_weights(model, stored(state, tmp_path / f"w.{suffix}"))
    same(model, network)
    assert sum(row.parameters for row in imported.report) == model.count_params()
    assert [row.layer for row in imported.report][-2:] == ["head_1", "head_output"]
    by = {row.layer: (row.module, row.by) for row in imported.report}
    assert by["head_output"] == ("head.3", "shape")
    if options["layers"] == 3:  # the second and third layer have one shape
        kind = "lstm" if family == "bilstm" else family
        assert [by[f"{kind}_{n}"] for n in (2, 3)] == [("encoder.rnn.l1", "names"), ("encoder.rnn.l2", "names")]
    assert "| head_output | head.3 | nn.Linear | shape | 6 |" in imported.to_markdown()


@pytest.mark.parametrize("kernel_size", [4, 5])
def test_cnn_lstm_answers_as_pytorch(kernel_size):
    state = State().layer("features.0.", 8, 3, kernel_size).layer("features.3.", 8, 8, kernel_size)
    state.recurrent("lstm.", 4, 8).head(UNITS)
    options = {"filters": 8, "conv_layers": 2, "kernel_size": kernel_size, "pool_size": 2, "pooling": "mean"}
    model = build("cnn_lstm", **options)
    import_weights(model, state)

    def network(x):
        for name in ("features.0.", "features.3."):
            x = torch_max_pool(np.maximum(torch_conv(x, state, name), 0), 2)
        return torch_head(torch_lstm(x, state, "lstm.", "_l0").mean(axis=0), state)

    same(model, network)


@pytest.mark.parametrize("positions", [False, True])
def test_attention_lstm_answers_as_pytorch(positions):
    state = State().recurrent("lstm.", 4, 3).attention("mha.", UNITS).layer("norm.", UNITS).head(UNITS)
    mapping = {}
    if positions:
        state.tensor("pos", 1, TIME, UNITS)
        mapping = {"layers": {"positions": "pos"}}
    model = build("attention_lstm", positional="learned" if positions else "none")
    import_weights(model, state, mapping)

    def network(x):
        h = torch_lstm(x, state, "lstm.", "_l0")
        asked = h + state["pos"][0, : len(h)] if positions else h
        h = torch_layer_norm(h + torch_attention(asked, state, "mha.", HEADS), state, "norm.")
        return torch_head(h[-1], state)

    same(model, network)
    assert model.get_layer("attention_norm_1").epsilon == 1e-5


def test_batch_norm_input_layer_and_attention_pooling_answer_as_pytorch():
    state = State().batch_norm("bn.", 3).layer("proj.", 4, 3).recurrent("lstm.", 4, 4)
    state.layer("pool.w.", UNITS, UNITS).layer("pool.v.", 1, UNITS).head(UNITS)  # the score's bias cancels
    model = build("lstm", normalisation="batch", input_dense=4, pooling="attention")
    before = answers(model)
    assert np.isfinite(model.predict({"values": windows(), "lengths": LENGTHS}, verbose=0)).all()  # compiles
    import_weights(model, state)

    def network(x):
        x = np.tanh(torch_linear(torch_batch_norm(x, state, "bn."), state, "proj."))
        h = torch_lstm(x, state, "lstm.", "_l0")
        share = np.exp(torch_linear(np.tanh(torch_linear(h, state, "pool.w.")), state, "pool.v."))
        return torch_head((share / share.sum() * h).sum(axis=0), state)

    same(model, network)
    again = model.predict({"values": windows(), "lengths": LENGTHS}, verbose=0)  # the new epsilon, not the old graph's
    np.testing.assert_allclose(again, expected(network), atol=2e-5 * DEVIATION)
    assert np.abs(again - before).max() > 0.1


def test_layers_without_bias():
    state = State().recurrent("lstm.", 4, 3).head(UNITS)
    for name in [name for name in state if "bias" in name]:
        del state[name]
    model = build("lstm")
    import_weights(model, state)
    same(model, lambda x: torch_head(torch_lstm(x, state, "lstm.", "_l0")[-1], state))


def test_other_scalers_are_taken_over():
    """A network trained on its own z-scores and on raw targets."""
    state, _ = recurrent_case("lstm", 1, False)
    own = {"center": [0.0, 1.0, 2.0], "scale": [3.0, 1.0, 0.5]}
    mapping = read_map({"inputs": own, "targets": {"center": [3.0], "scale": [2.0]}})
    model = build("lstm", scaled_as(spec(), mapping))
    import_weights(model, state, mapping)
    found = []
    for row, n in zip(windows().astype(np.float64), LENGTHS, strict=True):
        x = (row[:n] - own["center"]) / own["scale"]
        found.append(torch_head(torch_lstm(x, state, "encoder.rnn.", "_l0")[-1], state) * 2.0 + 3.0)
    np.testing.assert_allclose(answers(model), found, atol=2e-4)


# names, order, maps


@pytest.fixture(scope="module")
def two_heads():
    """A model whose head has two layers of one shape."""
    return build("lstm", hidden_dims=(UNITS, UNITS))


def alike(*names):
    state = State().recurrent("lstm.", 4, 3)
    for name in names:
        state.layer(f"{name}.", UNITS, UNITS)
    return state.layer("out.", 1, UNITS)


def filled(model):
    return {name: np.asarray(model.get_layer(name).kernel).T for name in ("head_1", "head_2")}


def test_order_of_equal_layers(two_heads):
    state = alike("b", "a")
    imported = import_weights(two_heads, state)  # the state dict's own order
    np.testing.assert_array_equal(filled(two_heads)["head_1"], state["b.weight"])
    assert {row.by for row in imported.report} == {"shape", "order"}
    numbered = alike("fc10", "fc9")  # as a file sorted by name lists them
    import_weights(two_heads, Weights(numbered, ordered=False))
    np.testing.assert_array_equal(filled(two_heads)["head_1"], numbered["fc9.weight"])


@pytest.mark.parametrize(("names", "ordered"), [(("b", "a"), False), (("fc10", "fc9"), True)])
def test_an_order_that_nothing_tells_is_refused(two_heads, names, ordered):
    before = two_heads.get_weights()
    with pytest.raises(ModelError, match=f"'{names[0]}', '{names[1]}' for head_1, head_2"):
        import_weights(two_heads, Weights(alike(*names), ordered=ordered))
    for old, new in zip(before, two_heads.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_map_decides(two_heads, tmp_path):
    state = alike("b", "a")
    state["scale"] = np.float32([2.0])
    path = tmp_path / "map.yaml"
    path.write_text(
        "layers:\n  head_1: a\n  head_2: {weight: b.weight, bias: b.bias}\nignore: [scal*]\nepsilon: 1e-6\n"
    )
    imported = import_weights(two_heads, Weights(state, ordered=False), path)
    np.testing.assert_array_equal(filled(two_heads)["head_1"], state["a.weight"])
    np.testing.assert_array_equal(filled(two_heads)["head_2"], state["b.weight"])
    assert imported.ignored == ("scale",)
    assert imported.epsilon == 1e-6
    assert [row.by for row in imported.report] == ["shape", "map", "map", "shape"]


def test_a_normalisation_without_weights():
    state = State().recurrent("lstm.", 4, 3).attention("mha.", UNITS).head(UNITS)
    model = build("attention_lstm")
    with pytest.raises(ModelError, match=r"Layers without tensors: attention_norm_1 \(nn.LayerNorm: weight \(6,\)"):
        import_weights(model, state)
    import_weights(model, state, {"layers": {"attention_norm_1": None}})
    np.testing.assert_array_equal(model.get_layer("attention_norm_1").gamma, np.ones(UNITS))


def test_everything_left_over_is_named_with_shapes(two_heads):
    state = alike("fc1", "fc2")
    state.layer("aux.", 3, UNITS).tensor("temperature", 1)
    state["out.weight"] = np.zeros((2, UNITS), np.float32)
    with pytest.raises(ModelError) as caught:
        import_weights(two_heads, state)
    text = str(caught.value)
    for part in (
        "'aux' (nn.Linear: weight (3, 6), bias (3,))",
        "'temperature' (weight (1,); a parameter outside the layers known here)",
        "'out' (nn.Linear: weight (2, 6), bias (1,))",
        "head_output (nn.Linear: weight (1, 6), bias (1,))",
        "nothing was imported",
    ):
        assert part in text
    assert "lstm_1" not in text


@pytest.mark.parametrize(
    ("mapping", "error", "message"),
    [
        ({"layers": {"head1": "fc1"}}, ConfigError, "no layer with weights 'head1'; did you mean 'head_1'"),
        ({"layers": {"head_1": "fc3"}}, ConfigError, "'head_1' is to take 'fc3'; did you mean 'fc"),
        ({"layers": {"head_1": {"weight": "fc1.wait"}}}, ConfigError, "did you mean 'fc1.weight'"),
        ({"layers": {"head_1": {"kernel": "fc1.weight"}}}, ConfigError, "takes no 'kernel'"),
        ({"layers": {"head_1": {"bias": "fc1.bias"}}}, ConfigError, "needs weight too"),
        ({"layers": {"head_1": None}}, ConfigError, "cannot do without weights"),
        ({"layers": {"head_1": "out"}}, ModelError, r"shape \(6, 6\) .* has \(1, 6\)"),
        ({"ignore": ["decoder.*"]}, ConfigError, "no tensor matches 'decoder"),
        ({"ignored": []}, ConfigError, "Its keys are layers, ignore"),
        ({"epsilon": -1}, ConfigError, "epsilon"),
        ({"targets": {"center": [1], "scale": [1, 2]}}, ConfigError, "1 numbers and scale 2"),
        ({"targets": {"center": [1, 2], "scale": [1, 2]}}, ConfigError, "2 numbers; the data have 1"),
    ],
)
def test_mistakes_in_a_map_are_named(two_heads, mapping, error, message):
    before = two_heads.get_weights()
    with pytest.raises(error, match=message):
        import_weights(two_heads, alike("fc1", "fc2"), mapping)
    for old, new in zip(before, two_heads.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_inputs_of_a_map_must_fit_the_data():
    with pytest.raises(ConfigError, match=r"2 centers .* a, b, c"):
        scaled_as(spec(), read_map({"inputs": {"center": [0, 0], "scale": [1, 1]}}))
    assert scaled_as(spec(), read_map(None)) == spec()


@pytest.mark.parametrize(
    ("state", "kind", "why"),
    [
        (State().recurrent("a.", 4, 3, two_way=True), "bilstm", ""),
        (State().recurrent("", 3, 3), "gru", ""),
        (State().recurrent("a.", 4, 3).tensor("a.weight_hr_l0", 2, UNITS), "", "proj_size"),
        (State().recurrent("a.", 1, 3), "", "plain nn.RNN"),
        (State().tensor("a.weight_ih", 24, 3).tensor("a.weight_hh", 24, 6), "lstm", ""),  # LSTMCell
        (State().tensor("a.weight_ih_l0", 24, 3), "", "no weight_hh"),
        (State().attention("a.", 4).tensor("a.bias_k", 1, 1, 4), "", "add_bias_kv"),
        (State().tensor("a.q_proj_weight", 4, 4), "", "kdim"),
        (State().tensor("a.in_proj_weight", 12, 4), "", "nn.MultiheadAttention without out_proj.weight"),
        (State().layer("out_proj.", 4, 4), "linear", ""),
        (State().layer("a.", 4, 3, 3, 3), "", "no layer of a sequence"),
        (State().tensor("a.weight_g", 4), "", "weight or spectral norm"),
        (State().batch_norm("a.", 4), "batch_norm", ""),
    ],
)
def test_modules_by_their_tensors(state, kind, why):
    (module,) = find_modules(Weights(state))
    assert module.kind == kind
    assert why in module.why


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_numbers_that_are_not_finite_are_refused(two_heads, bad):
    state = alike("fc1", "fc2")
    state["fc2.bias"] = np.full(UNITS, bad)
    with pytest.raises(ModelError, match=r"fc2.weight, fc2.bias .* not finite"):
        import_weights(two_heads, state)


def test_quantised_tensors_are_refused(two_heads):
    state = alike("fc1", "fc2")
    state["fc2.weight"] = np.ones((UNITS, UNITS), np.int8)
    with pytest.raises(ModelError, match=r"'fc2.weight' .* int8"):
        import_weights(two_heads, state)


# files


def packed(tensors, types=None):
    """A safetensors file, its tensors sorted by name as the reference implementation writes them."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name in sorted(tensors):
        raw = np.ascontiguousarray(tensors[name]).tobytes()
        dtype = (types or {}).get(name) or {"f": "F", "i": "I", "u": "U"}[tensors[name].dtype.kind] + str(
            8 * tensors[name].dtype.itemsize
        )
        header[name] = {
            "dtype": dtype,
            "shape": list(tensors[name].shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    if types and None in types:
        header |= types[None]
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data


def stored(state, path):
    if path.suffix == ".npz":
        np.savez(path, **state)
    else:
        path.write_bytes(packed(state))
    return path


def test_types_of_a_safetensors_file(tmp_path):
    values = np.float32([[1.5, -2.0, 3.140625]])
    tensors = {
        "bf": (values.view(np.uint32) >> 16).astype(np.uint16), "half": values.astype(np.float16),
        "double": values.astype(np.float64), "count": np.array(3), "empty": np.zeros((0, 4), np.float32),
        "l10": values, "l2": values,
    }  # fmt: skip
    path = tmp_path / "w.safetensors"
    path.write_bytes(packed(tensors, {"bf": "BF16"}))
    weights = read_weights(path)
    for name in ("bf", "half", "double", "l2"):
        assert weights[name].dtype == np.float32
        np.testing.assert_array_equal(weights[name], values)
    assert weights["count"] == 3
    assert weights["empty"].shape == (0, 4)
    assert list(weights)[-2:] == ["l2", "l10"]
    assert not weights.ordered


def test_the_package_and_the_own_reader_agree(tmp_path):
    save_file = pytest.importorskip("safetensors.numpy").save_file
    from keras_seq.torch_import.read import parse_safetensors

    state = recurrent_case("lstm", 2, True)[0]
    save_file(dict(state), tmp_path / "w.safetensors")
    weights = read_weights(tmp_path / "w.safetensors")
    own = parse_safetensors((tmp_path / "w.safetensors").read_bytes(), tmp_path)
    assert weights.keys() == own.keys() == state.keys()
    for name, tensor in state.items():
        np.testing.assert_array_equal(weights[name], tensor)
        np.testing.assert_array_equal(np.frombuffer(own[name][2], np.float32).reshape(own[name][1]), tensor)


GOOD = packed({"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(2, np.float32)})


def edited(**entry):
    return packed(
        {"b": np.ones(2, np.float32)}, {None: {"a": {"dtype": "F32", "shape": [1], "data_offsets": [8, 12]} | entry}}
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "0 bytes"),
        (GOOD[:40], "its header should have"),
        ((2**63).to_bytes(8, "little") + GOOD[8:], "its header should have 9223372036854775808"),
        (GOOD[:-4], "data_offsets"),
        (GOOD + b"1234", "end at byte 32 of 36"),
        (GOOD.replace(b'"a":', b'"b":'), "a name occurs twice"),
        (GOOD[:8] + b"\xff" + GOOD[9:], "no JSON"),
        ((2).to_bytes(8, "little") + b"[]", "a list, not an object"),
        (edited(), "data_offsets"),
        (edited(data_offsets=[4, 8]), "begin at byte 4"),
        (edited(data_offsets=[8, 4]), "data_offsets"),
        (edited(data_offsets=[-4, 0]), "data_offsets"),
        (edited(data_offsets=[0, 4.0]), "data_offsets"),
        (edited(shape=[2**62, 4], data_offsets=[0, 0]), "needs"),
        (edited(shape=[-1]), r"shape \[-1\]"),
        (edited(shape=[True]), r"shape \[True\]"),
        (edited(shape=[1] * 40), "shape"),
        (edited(dtype="F8_E4M3"), "F8_E4M3"),
        (edited(dtype=["F32"]), "type"),
    ],
)
def test_malformed_safetensors_are_refused(tmp_path, data, message):
    from keras_seq.torch_import.read import parse_safetensors

    with pytest.raises(ModelError, match=message):
        parse_safetensors(data, tmp_path / "w.safetensors")


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255), st.integers(0, len(GOOD)))
def test_any_damage_ends_in_a_clear_error_or_in_arrays(where, byte, length):
    from pathlib import Path

    from keras_seq.torch_import.read import parse_safetensors

    data = bytearray(GOOD)
    data[where] = byte
    try:
        found = parse_safetensors(bytes(data[:length] if length < len(GOOD) else data), Path("w.safetensors"))
    except ModelError:
        return
    assert sum(len(raw) for _, _, raw in found.values()) <= len(GOOD)


@pytest.mark.parametrize("suffix", ["pt", "pth", "bin", "ckpt"])
def test_pickles_are_refused_with_what_to_do(tmp_path, suffix):
    path = tmp_path / f"model.{suffix}"
    path.write_bytes(b"never opened")
    with pytest.raises(ModelError, match=r"(?s)is a pickle.*torch.load\('model.*weights_only=True.*numpy.savez"):
        read_weights(path)


def test_other_files_are_refused(tmp_path):
    np.savez(tmp_path / "o.npz", a=np.array([{"x": 1}], dtype=object))
    np.savez(tmp_path / "t.npz", a=np.array(["text"]))
    np.savez(tmp_path / "e.npz")
    (tmp_path / "z.npz").write_bytes(b"PK\x03\x04 not a zip")
    with open(tmp_path / "n.npz", "wb") as file:
        np.save(file, np.ones(3))
    (tmp_path / "m.safetensors").mkdir()
    for name, message in {
        "o.npz": "pickled objects", "t.npz": "holds <U4", "e.npz": "holds no tensor", "z.npz": "no .npz file",
        "n.npz": "one array without a name", "m.safetensors": "no file of weights", "w.h5": "expected .safetensors or",
        "w.npz": "no file of weights",
    }.items():  # fmt: skip
        with pytest.raises(ModelError, match=message):
            read_weights(tmp_path / name)


def test_npz_keeps_the_order_of_the_state_dict(tmp_path):
    np.savez(tmp_path / "w.npz", b=np.ones(2), a=np.ones(2, np.float16))
    weights = read_weights(tmp_path / "w.npz")
    assert list(weights) == ["b", "a"]
    assert weights.ordered
    assert {array.dtype for array in weights.values()} == {np.dtype(np.float32)}


# kept answers


def test_kept_answers_are_compared(tmp_path):
    state, network = recurrent_case("lstm", 1, False)
    model = build("lstm")
    import_weights(model, state)
    path, truth = tmp_path / "answers.npz", expected(network)
    np.savez(path, values=windows(), lengths=LENGTHS, answer=truth[:, 0])  # the axis of one target may be left out
    parity = check_answers(model, path)
    assert parity.windows == len(LENGTHS)
    assert parity.largest < 1e-5
    assert parity.limit == pytest.approx(1e-4, rel=0.1)
    for changed, message in (
        ({"answer": truth + 0.01}, "differs from the answers"),
        ({"answer": truth * np.nan}, "differs from the answers"),
        ({"answer": truth[:2]}, r"is \(2, 1\), the model's answer is \(4, 1\)"),
        ({"values": windows()[:, :, :2]}, r"expected \(windows, time, 3\)"),
        ({"lengths": LENGTHS[:3]}, r"expected \(4,\)"),
    ):
        np.savez(path, **{"values": windows(), "lengths": LENGTHS, "answer": truth, **changed})
        with pytest.raises(ModelError, match=message):
            check_answers(model, path)
    np.savez(path, values=windows())
    with pytest.raises(ModelError, match="lacks answer"):
        check_answers(model, path)


# PyTorch itself, where it is installed


@pytest.mark.slow
@pytest.mark.parametrize("family", ["lstm", "gru", "bilstm", "cnn_lstm", "attention_lstm"])
def test_pytorch_itself_agrees(family):
    torch = pytest.importorskip("torch")
    from torch import nn

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(3, 8, 4, padding="same") if family == "cnn_lstm" else None
            self.pool = nn.MaxPool1d(2, ceil_mode=True)
            kind, two_way = (nn.GRU if family == "gru" else nn.LSTM), family == "bilstm"
            inputs = 8 if family == "cnn_lstm" else 3
            self.rnn = kind(inputs, UNITS, 2, batch_first=True, bidirectional=two_way)
            attentive = family == "attention_lstm"
            self.mha = nn.MultiheadAttention(UNITS, HEADS, batch_first=True) if attentive else None
            self.norm = nn.LayerNorm(UNITS) if attentive else None
            width = UNITS * (2 if two_way else 1)
            self.head = nn.Sequential(nn.Linear(width, 5), nn.ReLU(), nn.Dropout(0.3), nn.Linear(5, 1))

        def forward(self, x):
            if self.conv is not None:
                x = self.pool(torch.relu(self.conv(x.transpose(1, 2)))).transpose(1, 2)
            y, state = self.rnn(x)
            if self.mha is not None:
                return self.head(self.norm(y + self.mha(y, y, y)[0])[:, -1])
            last = state if family == "gru" else state[0]
            return self.head(torch.cat([last[-2], last[-1]], dim=1) if family == "bilstm" else last[-1])

    torch.manual_seed(0)
    network = Network().eval()
    model = build(family, layers=2, filters=8, conv_layers=1, kernel_size=4, pool_size=2, pooling="last")
    import_weights(model, network.state_dict())

    def answer(x):
        with torch.no_grad():
            return network(torch.tensor(x[None], dtype=torch.float32))[0].numpy()

    same(model, answer)
