"""`ftops results`: loss and accuracy by step, as table, curve and CSV."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ftops.cli import wiring
from ftops.cli.command import command
from ftops.cli.options import RunRef
from ftops.cli.output import Output
from ftops.errors import RunError

if TYPE_CHECKING:
    from ftops.records import Json

CsvFile = Annotated[
    Path | None,
    typer.Option("--csv", metavar="FILE", help="Write them as CSV; - for the standard output."),
]
AllRows = Annotated[bool, typer.Option("--all", help="Show every step, not only some.")]


def add_to(app: typer.Typer) -> None:
    command(
        app,
        "results",
        examples=["ftops results news-topics", "ftops results run-20261122-1407-k3f9 --csv r.csv"],
    )(results)


def results(out: Output, ref: RunRef, csv_file: CsvFile = None, every: AllRows = False) -> None:
    """Show loss and accuracy by step: table, curve, CSV."""
    from ftops.cli.closing import render_measured
    from ftops.cli.documents import result_document
    from ftops.files import write_atomic
    from ftops.orchestrator.runs import load_evaluation, load_results
    from ftops.reporting.results import render_csv

    home = wiring.get_home()
    with wiring.open_ledger() as ledger:
        run = ledger.get_run(ref)
    rows = load_results(run, home)
    if run.pruned_at is not None and not rows:
        raise RunError(
            f"the results of {run.id} were removed by `ftops prune` on {run.pruned_at:%Y-%m-%d}",
            hint=f"`ftops show {run.id}` tells what the ledger has kept.",
        )
    documents: list[Json] = [result_document(row) for row in rows]
    if csv_file is None:
        out.finish(
            documents,
            essential=render_csv(rows).splitlines(),
            human=lambda: render_measured(run, rows, load_evaluation(run, home), every=every),
        )
    elif str(csv_file) == "-":
        out.finish_text(documents, render_csv(rows))
    else:
        write_atomic(csv_file, render_csv(rows).encode(), mode=0o644)
        out.finish(
            documents,
            essential=[str(csv_file)],
            human=lambda: [f"{csv_file} is written, with {len(rows)} steps."],
        )
