"""Long series become short, and nothing that stands out is lost."""

from hypothesis import given
from hypothesis import strategies as st

from ftops.reports.report.thinning import fill_buckets, keep_finite, thin

FIGURES = st.floats(-1e6, 1e6, allow_nan=False)


@given(st.lists(FIGURES, min_size=1, max_size=900), st.integers(2, 60))
def test_a_thinned_series_keeps_its_ends_its_lowest_and_its_highest_value(
    values: list[float], most: int
) -> None:
    points = [(float(step), value) for step, value in enumerate(values)]
    kept = thin(points, max(4, most))
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
    assert thin(points) == points


def test_figures_that_are_no_numbers_are_left_out() -> None:
    assert keep_finite([(1, float("nan")), (2, float("inf")), (3, 0.5)]) == [(3, 0.5)]
