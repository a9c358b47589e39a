"""The charts of a report with captions and legends."""

from collections.abc import Sequence
from dataclasses import dataclass

from ftops.evaluation.result import Evaluation
from ftops.evaluation.text import format_interval
from ftops.metrics.result import format_value
from ftops.records import Json
from ftops.reports.charts import SERIES, Bar
from ftops.reports.contents import Contents, RunPart
from ftops.reports.curve_chart import NamedCurve, choose_detail, get_last_step
from ftops.reports.curves import Curve, Point, downsample, fill_buckets
from ftops.reports.format import show

MAX_DRAWN = 4  # with more runs, the chart compares runs instead of candidates
_TITLES = {"loss": "Loss by step", "accuracy": "Token accuracy by step"}


@dataclass(frozen=True, slots=True)
class LegendEntry:
    """One entry of a legend; `color` is the index of the colour."""

    text: str
    kind: str  # training, validation, point, best or preferred
    color: int = 0


@dataclass(frozen=True, slots=True)
class CurveChart:
    """The curves of one measure in one chart, with caption and legend."""

    measure: str
    curves: Sequence[NamedCurve]
    caption: str
    legend: Sequence[LegendEntry]

    def to_data(self) -> dict[str, Json]:
        """The values that the page shows at the cursor, in the resolution of the chart."""
        series: list[Json] = []
        most = choose_detail(len(self.curves))
        for curve in self.curves:
            means = [(bucket.x, bucket.mean) for bucket in fill_buckets(curve.curve.training, most)]
            for kind, points in (
                ("training", means),
                ("validation", downsample(curve.curve.validation, 2 * most)),
            ):
                if points:
                    name = kind if len(self.curves) == 1 else f"{curve.name}, {kind}"
                    series.append({"name": name, "points": _shorten(points)})
        name = _TITLES[self.measure]
        return {"name": name, "last": get_last_step(self.curves), "series": series}


def list_curves(contents: Contents) -> list[CurveChart]:
    """The charts of loss and accuracy, if they were measured."""
    charts = []
    for measure in ("loss", "accuracy"):
        curves = [
            _name_curve(run, curve)
            for run in contents.runs
            for curve in (run.learning.loss, run.learning.accuracy)
            if curve.measure == measure and not curve.empty
        ]
        if curves:
            charts.append(
                CurveChart(
                    measure, curves, _write_caption(contents, measure, curves), _list_legend(curves)
                )
            )
    return charts


def _name_curve(run: RunPart, curve: Curve) -> NamedCurve:
    learning = run.learning
    return NamedCurve(run.name, curve, learning.epochs, learning.best, learning.preferred)


def list_bars(evaluation: Evaluation) -> list[Bar]:
    """The primary metric of each candidate that has it; the first is emphasised."""
    return [
        Bar(show(candidate.name, 60), result, strong=index == 0)
        for index, candidate in enumerate(evaluation.candidates)
        if (result := candidate.metrics.get(evaluation.primary_metric)) is not None
    ]


def list_leaderboard_bars(contents: Contents) -> list[Bar]:
    """The primary metric of each run, if all runs have the same."""
    if len(contents.leaderboard) < 2 or len({entry.metric for entry in contents.leaderboard}) > 1:
        return []
    return [Bar(show(entry.run, 60), entry.result) for entry in contents.leaderboard]


def describe_bars(bars: Sequence[Bar], metric: str) -> str:
    """The values and their intervals as text."""
    parts = []
    for bar in bars:
        interval = format_interval(bar.figure)
        value = format_value(bar.figure.value, bar.figure.unit)
        parts.append(f"{bar.name} {value}{f' ({interval})' if interval else ''}")
    return f"{show(metric)}, with 95% intervals: {'; '.join(parts)}."


def _write_caption(contents: Contents, measure: str, curves: Sequence[NamedCurve]) -> str:
    alone = len(curves) == 1
    parts = [_TITLES[measure] + "."]
    for curve in curves[:SERIES]:
        text = _describe_curve(curve, measure)
        parts.append(text if alone else f"{curve.name}: {text}")
    if curves[0].epochs:
        whose = "" if alone else f" of {curves[0].name}"
        parts.append(f"Dotted lines are ends of epochs{whose}.")
    run = contents.runs[0]
    if alone and run.learning.last_step is not None:
        parts.append(_describe_kept(run))
    return " ".join(parts)


def _describe_curve(named: NamedCurve, measure: str) -> str:
    parts = []
    for name, points in (
        ("training", named.curve.training),
        ("validation", named.curve.validation),
    ):
        if points:
            first, last = _format(measure, points[0][1]), _format(measure, points[-1][1])
            alone = f"{name} was measured once, at step {points[0][0]:,.0f}: {first}"
            parts.append(f"{name} goes from {first} to {last}" if len(points) > 1 else alone)
    if measure == "loss" and _has_lowest(named) and named.best:
        parts.append(
            f"validation is lowest at step {named.best[0]:,.0f}, {_format(measure, named.best[1])}"
        )
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}."


def _describe_kept(run: RunPart) -> str:
    step, preferred = run.learning.last_step, run.learning.preferred
    if run.facts.run.fine_tuned_model is None:
        return f"The results end at step {step:,}; no model was made."
    better = f" The checkpoint to prefer is that of step {preferred:,}." if preferred else ""
    return f"The model is that of the last step, {step:,}.{better}"


def _list_legend(curves: Sequence[NamedCurve]) -> list[LegendEntry]:
    alone = len(curves) == 1
    keys = []
    for index, curve in enumerate(curves):
        color = index % SERIES
        if curve.curve.training:
            keys.append(
                LegendEntry("training" if alone else f"{curve.name}, training", "training", color)
            )
        if curve.curve.validation:
            name = "validation" if alone else f"{curve.name}, validation"
            kind = "validation" if len(curve.curve.validation) > 1 else "point"
            keys.append(LegendEntry(name, kind, 1 if alone else color))
    if curves[0].curve.measure == "loss" and any(_has_lowest(curve) for curve in curves):
        keys.append(LegendEntry("lowest validation loss", "best"))
    if any(curve.preferred is not None for curve in curves):
        keys.append(LegendEntry("checkpoint to prefer", "preferred"))
    return keys


def _has_lowest(named: NamedCurve) -> bool:
    """Whether the curve has several points, and thus a lowest one."""
    return named.best is not None and len(named.curve.validation) > 1


def _format(measure: str, value: float) -> str:
    return f"{value:.3g}" if measure == "loss" else f"{100 * value:.1f}%"


def _shorten(points: Sequence[Point]) -> list[Json]:
    return [[float(f"{x:.5g}"), float(f"{y:.4g}")] for x, y in points]
