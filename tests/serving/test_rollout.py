"""Weights, shadows and the way back."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_seq.errors import ConfigError
from serving.contract.status import Code, Refused
from serving.contract.version_state import VersionState
from serving.models.config import read_config
from serving.observers import ObservedCall
from serving.rollout import PlanRouter, Shadow, edit
from serving.rollout.plan import ModelPlan, load_plan


class Linear:
    """A servable of one line: ``y = slope * x``."""

    def __init__(self, version, slope, seconds=0.0):
        self.name, self.version, self.slope, self.seconds = "m", version, slope, seconds

    def run(self, signature, inputs, outputs=None):
        time.sleep(self.seconds)
        if "x" not in inputs:
            raise Refused(Code.INVALID_ARGUMENT, "input x is missing")
        return {"y": inputs["x"] * self.slope}


class Served:
    """The models of a server: lines by version."""

    def __init__(self, *servables):
        self.versions = {one.version: one for one in servables}

    @contextmanager
    def acquire(self, name, version=None, label=None):
        number = max(self.versions) if version is None else version
        if number not in self.versions:
            raise Refused(Code.NOT_FOUND, f"Servable not found for request: Specific({name}, {number})")
        yield self.versions[number]

    def states(self, name, version=None, label=None):
        return [VersionState(number, "AVAILABLE") for number in sorted(self.versions, reverse=True)]


def until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.01)


@given(st.dictionaries(st.integers(0, 50), st.floats(0, 100), min_size=1, max_size=5), st.text(max_size=20))
def test_a_caller_keeps_its_version(weights, key):
    if sum(weights.values()) <= 0:
        weights[1] = 1.0
    plan = ModelPlan(weights=weights)
    chosen = plan.choose(key)
    assert chosen == ModelPlan(weights=dict(reversed(weights.items()))).choose(key)
    assert weights[chosen] > 0


def test_shares_are_those_of_the_weights_and_few_callers_move():
    before, after = ModelPlan(weights={3: 90, 4: 10}), ModelPlan(weights={3: 80, 4: 20})
    callers = [f"10.0.{k // 256}.{k % 256}" for k in range(20_000)]
    old, new = np.array([before.choose(c) for c in callers]), np.array([after.choose(c) for c in callers])
    assert np.mean(old == 4) == pytest.approx(0.1, abs=0.01)
    assert np.mean(new == 4) == pytest.approx(0.2, abs=0.01)
    assert np.mean(old != new) == pytest.approx(0.1, abs=0.01)
    assert (new[old == 4] == 4).all()
    dealt = np.array([ModelPlan(weights={3: 90, 4: 10}, salt="again").choose(c) for c in callers])
    assert np.mean((dealt == 4) & (old == 4)) == pytest.approx(0.01, abs=0.005)


def test_the_router_follows_its_file_and_keeps_the_plan_of_a_good_one(tmp_path, caplog):
    path = tmp_path / "rollout.yaml"
    router = PlanRouter(path, Served(Linear(3, 1), Linear(4, 2)), poll=0.02)
    assert router.choose("m", "me") is None
    edit.set_weights(path, "m", {3: 1.0})
    until(lambda: router.choose("m", "me") == 3)
    path.write_text("models: {m: {weights: {4: -1}}}")
    until(lambda: router.problem)
    assert router.choose("m", "me") == 3
    until(lambda: "stays in force" in caplog.text)  # told after it is known
    path.unlink()
    until(lambda: "gone" in router.problem)
    assert router.choose("m", "me") == 3
    path.write_text(json.dumps({"models": {"m": {"weights": {"4": 1}}}}))
    until(lambda: router.choose("m", "me") == 4 and not router.problem)
    path.write_text("{}")
    until(lambda: router.choose("m", "me") is None)
    router.close()


def test_a_version_that_is_not_loaded_gets_no_calls(tmp_path):
    path, served = tmp_path / "rollout.yaml", Served(Linear(3, 1))
    edit.set_weights(path, "m", {4: 1.0})
    router = PlanRouter(path, served, poll=0.02)
    assert router.choose("m", "me") is None
    served.versions[4] = Linear(4, 2)
    until(lambda: router.choose("m", "me") == 4)
    assert router.shares("m") == {4: 1.0} and router.shares("another") == {}
    del served.versions[4]
    until(lambda: router.choose("m", "me") is None)
    router.close()


def test_shares_are_those_that_callers_are_dealt(tmp_path):
    path = tmp_path / "rollout.yaml"
    edit.set_weights(path, "m", {3: 90, 4: 10, 5: 0, 6: 20})
    router = PlanRouter(path, Served(Linear(3, 1), Linear(4, 2), Linear(5, 2)), poll=0.02)
    dealt = [router.choose("m", f"caller {number}") for number in range(20_000)]
    shares = router.shares("m")
    assert shares == pytest.approx({3: 0.75, 4: 10 / 120})
    assert {version: np.mean(np.array(dealt) == version) for version in shares} == pytest.approx(shares, abs=0.01)
    assert dealt.count(None) / len(dealt) == pytest.approx(1 - sum(shares.values()), abs=0.01)
    router.close()


def test_choosing_is_quick(tmp_path):
    path = tmp_path / "rollout.yaml"
    edit.set_weights(path, "m", {3: 90, 4: 10})
    router = PlanRouter(path)
    start = time.thread_time()
    for k in range(20_000):
        router.choose("m", f"10.0.0.{k % 100}")
    assert (time.thread_time() - start) / 20_000 < 5e-6
    router.close()


def call(number, version=3, x=1.0):
    values = np.array([[x]], np.float32)
    return ObservedCall("m", version, "serving_default", {"x": values}, {"y": values * 2}, 1e-3, 1e9, str(number))


def test_a_shadow_is_compared_and_reported(tmp_path):
    path = tmp_path / "rollout.yaml"
    edit.set_shadow(path, "m", {"version": 4})
    shadow = Shadow(path, Served(Linear(3, 2), Linear(4, 2.5)), folder=tmp_path)
    assert shadow.wants("m") and not shadow.wants("other")
    for k in range(20):
        shadow.served(call(k, x=float(k)))
    assert shadow.flush()
    (pair,) = shadow.report()["pairs"]
    assert pair["calls"] == 20 and pair["failed"] == 0
    assert pair["outputs"]["y"]["mean"] == pytest.approx(0.5 * np.mean(np.arange(20)))
    assert pair["outputs"]["y"]["largest"] == pytest.approx(9.5)
    assert pair["outputs"]["y"]["unequal"] == pytest.approx(0.95)
    where = 'model_name="m",version="3",shadow_model="m",shadow_version="4"'
    assert f'keras_seq_shadow_difference_max{{{where},output="y"}} 9.5' in shadow.metrics()
    shadow.close()
    assert json.loads((tmp_path / "shadow.json").read_text())["pairs"][0]["calls"] == 20


def test_a_shadow_that_fails_is_counted_and_nobody_notices(tmp_path):
    path = tmp_path / "rollout.yaml"
    edit.set_shadow(path, "m", {"version": 9})
    shadow = Shadow(path, Served(Linear(3, 2)))
    shadow.served(call(0))
    assert shadow.flush()
    (pair,) = shadow.report()["pairs"]
    assert pair["failed"] == 1 and "Specific(m, 9)" in pair["problem"]
    shadow.close()


def test_a_slow_shadow_delays_nobody(tmp_path):
    path = tmp_path / "rollout.yaml"
    edit.set_shadow(path, "m", {"version": 4})
    shadow = Shadow(path, Served(Linear(4, 2, seconds=0.2)))
    start, wanted = time.perf_counter(), 0
    for k in range(2000):
        if shadow.wants("m"):
            wanted += 1
            shadow.served(call(k))
    assert time.perf_counter() - start < 0.2
    assert shadow.dropped == 2000 - wanted > 0
    shadow.close()
    assert not any(thread.name == "keras-seq-shadow" and thread.is_alive() for thread in threading.enumerate())


def run(*words):
    command = [sys.executable, "-m", "serving.rollout", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_commands_there_and_back(tmp_path):
    path = tmp_path / "rollout.yaml"
    for words in (["--weights", "3=100"], ["--weights", "3=90,4=10", "--shadow", "other:2", "--share", "0.5"]):
        assert run("set", "m", *words, "--file", path).returncode == 0
    plan = load_plan(path).models["m"]
    assert plan.weights == {3: 90, 4: 10} and plan.previous == {3: 100}
    assert (plan.shadow.model, plan.shadow.version, plan.shadow.share) == ("other", 2, 0.5)
    assert "version 4 10.0%" in run("status", "--file", path).stdout
    assert run("rollback", "m", "--file", path).returncode == 0
    plan = load_plan(path).models["m"]
    assert plan.weights == {3: 100} and plan.shadow is None
    wrong = run("set", "m", "--weights", "3=x", "--file", path)
    assert wrong.returncode == 2 and "3=90,4=10" in wrong.stderr and "Traceback" not in wrong.stderr
    assert run("rollback", "other", "--file", path).returncode == 2
    assert load_plan(path).models["m"] == plan


def test_a_version_policy_is_rolled_back(tmp_path):
    path = tmp_path / "models.config"
    path.write_text(
        f'model_config_list {{ config {{ name: "m" base_path: "{tmp_path}" model_platform: "tensorflow" }}'
        f' config {{ name: "n" base_path: "{tmp_path}" model_platform: "tensorflow" }} }}'
    )
    edit.set_policy(path, "m", 3)
    models = read_config(path).by_name()
    assert models["m"].policy.specific == (3,) and models["n"].policy.specific is None
    with pytest.raises(ConfigError, match="does not name model 'x'; it names m, n"):
        edit.set_policy(path, "x", 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models: {m: {weights: {3: 0}}}", "at least one weight"),
        ("models: {m: {weight: {3: 1}}}", "models.m.weight"),
        ("model: {}", "did you mean 'models'"),
        ("models: {m: {weights: {a: 1}}}", "integer"),
        ("models: {m: {weights: {1: .inf}}}", "finite"),
        ("models: {m: {shadow: {share: 0}}}", "greater than 0"),
    ],
)
def test_wrong_files(tmp_path, text, message):
    path = tmp_path / "rollout.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_plan(path)
