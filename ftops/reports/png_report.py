"""A report as one PNG with curves, candidates and confusion matrices."""

from collections.abc import Sequence
from typing import Any

from ftops.errors import RunError
from ftops.reports import figures
from ftops.reports.chart_rendering import render_png
from ftops.reports.charts import PAPER, Spec, draw_bars, draw_matrix
from ftops.reports.contents import Contents
from ftops.reports.curve_chart import draw_curves
from ftops.reports.format import show

_LONGEST_TITLE = 90
_MOST_KEYS = 12
_MARKS = {"best": "diamond", "preferred": "upright line"}


def render_picture(contents: Contents) -> bytes:
    """The report as PNG; RunError if there is nothing to draw."""
    parts = list_parts(contents)
    if not parts:
        raise RunError(
            f"there is nothing to draw of {contents.title}: it has no results and no evaluation",
            hint="A report as .html or .md says what there is, and why there is no more.",
        )
    frame = {name: parts[0][name] for name in ("$schema", "background", "config")}
    spec: dict[str, Any] = {
        **frame,
        "padding": 20,
        "spacing": 28,
        "title": {
            "text": show(contents.title, _LONGEST_TITLE),
            "subtitle": _list_headlines(contents),
            "anchor": "start",
            "fontSize": 20,
            "subtitleFontSize": 13,
            "subtitleColor": PAPER.faint,
            "color": PAPER.ink,
            "offset": 14,
        },
        "vconcat": [_strip(one) for one in parts],
    }
    return render_png(spec)


def list_parts(contents: Contents) -> list[Spec]:
    """The charts from top to bottom."""
    parts = []
    for figure in figures.list_curves(contents):
        spec = draw_curves(figure.curves, PAPER)
        parts.append({**spec, "title": _title(figure.legend)})
    if leaderboard := figures.list_leaderboard_bars(contents):
        metric = contents.leaderboard[0].metric
        parts.append({**draw_bars(leaderboard, metric, PAPER), "title": _say("Runs")})
    for run in contents.runs if len(contents.runs) <= figures.MAX_DRAWN else ():
        if run.scores is None:
            continue
        evaluation = run.scores.evaluation
        of = f" of {run.name}" if contents.several else ""
        if bars := figures.list_bars(evaluation):
            spec = draw_bars(bars, evaluation.primary_metric, PAPER)
            parts.append({**spec, "title": _say(f"Candidates{of}, with 95% intervals")})
        for name, matrix in run.scores.matrices[:1]:
            spec = draw_matrix(matrix, PAPER)
            title = f"What {name}{of} takes (across) for what is expected (down)"
            parts.append({**spec, "title": _say(title)})
    return parts


def _title(keys: Sequence[figures.LegendEntry]) -> Spec:
    """A title with the legend of colours and markers."""
    names = ("blue", "orange", "green", "pink", "violet", "teal", "brown", "olive", "red", "grey")
    lines = [key for key in keys if key.kind not in _MARKS][:_MOST_KEYS]
    labels = [f"{key.text} ({names[key.color]})" for key in lines]
    labels += [f"{key.text} ({_MARKS[key.kind]})" for key in keys if key.kind in _MARKS]
    return _say(" · ".join(labels))


def _say(text: str) -> Spec:
    return {
        "text": show(text, 150),
        "anchor": "start",
        "fontSize": 13,
        "color": PAPER.ink,
        "fontWeight": "normal",
    }


def _list_headlines(contents: Contents) -> list[str]:
    headlines = [
        (f"{run.name}: " if contents.several else "") + run.scores.headline
        for run in contents.runs
        if run.scores is not None
    ]
    return [show(text, 150) for text in headlines]


def _strip(spec: Spec) -> Spec:
    """A chart to embed in another one, without top-level keys."""
    whole = ("$schema", "background", "config", "padding")
    return {name: value for name, value in spec.items() if name not in whole}
