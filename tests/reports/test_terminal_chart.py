"""The chart fits its size, has distinct series without colour, and accepts unusual values."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftops.reports.terminal_chart import Series, Ticks, render_curve

FALLING = [(float(step), 3 * math.exp(-step / 50)) for step in range(1, 301)]


def test_training_is_a_braille_line_and_validation_has_marks() -> None:
    valid = [(float(step), 2.0) for step in range(30, 301, 30)]
    chart = render_curve([Series("training", FALLING), Series("validation", valid)])
    heading, *plot = chart.splitlines()
    assert heading.startswith("loss (nats per token)")
    assert heading.endswith("⠒ training   o validation")
    assert sum(line.count("o") for line in plot) == len(valid)
    assert any("\u2801" <= character <= "\u28ff" for line in plot for character in line)


def test_the_axes_have_values_and_names() -> None:
    lines = render_curve([Series("training", FALLING)], height=9).splitlines()
    assert lines[1].startswith("2.9")  # the highest loss
    assert lines[9].startswith("0.00")
    assert lines[-1].split() == ["1", "step", "300"]


def test_a_falling_loss_goes_down_from_left_to_right() -> None:
    plot = render_curve([Series("training", FALLING)], height=10).splitlines()[1:11]
    columns = [line.split("┤")[-1].split("│")[-1] for line in plot]
    assert len(columns[0].rstrip()) < len(columns[-1].rstrip())
    assert columns[-1].startswith(" ")


def test_a_single_point_is_visible() -> None:
    chart = render_curve([Series("training", [(1, 0.5)]), Series("validation", [])])
    assert chart.count("•") == 1
    assert "validation" not in chart  # it has no points


def test_points_without_a_value_are_omitted() -> None:
    points = [(1, 1.0), (2, math.nan), (3, math.inf), (4, 0.5)]
    assert render_curve([Series("a", points)]) == render_curve([Series("a", [(1, 1.0), (4, 0.5)])])


@pytest.mark.parametrize("points", [[], [(1.0, math.nan)]])
def test_without_points_the_chart_is_empty(points: list[tuple[float, float]]) -> None:
    assert render_curve([Series("training", points)]) == ""
    assert render_curve([]) == ""


def test_a_constant_loss_is_in_the_middle() -> None:
    plot = render_curve([Series("a", [(1, 2.0), (9, 2.0)])], height=5).splitlines()[1:6]
    assert [bool(set(line) - set(" 0123456789.┤│")) for line in plot].index(True) == 2


def test_a_steep_start_does_not_flatten_the_rest() -> None:
    points = [(1.0, 50.0), (2.0, 20.0)] + [(float(step), 1 / step) for step in range(3, 200)]
    lines = render_curve([Series("training", points), Series("validation", [(9, 0.5)])])
    heading, top, *_ = lines.splitlines()
    assert heading.startswith("loss (nats per token), up to 50")
    assert top.startswith("0.5")
    plotted = [
        line for line in lines.splitlines()[1:-2] if any("⠁" <= mark <= "⣿" for mark in line)
    ]
    assert top in plotted  # the start is at the upper edge
    assert len(plotted) > 3


def test_positions_on_the_axis_are_marked_and_explained() -> None:
    ticks = [
        Ticks("┴", "an epoch ends", [100, 200]),
        Ticks("▲", "the best", [200]),
        Ticks("x", "none", []),
    ]
    *_, axis, feet = render_curve([Series("training", FALLING)], ticks=ticks).splitlines()
    assert (axis.count("┴"), axis.count("▲")) == (
        1,
        1,
    )  # of two at the same position the last is visible
    assert axis.index("┴") < axis.index("▲")
    assert "step   ┴ an epoch ends   ▲ the best" in feet
    assert "none" not in feet


def test_a_position_outside_the_curve_is_not_marked() -> None:
    *_, axis, _ = render_curve(
        [Series("training", FALLING)], ticks=[Ticks("┴", "", [0, 999])]
    ).splitlines()
    assert "┴" not in axis


def test_compared_curves_have_marks_and_a_legend() -> None:
    series = [
        Series(f"run-20261123-0413-{name}", [(1.0, place), (9.0, place + 0.5)])
        for place, name in enumerate(("abcd", "efgh", "ijkl", "mnop"), 1)
    ]
    lines = render_curve(series, lines=0).splitlines()
    assert max(map(len, lines)) <= 78
    legend = " ".join(lines[1:3])
    for mark, curve in zip("ox+*", series, strict=True):
        assert f"{mark} {curve.label}" in legend
        assert sum(line.count(mark) for line in lines[3:-2]) == 2
    assert not any("\u2801" <= character <= "\u28ff" for line in lines for character in line)


@given(
    st.lists(
        st.tuples(st.integers(0, 10**6), st.floats(-1e9, 1e9)).map(lambda p: (float(p[0]), p[1])),
        min_size=1,
        max_size=50,
    ),
    st.integers(40, 120),
    st.integers(3, 20),
)
def test_any_points_fit_the_width_and_height(
    points: list[tuple[float, float]], width: int, height: int
) -> None:
    series = [Series("t", points), Series("v", points[:3])]
    lines = render_curve(series, width=width, height=height).splitlines()
    assert len(lines) == height + 3
    assert all(len(line) <= width for line in lines)
