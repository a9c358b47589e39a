"""`ftops export`: exports finished runs to MLflow, TensorBoard, W&B or JSON."""

from pathlib import Path
from typing import Annotated

import typer

from ftops.cli.command import command
from ftops.cli.environment import get_home, open_ledger
from ftops.cli.output import Mode, Output
from ftops.cli.run_context import create_exporter
from ftops.errors import ExportFailed
from ftops.exports.exporter import ExportTarget
from ftops.records import Json, Run
from ftops.runs.export import export_now, list_export_targets
from ftops.spec.model import JobSpec

# The setting that WHERE sets in `--to TOOL=WHERE`.
_SETTINGS = {"mlflow": "tracking_uri", "tensorboard": "folder", "wandb": "project", "json": "file"}

Refs = Annotated[
    list[str], typer.Argument(metavar="RUN...", help="Run id, job id, model or job name.")
]
Tools = Annotated[
    list[str] | None,
    typer.Option(
        "--to",
        metavar="TOOL[=WHERE]",
        help="mlflow[=URI], tensorboard[=FOLDER], wandb[=PROJECT] or json[=FILE];"
        " repeatable. Default: the tools that the job file names under export.",
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
    """Export finished runs to MLflow, TensorBoard, W&B or JSON.

    Exports parameters, curves, metrics, files and lineage. Another export of a run updates the
    first one. Nothing is sent to W&B unless WANDB_MODE is online.
    """
    chosen = [_parse_tool(text) for text in tools or ()]
    exporter = create_exporter()
    documents: list[Json] = []
    locations: list[str] = []
    failures: list[ExportFailed] = []
    with open_ledger() as ledger:
        for run in [ledger.get_run(ref) for ref in refs]:
            for target in _choose_targets(run, chosen):
                try:
                    location = export_now(run, ledger, get_home(), exporter, target)
                except ExportFailed as error:
                    failures.append(error)
                else:
                    locations.append(location)
                    documents.append({"run_id": run.id, "tool": target.tool, "location": location})
                    if out.mode is Mode.HUMAN:
                        out.show(f"{run.id}  {target.tool}: {location}")
    if failures:
        out.about = {"exported": documents}
        raise ExportFailed(
            "\n".join(failure.message for failure in failures), hint=failures[0].hint
        )
    out.finish(documents, essential=locations, human=list)


def _parse_tool(text: str) -> tuple[str, dict[str, str]]:
    tool, _, where = text.partition("=")
    if tool not in _SETTINGS:
        raise typer.BadParameter(f"--to takes {', '.join(_SETTINGS)}, not {tool!r}")
    return tool, {_SETTINGS[tool]: where} if where else {}


def _choose_targets(run: Run, chosen: list[tuple[str, dict[str, str]]]) -> list[ExportTarget]:
    """The targets of the options, with settings of the job file if an option has none."""
    own = list(list_export_targets(JobSpec.from_json(run.spec), run.job_file))
    if not chosen and not own:
        raise ExportFailed(
            f"the job file of {run.id} has no `export` section",
            hint="Name one: --to mlflow, tensorboard, wandb or json.",
        )
    if not chosen:
        return own
    targets: list[ExportTarget] = []
    for tool, settings in chosen:
        same = [target for target in own if target.tool == tool]
        targets += same if same and not settings else [ExportTarget(tool, settings, Path.cwd())]
    return targets
