"""`ftops results`: loss and accuracy by step, as table, curve and CSV, and what they say."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ftops.cli.command import command
from ftops.cli.environment import get_home, open_ledger
from ftops.cli.live_curve import drawing
from ftops.cli.output import Mode, Output
from ftops.cli.run import drive_watched
from ftops.cli.training_views import (
    list_findings,
    render_compared_runs,
    render_measured,
    training_document,
)
from ftops.errors import RunError
from ftops.evaluation.result import Evaluation
from ftops.files import write_atomic
from ftops.ledger.ledger import Ledger
from ftops.records import Run
from ftops.reports.results import render_csv_of_runs
from ftops.reports.training import Training
from ftops.runs.open_run import load_evaluation, load_raw_results
from ftops.runs.training_data import load_training

RunRefs = Annotated[
    list[str],
    typer.Argument(
        metavar="ID...",
        help="Run id (or its first 4 letters or more), job id, model or job name; several are"
        " compared.",
    ),
]
CsvFile = Annotated[
    Path | None,
    typer.Option(
        "--csv",
        metavar="FILE",
        help="Write them as CSV with the same columns whoever trained; - for the standard output.",
    ),
]
RawFile = Annotated[
    Path | None,
    typer.Option(
        "--raw",
        metavar="FILE",
        help="Write the results file as the provider gave it; - for the standard output.",
    ),
]
Follow = Annotated[
    bool, typer.Option("--follow", "-f", help="Go on with the run, and draw its curve as it comes.")
]
AllRows = Annotated[bool, typer.Option("--all", help="Show every step, not only some.")]


@command(
    "results",
    examples=[
        "ftops results news-topics",
        "ftops results run-20261122-1407-k3f9 --csv r.csv",
        "ftops results run-20261122-1407-k3f9 run-20261123-0915-a2b4",
        "ftops results news-topics --follow",
    ],
)
def results(
    out: Output,
    refs: RunRefs,
    csv_file: CsvFile = None,
    raw_file: RawFile = None,
    follow: Follow = False,
    every: AllRows = False,
) -> None:
    """Show loss and accuracy by step, and what they say.

    As curve, findings in words and table; several runs in one curve. A finding names what to do,
    and the checkpoint to prefer where there is one.
    """
    if csv_file is not None and raw_file is not None:
        raise typer.BadParameter("--csv and --raw are two files; ask for one of them")
    if len(refs) > 1 and (follow or raw_file is not None):
        raise typer.BadParameter("--follow and --raw are about one run")
    with open_ledger() as ledger:
        runs = list({run.id: run for run in map(ledger.get_run, refs)}.values())
        if follow:
            runs = [_follow(out, ledger, runs[0])]
        if raw_file is not None:
            _write_raw(out, runs[0], raw_file)
            return
        trainings = [(run, _load(run, ledger)) for run in runs]
    if csv_file is not None:
        _write_csv(out, trainings, csv_file)
    else:
        _show(out, trainings, every=every)


def _follow(out: Output, ledger: Ledger, run: Run) -> Run:
    """Drive the run to its end, its curve being drawn meanwhile."""
    with drawing(out, ledger, run) as observer:
        run, _ = drive_watched(out, ledger, run.provider, lambda _desk: run, observer)
    return run


def _load(run: Run, ledger: Ledger) -> Training:
    training = load_training(run, ledger.list_stages(run.id), get_home())
    if run.pruned_at is not None and not training.rows:
        raise _pruned(run)
    return training


def _pruned(run: Run) -> RunError:
    return RunError(
        f"the results of {run.id} were removed by `ftops prune` on {run.pruned_at:%Y-%m-%d}",
        hint=f"`ftops show {run.id}` tells what the ledger has kept.",
    )


def _write_raw(out: Output, run: Run, path: Path) -> None:
    content = load_raw_results(run, get_home())
    if content is None and run.pruned_at is not None:
        raise _pruned(run)
    if content is None:
        raise RunError(
            f"{run.id} has fetched no results file yet",
            hint=f"`ftops follow {run.id}` goes on with it.",
        )
    if str(path) == "-":
        text = content.decode("utf-8", "replace")
        out.finish_text({"run_id": run.id, "content": text}, text)
        return
    write_atomic(path, content, mode=0o644)
    out.finish(
        {"run_id": run.id, "file": str(path), "bytes": len(content)},
        essential=[str(path)],
        human=lambda: [f"{path} is written, {len(content):,} bytes as the provider gave them."],
    )


def _write_csv(out: Output, trainings: Sequence[tuple[Run, Training]], path: Path) -> None:
    named = len(trainings) > 1
    text = render_csv_of_runs(
        [(run.id if named else "", training.rows) for run, training in trainings]
    )
    documents = [training_document(run, training, ()) for run, training in trainings]
    document = documents if named else documents[0]
    if str(path) == "-":
        out.finish_text(list(documents) if named else documents[0], text)
        return
    write_atomic(path, text.encode(), mode=0o644)
    steps = sum(len(training.rows) for _, training in trainings)
    out.finish(
        list(document) if isinstance(document, list) else document,
        essential=[str(path)],
        human=lambda: [f"{path} is written, with {steps} steps."],
    )


def _show(out: Output, trainings: Sequence[tuple[Run, Training]], *, every: bool) -> None:
    judged = [(run, training, _find_evaluation(run)) for run, training in trainings]
    named = len(judged) > 1
    documents = [
        training_document(run, training, list_findings(training, evaluation))
        for run, training, evaluation in judged
        if out.mode is Mode.JSON
    ]
    table = [(run.id if named else "", training.rows) for run, training in trainings]
    out.finish(
        list(documents) if named or not documents else documents[0],
        essential=render_csv_of_runs(table).splitlines() if out.mode is Mode.QUIET else (),
        human=lambda: (
            render_compared_runs(judged) if named else render_measured(*judged[0], every=every)
        ),
    )


def _find_evaluation(run: Run) -> Evaluation | None:
    return load_evaluation(run, get_home())
