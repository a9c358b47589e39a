"""Curves, epochs and the best step are read from the results."""

from hypothesis import given
from hypothesis import strategies as st

from ftops.reports.charts import PAPER
from ftops.reports.curve_chart import NamedCurve, draw_curves
from ftops.reports.curves import (
    TrainingCurves,
    downsample,
    fill_buckets,
    keep_finite,
    read_training_curves,
)
from ftops.reports.figures import list_curves
from ftops.reports.results import ResultRow, parse_results
from ftops.reports.run_facts import RunFacts
from ftops.reports.training import TrainingFacts, create_training
from tests.reports.sample_runs import make_contents, make_facts, make_run

CSV = b"step,epoch,train_loss,valid_loss\n" + b"".join(
    b"%d,%d,%.4f,%s\n"
    % (step, (step - 1) // 10 + 1, 4 / step, b"%.3f" % abs(step - 20) if step % 5 == 0 else b"")
    for step in range(1, 31)
)


def read(content: bytes, n_epochs: int | None = None) -> TrainingCurves:
    training = create_training(parse_results(content), TrainingFacts(n_epochs=n_epochs))
    return read_training_curves(RunFacts(make_run(), [], training=training))


def test_epochs_end_where_the_next_one_starts() -> None:
    assert list(read(CSV).epochs) == [10, 20]


def test_epochs_are_distributed_evenly_when_only_their_number_is_known() -> None:
    plain = b"step,train_loss\n" + b"".join(b"%d,1\n" % step for step in range(1, 31))
    assert list(read(plain, n_epochs=3).epochs) == [10, 20]


def test_metrics_of_all_validation_rows_have_priority() -> None:
    both = b"step,train_loss,valid_loss,full_valid_loss\n1,2,9,1.5\n2,1,9,\n3,1,9,1.2\n"
    assert read(both).loss.validation == [(1.0, 1.5), (3.0, 1.2)]


def test_metrics_of_some_validation_rows_are_used_when_full_ones_exist_only_once() -> None:
    once = b"step,train_loss,valid_loss,full_valid_loss\n1,2,9,\n2,1,8,1.5\n"
    assert read(once).loss.validation == [(1.0, 9.0), (2.0, 8.0)]


def test_the_step_with_the_lowest_validation_loss_is_found() -> None:
    training = read(CSV)
    assert training.best is not None
    assert list(training.best) == [20, 0]
    assert training.last_step == 30


def test_many_epochs_are_downsampled() -> None:
    plain = b"step,train_loss\n" + b"".join(b"%d,1\n" % step for step in range(1, 401))
    assert 10 < len(read(plain, n_epochs=200).epochs) <= 24


def test_the_checkpoint_preferred_by_a_finding_is_marked_and_named() -> None:
    contents = make_contents()
    assert contents.runs[0].learning.preferred is not None
    assert "overfitting" in contents.runs[0].findings[0].text
    loss = list_curves(contents)[0]
    assert "The checkpoint to prefer is that of step" in loss.caption
    assert [key.kind for key in loss.legend] == ["training", "validation", "best", "preferred"]


def test_a_run_without_results_has_no_curves() -> None:
    training = read_training_curves(RunFacts(make_run(), []))
    assert training.loss.empty and training.accuracy.empty
    assert training.best is None and training.last_step is None


def test_a_loss_that_falls_a_hundredfold_has_a_logarithmic_axis() -> None:
    def scale(content: bytes) -> object:
        spec = draw_curves([NamedCurve("x", read(content).loss)], PAPER)
        return spec["layer"][0]["encoding"]["y"]["scale"].get("type")

    steep = b"step,train_loss\n1,7\n2,0.5\n3,0.004\n"
    flat = b"step,train_loss\n1,2\n2,1\n3,0.5\n"
    assert scale(steep) == "log"
    assert scale(flat) is None


def test_a_single_validation_value_is_a_point() -> None:
    facts = make_facts(results=lambda: [ResultRow(1, 2.0), ResultRow(2, 1.0, valid_loss=1.5)])
    loss = list_curves(make_contents(facts))[0]
    assert "validation was measured once, at step 2: 1.5." in loss.caption
    assert [key.kind for key in loss.legend] == ["training", "point"]


FIGURES = st.floats(-1e6, 1e6, allow_nan=False)


@given(st.lists(FIGURES, min_size=1, max_size=900), st.integers(2, 60))
def test_a_downsampled_series_keeps_ends_minimum_and_maximum(
    values: list[float], limit: int
) -> None:
    points = [(float(step), value) for step, value in enumerate(values)]
    downsampled = downsample(points, max(4, limit))
    assert len(downsampled) <= max(4, limit)
    assert downsampled[0] == points[0] and downsampled[-1] == points[-1]
    assert min(y for _, y in downsampled) == min(values)
    assert max(y for _, y in downsampled) == max(values)
    assert [x for x, _ in downsampled] == sorted({x for x, _ in downsampled})


@given(st.lists(FIGURES, min_size=1, max_size=900))
def test_buckets_contain_every_point(values: list[float]) -> None:
    points = [(float(step), value) for step, value in enumerate(values)]
    buckets = fill_buckets(points, 20)
    assert len(buckets) <= max(20, 40)
    assert min(bucket.low for bucket in buckets) == min(values)
    assert max(bucket.high for bucket in buckets) == max(values)
    for bucket in buckets:
        assert bucket.low - 1e-6 <= bucket.mean <= bucket.high + 1e-6


def test_a_single_spike_in_ten_thousand_steps_is_kept() -> None:
    points = [(float(step), 9.0 if step == 7_777 else 0.1) for step in range(10_000)]
    assert max(bucket.high for bucket in fill_buckets(points)) == 9.0


def test_a_short_series_keeps_each_point() -> None:
    points = [(1.0, 0.5), (2.0, 0.4)]
    assert [(bucket.x, bucket.mean) for bucket in fill_buckets(points)] == points
    assert downsample(points) == points


def test_nan_values_are_omitted() -> None:
    assert keep_finite([(1, float("nan")), (2, float("inf")), (3, 0.5)]) == [(3, 0.5)]
