"""The report's pieces: what comes from data cannot become markup or script, charts are what plotly takes."""

from __future__ import annotations

import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_seq.commands import report
from keras_seq.errors import ConfigError, ModelError
from keras_seq.reports import charts, html, html_charts, sections_run, sections_served, sections_tuning
from keras_seq.reports.sources import Sources

NASTY = '</script><img src=x onerror="alert(1)">&amp;'


@given(st.dictionaries(st.text(), st.floats() | st.text() | st.lists(st.floats() | st.none()), max_size=5))
def test_json_in_a_page_reads_back_and_cannot_end_its_element(value):
    text = html_charts.as_json(value)
    assert not set("<>&") & set(text)
    found = json.loads(text)
    for key, inner in value.items():
        if isinstance(inner, str):
            assert found[key] == inner
        elif isinstance(inner, float):
            assert found[key] is None if not math.isfinite(inner) else found[key] == pytest.approx(inner, rel=1e-6)


@given(st.text(), st.text())
def test_tables_facts_and_tiles_escape(one, other):
    made = html.table([one], [[other]], caption=one) + html.facts({one: other}) + html.tiles([(one, other, one)])
    plain = re.sub(
        r"</?(?:div|table|caption|thead|tbody|tr|th|td|dl|dt|dd|b|span)(?: [a-z-]+=\"[^\"<>]*\")*>", "", made
    )
    assert "<" not in plain and ">" not in plain


@pytest.mark.parametrize(
    ("value", "text"),
    [(10.611651914118186, "10.61"), (60289.0, "60\u2009289"), (0.00001234567, "1.235e-05"), (math.nan, ""), (None, "")]
    + [("word", "word"), (337963.66, "337\u2009964"), (-math.inf, "-∞"), (0, "0")],
)
def test_numbers_are_shortened_as_people_read_them(value, text):
    assert html.number(value) == text


def test_a_section_without_material_is_named_with_its_command_only():
    parts = [html.PageSection("a", "There", "<p>x</p>", "make a"), html.PageSection("b", "Absent", "", "make <b>")]
    page = html.page("t", "", parts)
    assert 'id="a"' in page and 'href="#a"' in page and "make a" not in page
    assert 'id="b"' not in page and "make &lt;b&gt;" in page and "Not in this report" in page


FIGURES = {
    "lines": lambda: charts.lines([1, 2], {NASTY: [1.0, 2.0]}, x_title="x", y_title=NASTY, at=(1, "best"), type="log"),
    "bars": lambda: charts.bars(["a", NASTY], {"one": [1, 2], "two": [None, 1]}, y_title="y", level=(1, "wanted")),
    "written": lambda: charts.bars(["a"], {"one": [1]}, y_title="y", written=[NASTY]),
    "intervals": lambda: charts.intervals([("a", 1, 0, 2), (NASTY, 2, 1, 4)], x_title="x"),
    "heat": lambda: charts.heat(["a"], [NASTY], [[None]], [["?"]], zmin=0),
    "marks": lambda: charts.marks({"a": ([1], [2], ["said"]), NASTY: ([1], [2], [])}, x_title="x", y_title="y"),
    "panels": lambda: charts.panels([(NASTY, charts.bars(["a"], {"one": [1]}, y_title="y"))] * 3),
}


@pytest.mark.parametrize("name", FIGURES)
def test_charts_are_what_plotly_takes_and_escape_their_labels(name):
    from plotly.graph_objects import Figure

    made = FIGURES[name]()
    Figure(made)  # refuses unknown or wrong properties
    assert "<img" not in json.dumps(made)


def test_the_policy_names_both_scripts_and_nothing_else_may_run_or_load():
    policy = html_charts.policy()
    assert policy.count("sha256-") == 2 and policy.startswith("default-src 'none'")
    assert "unsafe-eval" not in policy and "http" not in policy
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]


@pytest.mark.slow  # the monitor itself needs TensorFlow
def test_the_kept_epoch_is_the_one_training_keeps():
    from keras_seq.training.monitors import MetricMonitor

    for name, task in (
        ("auto", "binary"),
        ("auto", "regression"),
        ("val_mae", "regression"),
        ("accuracy", "multiclass"),
    ):
        chosen = MetricMonitor.choose(name, task)
        assert sections_run.monitored(name, task) == chosen.name
        epochs = {"epoch": [1.0, 2.0, 3.0, 4.0], f"val_{chosen.name}": [3.0, math.nan, 1.0, 3.0]}
        best = {True: 1.0, False: 3.0}[chosen.higher]  # of equal ones the first
        assert sections_run._kept_epoch(epochs, chosen.name, "best") == best
        assert sections_run._kept_epoch(epochs, chosen.name, "last") == 4.0


def test_the_best_trial_is_the_studys_own(tmp_path):
    from tests.factories.study import make_study

    for higher in (False, True):
        study = make_study(tmp_path / str(higher), 40, higher=higher)
        trials = [json.loads(path.read_text()) for path in (study.folder / "trials").glob("*.json")]
        assert sections_tuning.best_trial(trials, higher=higher)["trial"] == study.best().trial


def test_events_of_a_watcher_and_broken_lines(tmp_path):
    from serving.monitor.events import EventLog

    events = EventLog(tmp_path)
    events.write("drift_started", model="m", version=3, score=1.5, top=[{"column": NASTY, "psi": 1.0}])
    with events.path.open("a") as file:
        file.write('{"half": \n')
    events.write("drift_ended", model="m", version=3, score=0.5)
    found = sections_served.monitoring(Sources(bundle=None, run=tmp_path, monitor=tmp_path))
    assert "kind: 2" in found.body and "drift_started" in found.body and "<img" not in found.body
    assert "most changed" in found.body


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["nowhere"], ModelError, "nowhere"),
        (["nowhere", "--model.units", "3"], ConfigError, "cannot change a trained model"),
    ],
)
def test_mistakes_are_named(words, error, message):
    with pytest.raises(error, match=message):
        report.main(words)


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([0.03, 0.5, 2.4], ["0.05", "0.1", "0.2", "0.5", "1", "2"]),
        ([0.21, 0.62], ["0.2", "0.4", "0.6"]),
        ([0.41, 0.44, 0.5], ["0.4", "0.45", "0.5"]),
        (
            [1e-7, 3e-6],
            [
                "10<sup>\u22127</sup>",
                "2\u00d710<sup>\u22127</sup>",
                "5\u00d710<sup>\u22127</sup>",
                "10<sup>\u22126</sup>",
                "2\u00d710<sup>\u22126</sup>",
            ],
        ),
        ([3.0, 4e5], ["10", "100", "1000", "10000", "10<sup>5</sup>"]),
        ([1e-12, 1e9], None),
        ([0.5], None),
        ([5, 50_000_000], None),
    ],
)
def test_ticks_of_a_logarithmic_axis_are_whole_numbers(values, texts):
    """Plotly's own ticks write "5" for 0.5 and "2" for 0.02."""
    ticks = charts.log_ticks(values)
    places, said = ticks["tickvals"], ticks["ticktext"]
    assert len(places) == len(said) >= 2 and len(places) <= 11
    read = [
        float(re.sub(r"10<sup>(.*)</sup>", r"1e\1", text).replace("\u00d71e", "e").replace("\u2212", "-"))
        for text in said
    ]
    assert read == pytest.approx(places)
    assert any(0.8 * min(values) <= place <= 1.25 * max(values) for place in places)
    if texts is not None:
        assert [text for text in texts if text not in said] == []


@given(st.lists(st.floats(1e-12, 1e12), min_size=1, max_size=20))
def test_every_logarithmic_axis_has_ticks_that_can_be_read(values):
    ticks = charts.log_ticks(values)
    assert 2 <= len(ticks["tickvals"]) <= 12 and all(place > 0 for place in ticks["tickvals"])
    assert len(set(ticks["ticktext"])) == len(ticks["ticktext"])


def test_charts_take_these_ticks_wherever_an_axis_is_logarithmic():
    loss = charts.lines([1, 2, 3], {"loss": [2.0, 0.5, 0.03]}, x_title="epoch", y_title="loss", type="log")
    assert "0.5" in loss["layout"]["yaxis"]["ticktext"] and "dtick" not in loss["layout"]["yaxis"]
    bars = charts.bars(["a"], {"ms": [0.02, 40.0]}, y_title="ms", type="log", rangemode="normal")
    assert bars["layout"]["yaxis"]["rangemode"] == "normal" and "0.1" in bars["layout"]["yaxis"]["ticktext"]
    points = charts.marks({"t": ([1e-4, 1e-2], [1, 2], [])}, x_title="", y_title="", x_axis={"type": "log"})
    small = charts.panels([("rate", points), ("loss", loss)])
    assert "0.001" in small["layout"]["xaxis"]["ticktext"] and "0.5" in small["layout"]["yaxis2"]["ticktext"]
    assert charts.log_ticks([0.0, -1.0]) == charts.log_ticks([]) == {}
    assert "ticktext" not in charts.lines([1], {"a": [1.0]}, x_title="", y_title="")["layout"]["yaxis"]
