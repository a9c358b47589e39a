"""Curves, epochs and the best step come out of the results as they are."""

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
from tests.reports.sketches import make_contents, make_facts, make_run

CSV = b"step,epoch,train_loss,valid_loss\n" + b"".join(
    b"%d,%d,%.4f,%s\n"
    % (step, (step - 1) // 10 + 1, 4 / step, b"%.3f" % abs(step - 20) if step % 5 == 0 else b"")
    for step in range(1, 31)
)


def read(content: bytes, n_epochs: int | None = None) -> TrainingCurves:
    training = create_training(parse_results(content), TrainingFacts(n_epochs=n_epochs))
    return read_training_curves(RunFacts(make_run(), [], training=training))


def test_epochs_end_where_the_results_begin_the_next_one() -> None:
    assert list(read(CSV).epochs) == [10, 20]


def test_epochs_are_spread_evenly_where_only_their_number_is_known() -> None:
    plain = b"step,train_loss\n" + b"".join(b"%d,1\n" % step for step in range(1, 31))
    assert list(read(plain, n_epochs=3).epochs) == [10, 20]


def test_figures_of_all_validation_rows_stand_before_those_of_a_few() -> None:
    both = b"step,train_loss,valid_loss,full_valid_loss\n1,2,9,1.5\n2,1,9,\n3,1,9,1.2\n"
    assert read(both).loss.validation == [(1.0, 1.5), (3.0, 1.2)]


def test_figures_of_a_few_validation_rows_make_the_curve_where_all_are_measured_once() -> None:
    once = b"step,train_loss,valid_loss,full_valid_loss\n1,2,9,\n2,1,8,1.5\n"
    assert read(once).loss.validation == [(1.0, 9.0), (2.0, 8.0)]


def test_the_step_with_the_lowest_validation_loss_is_found() -> None:
    training = read(CSV)
    assert training.best is not None
    assert list(training.best) == [20, 0]
    assert training.last_step == 30


def test_many_epochs_are_thinned_out() -> None:
    plain = b"step,train_loss\n" + b"".join(b"%d,1\n" % step for step in range(1, 401))
    assert 10 < len(read(plain, n_epochs=200).epochs) <= 24


def test_the_checkpoint_that_a_finding_prefers_is_marked_and_named() -> None:
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


def test_a_loss_that_falls_a_hundredfold_is_drawn_on_a_logarithmic_axis() -> None:
    def scale(content: bytes) -> object:
        spec = draw_curves([NamedCurve("x", read(content).loss)], PAPER)
        return spec["layer"][0]["encoding"]["y"]["scale"].get("type")

    steep = b"step,train_loss\n1,7\n2,0.5\n3,0.004\n"
    flat = b"step,train_loss\n1,2\n2,1\n3,0.5\n"
    assert scale(steep) == "log"
    assert scale(flat) is None


def test_a_validation_that_was_measured_once_is_a_point_and_no_curve() -> None:
    facts = make_facts(results=lambda: [ResultRow(1, 2.0), ResultRow(2, 1.0, valid_loss=1.5)])
    loss = list_curves(make_contents(facts))[0]
    assert "validation was measured once, at step 2: 1.5." in loss.caption
    assert [key.kind for key in loss.legend] == ["training", "point"]


FIGURES = st.floats(-1e6, 1e6, allow_nan=False)


@given(st.lists(FIGURES, min_size=1, max_size=900), st.integers(2, 60))
def test_a_thinned_series_keeps_its_ends_its_lowest_and_its_highest_value(
    values: list[float], most: int
) -> None:
    points = [(float(step), value) for step, value in enumerate(values)]
    kept = downsample(points, max(4, most))
    assert len(kept) <= max(4, most)
    assert kept[0] == points[0] and kept[-1] == points[-1]
    assert min(y for _, y in kept) == min(values)
    assert max(y for _, y in kept) == max(values)
    assert [x for x, _ in kept] == sorted({x for x, _ in kept})


@given(st.lists(FIGURES, min_size=1, max_size=900))
def test_buckets_hold_every_point_between_their_lowest_and_highest(values: list[float]) -> None:
    points = [(float(step), value) for step, value in enumerate(values)]
    buckets = fill_buckets(points, 20)
    assert len(buckets) <= max(20, 40)
    assert min(one.low for one in buckets) == min(values)
    assert max(one.high for one in buckets) == max(values)
    for one in buckets:
        assert one.low - 1e-6 <= one.mean <= one.high + 1e-6


def test_a_single_spike_among_ten_thousand_steps_is_still_there() -> None:
    points = [(float(step), 9.0 if step == 7_777 else 0.1) for step in range(10_000)]
    assert max(one.high for one in fill_buckets(points)) == 9.0


def test_a_short_series_is_drawn_point_by_point() -> None:
    points = [(1.0, 0.5), (2.0, 0.4)]
    assert [(one.x, one.mean) for one in fill_buckets(points)] == points
    assert downsample(points) == points


def test_figures_that_are_no_numbers_are_left_out() -> None:
    assert keep_finite([(1, float("nan")), (2, float("inf")), (3, 0.5)]) == [(3, 0.5)]
