"""Names, labels, buckets and text of the metrics page; sums over workers."""

from serving.contract.status import Code
from serving.server.metrics import EXAMPLES, LATENCY, MAX_NAMES, Histogram, Metrics


def test_buckets_are_tensorflow_servings():
    assert len(LATENCY) == 33 and [f"{bound:g}" for bound in LATENCY[:4]] == ["10", "18", "32.4", "58.32"]
    assert [2.0**power for power in range(15)] == EXAMPLES


def test_the_page_has_tensorflow_servings_names_and_labels():
    metrics = Metrics()
    metrics.request("m", "predict", "REST", Code.OK, 12e-6)
    metrics.request("m", "predict", "REST", Code.OK, 50e-6)
    metrics.request("m", "predict", "REST", Code.NOT_FOUND, 1.0)
    metrics.runtime_latency.add(("m", "Predict", "TF1"), 5.0)
    metrics.example_count("m", 3)
    lines = metrics.page().splitlines()
    for line in (
        "# TYPE :tensorflow:serving:request_count counter",
        ':tensorflow:serving:request_count{model_name="m",status="OK"} 2',
        ':tensorflow:serving:request_count{model_name="m",status="NOT_FOUND"} 1',
        "# TYPE :tensorflow:serving:request_latency histogram",
        ':tensorflow:serving:request_latency_bucket{model_name="m",API="predict",entrypoint="REST",le="10"} 0',
        ':tensorflow:serving:request_latency_bucket{model_name="m",API="predict",entrypoint="REST",le="18"} 1',
        ':tensorflow:serving:request_latency_bucket{model_name="m",API="predict",entrypoint="REST",le="+Inf"} 2',
        ':tensorflow:serving:request_latency_sum{model_name="m",API="predict",entrypoint="REST"} 62',
        ':tensorflow:serving:request_latency_count{model_name="m",API="predict",entrypoint="REST"} 2',
        ':tensorflow:serving:runtime_latency_count{model_name="m",API="Predict",runtime="TF1"} 1',
        ':tensorflow:serving:request_example_counts_bucket{model="m",le="4"} 1',
        ':tensorflow:serving:request_example_count_total{model="m"} 3',
    ):
        assert line in lines, line
    assert metrics.page().endswith("\n")


def test_a_value_on_a_bound_belongs_to_the_next_bucket():
    histogram = Histogram("h", (), [1.0, 2.0])
    for value in (0.5, 1.0, 2.0, 3.0):
        histogram.add((), value)
    assert list(histogram.lines())[1:4] == ['h_bucket{le="1"} 1', 'h_bucket{le="2"} 2', 'h_bucket{le="+Inf"} 4']


def test_names_that_clients_make_up_are_bounded_and_escaped():
    metrics = Metrics()
    for number in range(MAX_NAMES + 50):
        metrics.request(f"x{number}", "predict", "REST", Code.NOT_FOUND, 0.1)
    assert len(metrics.requests.cells) == MAX_NAMES + 1
    assert metrics.requests.cells["other", "NOT_FOUND"] == 50
    metrics = Metrics()
    metrics.request('a"\n\\', "predict", "REST", Code.OK, 0.1)
    assert 'model_name="a\\"\\n\\\\"' in metrics.page()


def test_workers_add_up_and_a_new_one_goes_on(tmp_path):
    one, two = Metrics(tmp_path, 0), Metrics(tmp_path, 1)
    one.request("m", "predict", "REST", Code.OK, 1e-3)
    two.request("m", "predict", "REST", Code.OK, 2e-3)
    two.write()
    assert 'request_count{model_name="m",status="OK"} 2' in one.page()
    assert 'entrypoint="REST"} 3000' in one.page()
    again = Metrics(tmp_path, 1)  # the second worker died and was started again
    again.request("m", "predict", "REST", Code.OK, 1e-3)
    assert again.requests.cells["m", "OK"] == 2
    (tmp_path / "worker-2.json").write_text("{broken")
    assert 'status="OK"} 1' in one.page() or 'status="OK"} 2' in one.page()
