"""The figures of a report: which charts there are, how each is called and told in words."""

from collections.abc import Sequence
from dataclasses import dataclass

from ftops.evaluation.result import Evaluation
from ftops.evaluation.text import format_interval, format_value
from ftops.records import Json
from ftops.reports.charts import SERIES, Bar
from ftops.reports.contents import Contents, RunPart
from ftops.reports.curve_chart import NamedCurve, choose_detail, find_last_step
from ftops.reports.curves import Curve, Point, downsample, fill_buckets
from ftops.reports.format import show

MOST_DRAWN = 4  # runs whose candidates are drawn; of more the runs themselves are compared
_TITLES = {"loss": "Loss by step", "accuracy": "Token accuracy by step"}


@dataclass(frozen=True, slots=True)
class Key:
    """One entry of a legend: what a line or mark stands for; `color` counts from 0."""

    text: str
    kind: str  # training, validation, point, best or preferred
    color: int = 0


@dataclass(frozen=True, slots=True)
class CurveFigure:
    """Curves of one measure over each other, with what there is to say of them."""

    measure: str
    curves: Sequence[NamedCurve]
    caption: str
    legend: Sequence[Key]

    def to_data(self) -> dict[str, Json]:
        """What the page reads values from, at the resolution of what is drawn."""
        series: list[Json] = []
        most = choose_detail(len(self.curves))
        for one in self.curves:
            means = [(bucket.x, bucket.mean) for bucket in fill_buckets(one.curve.training, most)]
            for kind, points in (
                ("training", means),
                ("validation", downsample(one.curve.validation, 2 * most)),
            ):
                if points:
                    name = kind if len(self.curves) == 1 else f"{one.name}, {kind}"
                    series.append({"name": name, "points": _shorten(points)})
        name = _TITLES[self.measure]
        return {"name": name, "last": find_last_step(self.curves), "series": series}


def list_curves(contents: Contents) -> list[CurveFigure]:
    """The figures of loss and accuracy, as far as anything was measured."""
    found = []
    for measure in ("loss", "accuracy"):
        curves = [
            _name_curve(run, curve)
            for run in contents.runs
            for curve in (run.learning.loss, run.learning.accuracy)
            if curve.measure == measure and not curve.empty
        ]
        if curves:
            found.append(
                CurveFigure(measure, curves, _tell(contents, measure, curves), _explain(curves))
            )
    return found


def _name_curve(run: RunPart, curve: Curve) -> NamedCurve:
    learning = run.learning
    return NamedCurve(run.name, curve, learning.epochs, learning.best, learning.preferred)


def list_bars(evaluation: Evaluation) -> list[Bar]:
    """The headline figure of each candidate that has one; the first one stands out."""
    return [
        Bar(show(one.name, 60), figure, strong=index == 0)
        for index, one in enumerate(evaluation.candidates)
        if (figure := one.metrics.get(evaluation.primary_metric)) is not None
    ]


def list_leaderboard_bars(contents: Contents) -> list[Bar]:
    """The headline figure of each run, where all were measured alike."""
    if len(contents.leaderboard) < 2 or len({one.metric for one in contents.leaderboard}) > 1:
        return []
    return [Bar(show(one.run, 60), one.result) for one in contents.leaderboard]


def tell_bars(bars: Sequence[Bar], metric: str) -> str:
    """Figures and their intervals in words."""
    told = []
    for bar in bars:
        interval = format_interval(bar.figure)
        value = format_value(bar.figure.value, bar.figure.unit)
        told.append(f"{bar.name} {value}{f' ({interval})' if interval else ''}")
    return f"{show(metric)}, with 95% intervals: {'; '.join(told)}."


def _tell(contents: Contents, measure: str, curves: Sequence[NamedCurve]) -> str:
    alone = len(curves) == 1
    parts = [_TITLES[measure] + "."]
    for one in curves[:SERIES]:
        said = _tell_curve(one, measure)
        parts.append(said if alone else f"{one.name}: {said}")
    if curves[0].epochs:
        whose = "" if alone else f" of {curves[0].name}"
        parts.append(f"Dotted lines are ends of epochs{whose}.")
    run = contents.runs[0]
    if alone and run.learning.last_step is not None:
        parts.append(_tell_kept(run))
    return " ".join(parts)


def _tell_curve(one: NamedCurve, measure: str) -> str:
    told = []
    for name, points in (("training", one.curve.training), ("validation", one.curve.validation)):
        if points:
            first, last = _say(measure, points[0][1]), _say(measure, points[-1][1])
            alone = f"{name} was measured once, at step {points[0][0]:,.0f}: {first}"
            told.append(f"{name} goes from {first} to {last}" if len(points) > 1 else alone)
    if measure == "loss" and _has_lowest(one) and one.best:
        told.append(
            f"validation is lowest at step {one.best[0]:,.0f}, {_say(measure, one.best[1])}"
        )
    text = "; ".join(told)
    return f"{text[:1].upper()}{text[1:]}."


def _tell_kept(run: RunPart) -> str:
    step, preferred = run.learning.last_step, run.learning.preferred
    if run.facts.run.fine_tuned_model is None:
        return f"The results end at step {step:,}; no model was made."
    better = f" The checkpoint to prefer is that of step {preferred:,}." if preferred else ""
    return f"The model is that of the last step, {step:,}.{better}"


def _explain(curves: Sequence[NamedCurve]) -> list[Key]:
    alone = len(curves) == 1
    keys = []
    for index, one in enumerate(curves):
        color = index % SERIES
        if one.curve.training:
            keys.append(Key("training" if alone else f"{one.name}, training", "training", color))
        if one.curve.validation:
            name = "validation" if alone else f"{one.name}, validation"
            kind = "validation" if len(one.curve.validation) > 1 else "point"
            keys.append(Key(name, kind, 1 if alone else color))
    if curves[0].curve.measure == "loss" and any(_has_lowest(one) for one in curves):
        keys.append(Key("lowest validation loss", "best"))
    if any(one.preferred is not None for one in curves):
        keys.append(Key("checkpoint to prefer", "preferred"))
    return keys


def _has_lowest(one: NamedCurve) -> bool:
    """Whether a lowest point stands out: of one point it would say nothing."""
    return one.best is not None and len(one.curve.validation) > 1


def _say(measure: str, value: float) -> str:
    return f"{value:.3g}" if measure == "loss" else f"{100 * value:.1f}%"


def _shorten(points: Sequence[Point]) -> list[Json]:
    return [[float(f"{x:.5g}"), float(f"{y:.4g}")] for x, y in points]
