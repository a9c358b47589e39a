"""Exports a run that has ended to the tools that the job file lists under `export`.

The transaction that ends the run records each export as an open call. The process that drives the
run sends all open exports, including those of an earlier command that was interrupted. Each tool
identifies the run by its id, so a repeated export creates no duplicate. A failed export does not
change the status of the run.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from ftops import crashpoints
from ftops.errors import ExportFailed, StorageError
from ftops.exports.exporter import Exporter, ExportTarget
from ftops.exports.run_data import collect_run_data
from ftops.ledger.ledger import Ledger
from ftops.ledger.records import Intent, RemoteCall
from ftops.records import Json, Run, Stage
from ftops.run_folder import RunFolder, hold_run
from ftops.runs.commands import format_command, format_follow_command
from ftops.runs.context import RunContext
from ftops.runs.states import ENDED
from ftops.spec.model import JobSpec
from ftops.stage_results import get_object, get_value

CALL = "export"


def create_pending_exports(spec: JobSpec, job_file: str) -> Iterator[Intent]:
    """One intent for each tool in the job file."""
    for target in list_export_targets(spec, job_file):
        yield Intent(Stage.EVALUATE, CALL, _to_request(target))


def list_export_targets(spec: JobSpec, job_file: str) -> Iterator[ExportTarget]:
    """The tools in the job file, with their settings."""
    for item in spec.export:
        for tool, settings in item.items():
            yield ExportTarget(tool, settings, Path(job_file).parent)


def export_pending(run: Run, context: RunContext) -> None:
    """Send every open export; the caller must hold the lock of the run."""
    for call in context.ledger.list_calls(run.id):
        if call.name != CALL or call.state != "intent":
            continue
        tool = get_value(call.request, "tool", str)
        try:
            location = _export(run, context.ledger, context.home, context.exporter, call)
        except ExportFailed as error:
            again = format_command("export", run.id, "--to", tool)
            context.observer.on_note(f"{error.message}; {again} exports it later")
        else:
            context.observer.on_note(f"{tool} has this run: {location}")


def has_pending_exports(run: Run, context: RunContext) -> bool:
    """Whether an export of the run is still open."""
    return context.ledger.find_open_call(run.id, CALL) is not None


def export_now(
    run: Run, ledger: Ledger, home: Path, exporter: Exporter, target: ExportTarget
) -> str:
    """Export an ended run to one tool and return its location there; raises ExportFailed."""
    if run.status not in ENDED:
        raise ExportFailed(
            f"{run.id} is {run.status}: a run is exported when it has ended",
            hint=f"{format_follow_command(run.id)} continues it.",
        )
    with hold_run(run, home) as held:
        if not held:
            raise ExportFailed(f"another process is exporting {run.id}")
        request = _to_request(target)
        call = _find_open_call(run, ledger, request) or ledger.record_intent(
            run.id, Stage.EVALUATE, CALL, request
        )
        return _export(run, ledger, home, exporter, call)


def _find_open_call(run: Run, ledger: Ledger, request: Mapping[str, Json]) -> RemoteCall | None:
    """An open export of an interrupted command to the same tool, which this export closes."""
    for call in ledger.list_calls(run.id):
        if call.name == CALL and call.state == "intent" and call.request == request:
            return call
    return None


def _export(run: Run, ledger: Ledger, home: Path, exporter: Exporter, call: RemoteCall) -> str:
    target = _read_target(call)
    crashpoints.reach("track.before_call")
    try:
        data = collect_run_data(run, ledger.list_stages(run.id), RunFolder.of(home, run.id))
        location = exporter.export(data, target)
    except (ExportFailed, StorageError) as error:
        ledger.record_failed(call, error.message)
        raise ExportFailed(error.message) from error
    crashpoints.reach("track.after_call")
    ledger.record_done(call, location)
    return location


def _to_request(target: ExportTarget) -> dict[str, Json]:
    return {
        "tool": target.tool,
        "settings": dict(target.settings),
        "folder": str(target.folder.absolute()),
    }


def _read_target(call: RemoteCall) -> ExportTarget:
    settings = get_object(call.request, "settings")
    return ExportTarget(
        tool=get_value(call.request, "tool", str),
        settings={name: str(value) for name, value in settings.items()},
        folder=Path(get_value(call.request, "folder", str)),
    )
