"""`ftops export`: runs that have ended, told to MLflow, TensorBoard, W&B or as JSON."""

from pathlib import Path
from typing import Annotated

import typer

from ftops.cli.command import command
from ftops.cli.environment import get_home, open_ledger
from ftops.cli.factory import create_exporter
from ftops.cli.output import Mode, Output
from ftops.errors import ExportFailed
from ftops.exports.exporter import ExportTarget
from ftops.records import Json, Run
from ftops.runs.export import export_now, list_export_targets

# What stands behind `=` in `--to TOOL=…`.
_SETTINGS = {"mlflow": "tracking_uri", "tensorboard": "folder", "wandb": "project", "json": "file"}

Refs = Annotated[
    list[str], typer.Argument(metavar="RUN...", help="Run id, job id, model or job name.")
]
Tools = Annotated[
    list[str] | None,
    typer.Option(
        "--to",
        metavar="TOOL[=WHERE]",
        help="mlflow[=URI], tensorboard[=FOLDER], wandb[=PROJECT] or json[=FILE]; may be given"
        " again. When left out: what the job file names under export.",
    ),
]


@command(
    "export",
    examples=[
        "ftops export news-topics --to mlflow",
        "ftops export run-20261122-1407-k3f9 --to json=run.json --to tensorboard=runs",
    ],
)
def export(out: Output, refs: Refs, tools: Tools = None) -> None:
    """Tell MLflow, TensorBoard, W&B or JSON of ended runs.

    Parameters, curves, figures, files and lineage go there; told again, a run is brought up to
    date and not there twice. Nothing is sent to W&B unless WANDB_MODE is online.
    """
    chosen = [_read_tool(text) for text in tools or ()]
    exporter = create_exporter()
    documents: list[Json] = []
    failures: list[ExportFailed] = []
    with open_ledger() as ledger:
        for run in [ledger.get_run(ref) for ref in refs]:
            for target in _find_targets(run, chosen):
                try:
                    place = export_now(run, ledger, get_home(), exporter, target)
                except ExportFailed as error:
                    failures.append(error)
                else:
                    documents.append({"run_id": run.id, "tool": target.tool, "place": place})
                    if out.mode is Mode.HUMAN:
                        out.show(f"{run.id}  {target.tool}: {place}")
    if failures:
        out.about = {"tracked": documents}
        raise ExportFailed("\n".join(one.message for one in failures), hint=failures[0].hint)
    out.finish(documents, essential=_list_places(documents), human=list)


def _list_places(documents: list[Json]) -> list[str]:
    return [str(one["place"]) for one in documents if isinstance(one, dict)]


def _read_tool(text: str) -> tuple[str, dict[str, str]]:
    tool, _, where = text.partition("=")
    if tool not in _SETTINGS:
        raise typer.BadParameter(f"--to takes {', '.join(_SETTINGS)}, not {tool!r}")
    return tool, {_SETTINGS[tool]: where} if where else {}


def _find_targets(run: Run, chosen: list[tuple[str, dict[str, str]]]) -> list[ExportTarget]:
    """Where this run goes: as the options say, with the job file's settings for the tools alone."""
    named = list(list_export_targets(run))
    if not chosen and not named:
        raise ExportFailed(
            f"the job file of {run.id} names no tool under export",
            hint="Name one: --to mlflow, tensorboard, wandb or json.",
        )
    if not chosen:
        return named
    targets: list[ExportTarget] = []
    for tool, settings in chosen:
        known = [one for one in named if one.tool == tool]
        targets += known if known and not settings else [ExportTarget(tool, settings, Path.cwd())]
    return targets
