"""Real SavedModels and exported versions, loaded and answered as TensorFlow Serving answers."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serving.contract.signatures import DEFAULT
from serving.contract.status import Code, Refused
from serving.models import warmup
from serving.models.config import ServedModelConfig, ServerConfig, one_model
from serving.models.loading import load_version
from serving.models.manager import ModelManager
from serving.models.onnx_twin import OnnxTwin
from serving.models.policy import VersionPolicy
from serving.models.records import read_records, write_records
from serving.models.saved_model import SavedModel
from serving.models.settings import ManagerSettings

pytestmark = pytest.mark.slow
QUICK = ManagerSettings(file_system_poll_wait_seconds=0.1, max_num_load_retries=0)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, data_home: Path) -> Path:
    """The small SavedModels that the recorded cases use, written by their own script."""
    script = data_home.parent / "serving" / "make_models.py"
    if not script.is_file():
        pytest.skip(f"the script of the recorded serving cases is not at {script}, beside the data home")
    folder = tmp_path_factory.mktemp("served")
    subprocess.run([sys.executable, str(script), str(folder)], check=True, capture_output=True, timeout=300)
    return folder


def load(folder: Path, settings: ManagerSettings = QUICK) -> Any:
    return load_version(folder.parent.name, int(folder.name), folder, settings)


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def strings(*values: bytes) -> np.ndarray:
    return np.array(values, object)


def refusal(call: Any) -> Refused:
    with pytest.raises(Refused) as refused:
        call()
    return refused.value


# -- any SavedModel ----------------------------------------------------------------------------------------------


def test_a_saved_model_answers_by_alias(made: Path) -> None:
    model = load(made / "two_io" / "1")
    assert isinstance(model, SavedModel) and not model.rowwise
    inputs = {"a": floats(1, 2), "b": np.array([[1, 2], [3, 4]], np.float32)}
    found = model.run(DEFAULT, inputs)
    assert found["sum"].tolist() == [[2, 3], [5, 6]] and found["cnt"].tolist() == [2, 2]
    assert found["cnt"].dtype == np.int32 and list(found) == ["cnt", "sum"]
    assert list(model.run(DEFAULT, inputs, ["sum"])) == ["sum"]
    assert model.signatures[DEFAULT].inputs["b"].shape == (-1, 2)


def test_errors_of_the_graph_are_those_of_the_recorded_cases(made: Path) -> None:
    two, seq = load(made / "two_io" / "1"), load(made / "seq" / "1")
    bad = refusal(lambda: two.run(DEFAULT, {"a": floats(1, 2, 3), "b": np.ones((2, 2), np.float32)}))
    assert bad.code is Code.INVALID_ARGUMENT
    assert bad.message.startswith("Incompatible shapes: [3,1] vs. [2,2]\n\t [[{{function_node __inference_g_")
    assert bad.message.endswith("}}{{node add}}]]")
    wrong = refusal(lambda: seq.run(DEFAULT, {"x": np.ones((1, 5, 2), np.float32)}))
    assert wrong.message == (
        "Matrix size-incompatible: In[0]: [1,2], In[1]: [3,2]\n"
        "\t [[{{node StatefulPartitionedCall/StatefulPartitionedCall/matmul}}]]"
    )
    typed = refusal(lambda: two.run(DEFAULT, {"a": floats(1).astype(np.int64), "b": np.ones((1, 2), np.float32)}))
    assert (typed.code, typed.message) == (
        Code.INVALID_ARGUMENT,
        "Expects arg[0] to be float but int64 is provided",
    )
    assert "alias not found in signature: b" in refusal(lambda: two.run(DEFAULT, {"a": floats(1)})).message
    assert "Outputs expected to be in the set {cnt,sum}" in refusal(lambda: two.run(DEFAULT, {}, ["x"])).message


def test_every_type_comes_back_as_it_went(made: Path) -> None:
    import ml_dtypes

    model = load(made / "types" / "1")
    kinds = {"i32": np.int32, "i64": np.int64, "u8": np.uint8, "f64": np.float64, "boolean": np.bool_, "i8": np.int8}
    kinds |= {"i16": np.int16, "u32": np.uint32, "u64": np.uint64, "f16": np.float16, "bf16": ml_dtypes.bfloat16}
    for name, dtype in kinds.items():
        given = np.array([0, 1], dtype)
        found = model.run(name, {"x": given})["y"]
        assert found.dtype == dtype and found.tolist() == given.tolist()
    assert model.run("anyrank", {"x": floats(3).reshape(())})["y"].shape == ()


def test_strings_are_bytes(made: Path) -> None:
    model = load(made / "text" / "1")
    found = model.run(DEFAULT, {"s": strings(b"abc", b"d\0")})
    assert found["s_upper"].tolist() == [b"ABC", b"D\0"] and found["s_bytes"].dtype == object
    assert model.run("length", {"img_bytes": strings(b"\0\1\2\3", b"")})["n"].tolist() == [4, 0]
    assert model.run(DEFAULT, {"s": strings()})["s_upper"].shape == (0,)


def test_a_model_of_tensorflow_1_classifies_and_regresses(made: Path) -> None:
    from serving.contract import protos

    model = load(made / "reg" / "1")
    example = protos.example().Example()
    example.features.feature["x"].float_list.value.append(10.0)
    given = {"inputs": strings(example.SerializeToString())}
    found = model.run("classify_x_to_y", given)
    assert found["classes"].tolist() == [[b"low", b"high"]] and found["scores"].tolist() == [[7.0, -6.0]]
    assert model.run("regress_x_to_y", given)["outputs"].tolist() == [[7.0]]
    assert model.run(DEFAULT, {"x": floats(10).reshape(1, 1)})["y"].tolist() == [[7.0]]


def test_scalars_and_special_numbers(made: Path) -> None:
    assert load(made / "scalar" / "1").run(DEFAULT, {"x": floats(1, 2, 3)})["y"].shape == ()
    found = load(made / "special" / "1").run(DEFAULT, {"x": floats(1, 0, -1)})["y"]
    assert found[0] == 0 and np.isneginf(found[1]) and np.isnan(found[2])


def test_what_is_no_saved_model_is_refused_as_tensorflow_serving_words_it(made: Path, tmp_path: Path) -> None:
    empty = tmp_path / "1"
    empty.mkdir()
    absent = refusal(lambda: load(empty))
    assert absent.code is Code.NOT_FOUND
    assert absent.message.startswith("Could not find SavedModel .pb or .pbtxt at supplied export directory path:")
    (empty / "saved_model.pb").write_bytes(b"junk")
    assert refusal(lambda: load(empty)).code is Code.DATA_LOSS
    shutil.copy(made / "seq" / "1" / "saved_model.pb", empty)
    bare = refusal(lambda: load(empty))
    assert bare.code is Code.NOT_FOUND and "Failed to find any matching files for" in bare.message
    tags = ManagerSettings(saved_model_tags=("serve", "gpu"))
    other = refusal(lambda: load(made / "seq" / "1", tags))
    assert other.code is Code.NOT_FOUND and "matching supplied tags: { gpu serve }" in other.message


def test_the_server_s_models_come_from_one_config(made: Path) -> None:
    names = sorted(path.name for path in made.iterdir() if path.name != "slow")
    models = tuple(ServedModelConfig(name, made / name) for name in names if name != "versions")
    models += (ServedModelConfig("versions", made / "versions", VersionPolicy(all=True), {"canary": 2}),)
    settings = ManagerSettings(
        file_system_poll_wait_seconds=0.1, num_load_threads=2, allow_version_labels_for_unavailable_models=True
    )
    with ModelManager(ServerConfig(models), settings=settings) as manager:
        assert manager.wait_until_loaded(120.0) == []  # a version of each; the second one of a model may come later
        ends = time.monotonic() + 60
        while len(states := manager.states("versions")) < 2 or any(one.state != "AVAILABLE" for one in states):
            assert time.monotonic() < ends, states
            time.sleep(0.05)
        with manager.acquire("versions") as latest, manager.acquire("versions", label="canary") as canary:
            assert latest.run(DEFAULT, {"x": floats(0)})["y"].tolist() == [4.0]
            assert canary.run(DEFAULT, {"x": floats(0)})["y"].tolist() == [3.0]


def test_a_broken_version_fails_while_the_old_one_answers(made: Path, tmp_path: Path) -> None:
    base = tmp_path / "h"
    shutil.copytree(made / "half_plus_two", base)
    with ModelManager(one_model("h", base), settings=QUICK) as manager:
        assert manager.wait_until_loaded(60.0) == []
        partial = tmp_path / "2"
        shutil.copytree(made / "half_plus_three_v2" / "2", partial)
        (partial / "saved_model.pb").write_bytes(b"half a file")
        partial.rename(base / "2")
        seen: list[str] = []
        manager.subscribe(lambda name, state: seen.append(state.state))
        while "END" not in seen:
            with manager.acquire("h") as servable:
                assert servable.run(DEFAULT, {"x": floats(2)})["y"].tolist() == [3.0]
        two, one = manager.states("h")
        assert (two.state, two.error_code, one.state) == ("END", "DATA_LOSS", "AVAILABLE")


def test_a_warm_up_request_that_fails_fails_the_load(made: Path, tmp_path: Path) -> None:
    from serving.contract import protos

    folder = tmp_path / "1"
    shutil.copytree(made / "half_plus_two" / "1", folder)
    log = protos.apis("prediction_log").PredictionLog()
    tensor = log.predict_log.request.inputs["x"]
    tensor.dtype, tensor.float_val[:] = 1, [1.0]
    tensor.tensor_shape.dim.add(size=1)
    path = folder / warmup.FILE
    path.parent.mkdir()
    write_records(path, [log.SerializeToString()] * 3)
    model = load(folder)
    assert warmup.replay(model, folder) == 3
    log.predict_log.request.inputs["y"].CopyFrom(log.predict_log.request.inputs.pop("x"))
    write_records(path, [log.SerializeToString()])
    assert refusal(lambda: load(folder)).code is Code.INVALID_ARGUMENT
    assert isinstance(load(folder, ManagerSettings(enable_model_warmup=False)), SavedModel)
    write_records(path, [b""] * 1001)
    assert "exceeds the maximum (1000)" in refusal(lambda: load(folder)).message
    path.write_bytes(b"no records at all, but long enough")
    assert refusal(lambda: load(folder)).code is Code.DATA_LOSS


def test_two_hundred_loads_take_no_more_memory_than_twenty(made: Path) -> None:
    folder = made / "half_plus_two" / "1"

    def cycle(times: int) -> float:
        for _ in range(times):
            model = load(folder)
            model.run(DEFAULT, {"x": floats(1)})
            model.close()
            del model
        gc.collect()
        return resident_mb()

    before = cycle(20)
    after = cycle(200)
    assert after - before < 40, f"{before:.0f} MB after 20 loads, {after:.0f} MB after 220"


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


# -- versions of keras_seq.export --------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["casts", "co2"])
def exported(request: pytest.FixtureRequest) -> Iterator[tuple[Any, Any, Any]]:
    """A version, its twin and the same through TensorFlow: sequences with classes, and windows with a forecast."""
    from tests.factories.versions import version

    folder = version(request.param).folder
    twin = load(folder)
    tensorflow = load(folder, ManagerSettings(prefer_tensorflow=True))
    assert isinstance(twin, OnnxTwin) and isinstance(tensorflow, SavedModel)
    yield folder, twin, tensorflow
    twin.close()
    tensorflow.close()


def requests(folder: Path) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """The real windows that the version carries as warm-up requests."""
    from serving.contract import protos
    from serving.contract.tensor_protos import to_array

    for record in read_records(folder / warmup.FILE):
        log = protos.apis("prediction_log").PredictionLog.FromString(record)
        if log.HasField("predict_log"):
            request = log.predict_log.request
            yield request.model_spec.signature_name, {k: to_array(v, k) for k, v in request.inputs.items()}
        else:
            kind = "classify" if log.HasField("classify_log") else "regress"
            given = getattr(log, f"{kind}_log").request.input.example_list.examples
            yield kind, {"inputs": strings(*(each.SerializeToString() for each in given))}


def test_the_twin_answers_as_tensorflow(exported: tuple) -> None:
    folder, twin, tensorflow = exported
    seen = set()
    for signature, inputs in requests(folder):
        seen.add(signature)
        ours, theirs = twin.run(signature, inputs), tensorflow.run(signature, inputs)
        assert list(ours) == list(theirs)
        for name, expected in theirs.items():
            assert ours[name].dtype == expected.dtype and ours[name].shape == expected.shape, (signature, name)
            if expected.dtype == object:
                assert ours[name].tolist() == expected.tolist()
            else:
                np.testing.assert_allclose(ours[name], expected, rtol=1e-4, atol=1e-4, err_msg=f"{signature} {name}")
    assert seen >= {DEFAULT, "serving_examples"} and twin._other is None, "TensorFlow was not needed"


def test_the_twin_refuses_what_tensorflow_refuses(exported: tuple) -> None:
    _, twin, tensorflow = exported
    info = twin.signatures[DEFAULT].inputs
    features = info["values"].shape[-1]
    lengths = {"lengths": np.array([6], np.int32)} if "lengths" in info else {}
    good = {"values": np.zeros((1, 6, features), np.float32), **lengths}
    for bad in (
        {**good, "values": np.zeros((1, 6, features + 1), np.float32)},
        {**good, "values": np.zeros((6, features), np.float32)},
        {**good, "values": good["values"].astype(np.float64)},
        {name: value for name, value in good.items() if name != "values"},
        {**good, "values": np.zeros((1, 0, features), np.float32)},
    ):
        codes = [refusal(lambda model=model, bad=bad: model.run(DEFAULT, bad)).code for model in (twin, tensorflow)]
        assert codes == [Code.INVALID_ARGUMENT] * 2
    for serialized in (strings(b"junk"), strings(b"").reshape(1, 1)):
        for model in (twin, tensorflow):
            given = {"examples": serialized}
            assert refusal(lambda model=model, given=given: model.run("serving_examples", given)).code == 3
    assert twin.run(DEFAULT, {**good, "values": good["values"][:0], **{k: v[:0] for k, v in lengths.items()}})


def test_rows_are_answered_on_their_own(exported: tuple) -> None:
    folder, twin, _ = exported
    rows = [inputs for signature, inputs in requests(folder) if signature == DEFAULT]
    longest = max(row["values"].shape[1] for row in rows)
    padded = [np.pad(row["values"], ((0, 0), (0, longest - row["values"].shape[1]), (0, 0))) for row in rows]
    joined = {"values": np.concatenate(padded)}
    if "lengths" in rows[0]:
        joined["lengths"] = np.concatenate([row["lengths"] for row in rows])
    together = twin.run(DEFAULT, joined)
    for place, row in enumerate(rows):
        for name, value in twin.run(DEFAULT, row).items():
            np.testing.assert_allclose(together[name][place : place + 1], value, rtol=1e-5, atol=1e-5)


def test_a_version_that_was_changed_is_not_served_through_its_twin(exported: tuple, tmp_path: Path) -> None:
    folder, _, _ = exported
    copy = tmp_path / "1"
    for name in ("keras_seq/model.onnx", "keras_seq/parity.json", "variables/variables.index"):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        with (copy / name).open("ab") as file:
            file.write(b"\n")
        if name.startswith("variables"):
            with pytest.raises(Refused):
                load(copy)
        else:
            assert isinstance(load(copy, ManagerSettings(enable_model_warmup=False)), SavedModel), name


def test_serving_a_twin_needs_no_tensorflow(exported: tuple) -> None:
    folder, _, _ = exported
    code = (
        "import sys; from pathlib import Path; from serving.models.loading import load_version;"
        "from serving.models.settings import ManagerSettings;"
        f"model = load_version('m', 1, Path({str(folder)!r}), ManagerSettings());"
        "assert model.rowwise and 'tensorflow' not in sys.modules and 'keras' not in sys.modules; print(model.fast)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
