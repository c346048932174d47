"""The report of a real small run, as a person opens it: every section, at a desk and on a phone, printed, offline."""

from __future__ import annotations

import json
import re

import pytest

from keras_seq.errors import ConfigError, DataError
from keras_seq.files import read_json
from keras_seq.pipeline.report import write_report
from tests.factories.browser import CHROMIUM, Browser
from tests.factories.bundles import CASTER, experiment
from tests.factories.study import make_study

pytestmark = [pytest.mark.slow, pytest.mark.nightly]
RIVAL = "<script>alert(1)</script>"
NASTY = "<img src=x onerror=alert(1)>"
SECTIONS = ("summary", "data", "training", "metrics", "decision", "answers", "comparison", "tuning", "temporal")
SECTIONS += ("explanations", "benchmark", "gate", "monitoring", "settings")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with all that the commands leave beside it."""
    from keras_seq.bundle import load_bundle
    from keras_seq.commands import benchmark
    from keras_seq.explain import ExplanationPlan, explain
    from keras_seq.export.canary import answers_of
    from keras_seq.export.samples import sample_windows
    from keras_seq.export.version import Wanted, export_version
    from keras_seq.pipeline import compare, temporal
    from keras_seq.pipeline.train import train
    from serving.monitor.events import EventLog

    folder = tmp_path_factory.mktemp("report")
    off = {"tracking.backend": "none", "training.epochs": 2, "export.saved_model": False}
    runs = [train(experiment(CASTER, folder, seed=seed, **off), quiet=True).folder for seed in (0, 1)]
    run = runs[0]
    compare.compare([f"net={run}", f"{RIVAL}={runs[1]}"], output=run / "comparison", resamples=100, costs=False)
    temporal.analyse(run, answers=5)
    assert benchmark.main([str(run), "--formats", "keras,onnx", "--threads", "1", "--windows", "20"]) == 0
    bundle = load_bundle(run)
    windows = sample_windows(bundle, part="test", count=8)
    wanted = Wanted(canaries={"this process": answers_of})
    export_version(bundle, run / "export", ("saved_model", "onnx"), windows=windows, wanted=wanted)
    explain(run, ExplanationPlan(samples=3, backgrounds=5, methods=("integrated_gradients",), local=1))
    make_study(run.parent / "study", 12, epochs=1)
    EventLog(run / "monitor").write("drift_started", model=NASTY, version=1, score=2.5, top=[{"column": NASTY}])
    return run


@pytest.fixture(scope="module")
def page(run):
    return write_report(run, given={"study": str(run.parent / "study")}, answers=True, png=True)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    browser = Browser(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()


def test_the_file_loads_nothing_and_no_data_become_markup(page):
    text = page.read_text(encoding="utf-8")
    packed = re.compile(r'(<script type="application/octet-stream" id="plotly">)[^<]*')
    own = packed.sub(r"\1", text)
    assert not re.search(r"""(?:src|href|srcset|data|action)\s*=\s*["']?\s*(?:https?:)?//""", own)
    assert not re.search(r"@import|url\(\s*[\"']?(?:https?:)?//|<link|<iframe|<object|<embed", own)
    assert NASTY not in text and RIVAL not in text and "&lt;img src=x" in text
    assert page.stat().st_size < 6 * 2**20


def test_numbers_are_those_recorded(page, run):
    text = page.read_text(encoding="utf-8")
    test = read_json(run / "bundle/metrics.json")["test"]
    for name in ("auc_roc", "auc_pr", "brier"):
        assert re.search(rf'<th scope="row">{name}</th>.*?{test[name]:.4g}', text)
    shown = json.loads(re.search(r'id="metrics-bars-data">(.*?)</script>', text).group(1))
    assert shown["data"][0]["y"][1] == pytest.approx(test["auc_pr"], rel=1e-6)
    assert read_json(run / "report/answers.json")["metrics"]["auc_roc"] == pytest.approx(test["auc_roc"], rel=1e-4)


@pytest.mark.parametrize("width", [1280, 390])
def test_every_section_is_there_and_every_chart_is_drawn(page, browser, width):
    browser.open(page, width=width)
    there = browser.value("[...document.querySelectorAll('main section')].map(one => one.id)")
    assert there == list(SECTIONS)
    waiting = "[...document.querySelectorAll('.chart')].filter(chart => !chart.dataset.drawn).length"
    assert browser.value(waiting) > 5  # below the fold
    browser.scroll_through()
    empty = "[...document.querySelectorAll('.chart')].filter(chart => !chart.querySelector('.main-svg')).length"
    assert browser.value(empty) == 0
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.complaints == []
    assert [url for url in browser.asked if not url.startswith(("data:", "blob:"))] == [page.absolute().as_uri()]
    assert browser.value("document.querySelectorAll('[onerror]').length") == 0
    broken = "[...document.images].filter(one => one.complete && !one.naturalWidth).length"
    assert browser.value(broken) == 0


def test_it_can_be_read_without_seeing_it(page, browser):
    browser.open(page, width=1280)
    assert browser.value("[...document.images].every(one => one.alt)")
    assert browser.value("[...document.querySelectorAll('.chart')].every(one => one.getAttribute('aria-label'))")
    assert browser.value("[...document.querySelectorAll('table')].every(one => one.querySelector('th[scope=col]'))")
    levels = browser.value("[...document.querySelectorAll('h1,h2,h3')].map(one => +one.tagName[1])")
    assert levels[0] == 1 and levels.count(1) == 1
    targets = "[...document.querySelectorAll('nav a')].every(one => document.querySelector(one.getAttribute('href')))"
    assert browser.value(targets)


def test_printing_draws_every_chart(page, browser, tmp_path):
    browser.open(page, width=1280)
    browser.wait("!!window.Plotly")
    pdf = browser.print(tmp_path / "report.pdf")
    assert pdf.read_bytes().startswith(b"%PDF") and pdf.stat().st_size > 50_000
    assert browser.value("[...document.querySelectorAll('.chart')].every(chart => chart.dataset.drawn)")


def test_scripts_from_elsewhere_do_not_run(page, browser):
    browser.open(page, width=1280)
    browser.value(
        "(() => { const one = document.createElement('script'); one.textContent = 'window.ran = 1'; "
        "document.body.append(one); })()"
    )
    assert browser.value("window.ran === undefined")


def test_pictures_are_copied_and_a_bare_run_names_what_makes_the_rest(page, run, tmp_path):
    names = {path.name for path in page.with_name("report_pictures").iterdir()}
    assert {"run_history.png", "comparison_comparison.png", "temporal_bands.png", "benchmark_benchmark.png"} <= names
    import shutil

    shutil.copytree(run / "bundle", tmp_path / "bundle")
    text = write_report(tmp_path).read_text(encoding="utf-8")
    for command in ("compare", "temporal", "benchmark", "export", "explain"):
        assert f"python -m keras_seq.{command} {tmp_path}" in text
    assert 'id="comparison"' not in text and 'id="metrics"' in text


def test_wrong_folders_and_damaged_material_are_named(run, tmp_path):
    with pytest.raises(ConfigError, match=r"--study.*no study\.json"):
        write_report(run, given={"study": str(tmp_path)})
    (tmp_path / "benchmark.json").write_text("{")
    with pytest.raises(DataError, match=r"benchmark\.json"):
        write_report(run, out=tmp_path / "x.html", given={"benchmark": str(tmp_path)})
    assert not (tmp_path / "x.html").exists()
    with pytest.raises(ConfigError, match="--out"):
        write_report(run, out=tmp_path)
