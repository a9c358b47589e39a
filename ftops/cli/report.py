"""`ftops report`: runs and their results as one file."""

from pathlib import Path
from typing import Annotated

import typer

from ftops.cli.command import command
from ftops.cli.environment import get_home, open_ledger
from ftops.cli.format import render_bytes
from ftops.cli.output import Output, render_json
from ftops.clock import SystemClock
from ftops.errors import UsageError
from ftops.files import write_atomic
from ftops.records import Json
from ftops.reports.chart_rendering import check_chart_libraries
from ftops.reports.contents import Contents, build
from ftops.reports.html_report import render_page
from ftops.reports.json_report import create_document
from ftops.reports.markdown_report import render_markdown
from ftops.reports.png_report import render_picture
from ftops.runs.report_data import ReportLoader

RunRefs = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN…", help="Run ids (or their first letters), job ids, models or job names."
    ),
]
Targets = Annotated[
    list[Path] | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="report.html, .md, .json or .png; repeatable. [default: report.html]",
    ),
]
_DEFAULT = Path("report.html")
_WITH_CHARTS = (".html", ".htm", ".png")
_SUFFIXES = (*_WITH_CHARTS, ".md", ".json")


@command(
    "report",
    examples=[
        "ftops report news-topics",
        "ftops report run-20261122-1407-k3f9 -o report.html -o report.md",
        "ftops report run-20261122-1407-k3f9 run-20261123-0914-wq2d -o compared.html",
    ],
)
def report(out: Output, refs: RunRefs, targets: Targets = None) -> None:
    """Write a report of one run, or compare several, to a file.

    HTML is one self-contained page: curves, candidates with confidence intervals, confusion
    matrices, the worst rows, data and lineage. It contains rows of your data. Markdown, JSON and
    PNG contain the same as far as possible. HTML and PNG need `pip install 'ftops[report]'`.
    """
    paths = list(dict.fromkeys(targets or [_DEFAULT]))
    _check_targets(paths)
    with open_ledger() as ledger:
        runs = {run.id: run for run in (ledger.get_run(ref) for ref in refs)}
        loader = ReportLoader(ledger, get_home(), SystemClock())
        facts = [loader.gather(run) for run in runs.values()]
    contents = build(facts, SystemClock().now())
    # all are rendered before the first is written: an error leaves no partial result
    rendered = {target: _render(target.suffix.lower(), contents) for target in paths}
    for target, data in rendered.items():
        write_atomic(target, data, mode=0o644)
    files: list[Json] = [
        {"file": str(target), "bytes": len(data)} for target, data in rendered.items()
    ]
    out.finish(
        {"run_ids": list(runs), "files": files},
        essential=map(str, paths),
        human=lambda: [
            f"Wrote {target} ({render_bytes(len(data))})." for target, data in rendered.items()
        ],
    )


def _check_targets(targets: list[Path]) -> None:
    """UsageError for an unknown file type, before anything is read."""
    for target in targets:
        if target.suffix.lower() not in _SUFFIXES:
            raise UsageError(
                f"{target}: unknown file type; a report is one of {', '.join(_SUFFIXES)}",
                hint="Name a file with one of these suffixes, such as -o report.html.",
            )
    if any(target.suffix.lower() in _WITH_CHARTS for target in targets):
        check_chart_libraries()


def _render(suffix: str, contents: Contents) -> bytes:
    if suffix == ".md":
        return render_markdown(contents).encode("utf-8", "backslashreplace")
    if suffix == ".json":
        return f"{render_json(create_document(contents))}\n".encode()
    if suffix == ".png":
        return render_picture(contents)
    return render_page(contents).encode("utf-8", "backslashreplace")
