"""A report as one self-contained HTML file, without requests, fonts or libraries.

The template escapes all texts except three: sanitized charts, the style sheet and script next to
this module, and the data of the curves, in which `escape_data` escapes everything that could end
the element. The page's content security policy allows only this script and style sheet, by hash.
"""

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from ftops import __version__
from ftops.evaluation.text import format_interval
from ftops.metrics.result import Unit, format_value
from ftops.reports import figures
from ftops.reports.chart_rendering import render_svg, sanitize_svg
from ftops.reports.charts import NARROW, PAGE, WIDE, Bar, Spec, draw_bars
from ftops.reports.contents import MAX_CLASSES, Contents, RunPart
from ftops.reports.curve_chart import draw_curves
from ftops.reports.curves import TrainingCurves
from ftops.reports.format import format_moment, format_rows, show
from ftops.reports.run_facts import UNTRAINED_BASE_NOTE
from ftops.text import show_hidden

_FOLDER = Path(__file__).parent
_TAGS = {"good": "✓", "bad": "✗", "warn": "!", "open": "·"}
# characters that could end the script element
_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


@dataclass(frozen=True, slots=True)
class Drawing:
    """A chart in both widths; `curves` names the data of an interactive chart."""

    wide: str
    narrow: str
    caption: str
    legend: Any = ()
    curves: str = ""


@dataclass(frozen=True, slots=True)
class Tile:
    """A key figure."""

    label: str
    value: str
    note: str = ""


def render_page(contents: Contents) -> str:
    """The page as HTML."""
    style, script = _read("report.css"), _read("report.js")
    listed = figures.list_curves(contents)
    data = {f"c{number}": one.to_data() for number, one in enumerate(listed)}
    page: str = _open_template().render(
        report=contents,
        made_at=format_moment(contents.made_at),
        policy=make_policy(style, script),
        style=style,
        script=script,
        data=escape_data(data),
        sections=_list_sections(contents),
        tiles=[] if contents.several else list_tiles(contents.runs[0]),
        facts=_list_facts(contents),
        curves=[_draw_curves(one, f"c{number}") for number, one in enumerate(listed)],
        compared=_draw_bars(figures.list_leaderboard_bars(contents), contents, "runs"),
        bars=_draw_runs(contents),
        steps=[
            list_steps(run.name, run.learning) for run in contents.runs if run.facts.training.rows
        ],
        untrained_note=UNTRAINED_BASE_NOTE,
        version=__version__,
        most_classes=MAX_CLASSES,
        tags=_TAGS,
        show=show,
        rows=format_rows,
        share=lambda value: format_value(value, Unit.SHARE),
    )
    return page


def escape_data(data: Any) -> str:
    """The data as JSON that cannot end its HTML element."""
    return show_hidden(orjson.dumps(data).decode()).translate(_ESCAPES)


def _show(value: object) -> object:
    """A template value with visible hidden characters; markup stays unchanged."""
    return show_hidden(value) if type(value) is str else value


def make_policy(style: str, script: str) -> str:
    """The content security policy, which allows this style sheet and script, and no requests."""
    return (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)};"
        " base-uri 'none'; form-action 'none'"
    )


def list_tiles(run: RunPart) -> list[Tile]:
    """The key figures of a run."""
    tiles = []
    if run.scores is not None and run.scores.evaluation.candidates:
        evaluation = run.scores.evaluation
        first = evaluation.candidates[0]
        figure = first.metrics.get(evaluation.primary_metric)
        if figure is not None:
            value = format_value(figure.value, figure.unit)
            note = format_interval(figure)
            tiles.append(
                Tile(f"{show(evaluation.primary_metric)}, {show(first.name)}", value, note)
            )
    known = dict(run.pairs)
    names = (
        ("tokens trained", "tokens trained"),
        ("cost", "cost"),
        ("cost, as estimated", "cost, as estimated"),
        ("took", "time in all stages"),
    )
    tiles += [Tile(label, known[name]) for name, label in names if known.get(name)]
    if run.learning.best is not None:
        step, loss = run.learning.best
        tiles.append(Tile("lowest validation loss", f"{loss:.3g}", f"at step {step:,.0f}"))
    return tiles


def list_steps(name: str, learning: TrainingCurves) -> list[str]:
    """A row of the table of trainings."""
    values = learning.to_json()
    best = f"{learning.best[1]:.3g} at step {learning.best[0]:,.0f}" if learning.best else ""
    losses = [_format_figure(values[key], "{:.3g}") for key in ("train_loss", "valid_loss")]
    shares = [
        _format_figure(values[key], "{:.1%}")
        for key in ("train_accuracy", "valid_mean_token_accuracy")
    ]
    return [name, _format_figure(values["steps"], "{:,}"), *losses, *shares, best]


@cache
def _open_template() -> Any:
    import jinja2

    loader = jinja2.FileSystemLoader(_FOLDER)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, finalize=_show
    )
    return environment.get_template("report.html")


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _list_sections(contents: Contents) -> list[tuple[str, str]]:
    scored = [
        (f"e{number}", f"Evaluation: {run.name}" if contents.several else "Evaluation")
        for number, run in enumerate((run for run in contents.runs if run.scores), start=1)
    ]
    return [
        ("answer", "In short"),
        ("run", "What was run"),
        ("training", "Training"),
        *scored,
        ("data", "Data"),
        ("lineage", "Lineage"),
    ]


def _list_facts(contents: Contents) -> list[tuple[str, list[str]]]:
    """A row for each fact, with the value of each run; empty rows are dropped."""
    labels = [label for label, _ in contents.runs[0].pairs]
    known = [dict(run.pairs) for run in contents.runs]
    lines = [(label, [one[label] for one in known]) for label in labels]
    return [(label, values) for label, values in lines if any(values)]


def _draw_curves(figure: figures.CurveChart, name: str) -> Drawing:
    wide, narrow = (draw_curves(figure.curves, PAGE, width) for width in (WIDE, NARROW))
    return _draw(wide, narrow, figure.caption, name, legend=figure.legend, curves=name)


def _draw_runs(contents: Contents) -> dict[str, Drawing | None]:
    """The chart of candidates of each run; None if there are many runs, shown in tables."""
    drawn = len(contents.runs) <= figures.MAX_DRAWN
    return {
        run.name: _draw_run(run, number) if drawn else None
        for number, run in enumerate(contents.runs)
    }


def _draw_run(run: RunPart, number: int) -> Drawing | None:
    if run.scores is None:
        return None
    evaluation = run.scores.evaluation
    return _draw_figures(figures.list_bars(evaluation), evaluation.primary_metric, f"b{number}")


def _draw_bars(bars: list[Bar], contents: Contents, name: str) -> Drawing | None:
    return _draw_figures(bars, contents.leaderboard[0].metric, name) if bars else None


def _draw_figures(bars: list[Bar], metric: str, name: str) -> Drawing | None:
    if not bars:
        return None
    wide, narrow = (draw_bars(bars, metric, PAGE, width) for width in (WIDE, NARROW))
    return _draw(wide, narrow, figures.describe_bars(bars, metric), name)


def _draw(
    wide: Spec, narrow: Spec, caption: str, name: str, *, legend: Any = (), curves: str = ""
) -> Drawing:
    drawn = [
        sanitize_svg(render_svg(spec), name=caption, prefix=f"{name}{kind[0]}", kind=kind)
        for spec, kind in ((wide, "wide"), (narrow, "narrow"))
    ]
    return Drawing(drawn[0], drawn[1], caption, legend, curves)


def _format_figure(value: Any, form: str) -> str:
    return "" if value is None else form.format(value)
