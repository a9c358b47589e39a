"""A history with every change of the ledger, and a function that reads a ledger file."""

import contextlib
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias

from ftops.ledger.file import Change
from ftops.ledger.ledger import Ledger
from ftops.ledger.records import DeploymentRecord, RemoteCall, Upload
from ftops.records import MultipartUpload, Run, RunStatus, Stage, StageStatus
from tests.ledger.rows import START, make_event, make_model, make_run

Content: TypeAlias = dict[str, list[tuple[Any, ...]]]
Step: TypeAlias = tuple[Change, Callable[[Ledger], object]]

_RUN = make_run()
_ID = _RUN.id
_UPLOAD = Upload("openai:acme", "file-1", "a" * 64, "train.jsonl", 42, _ID, START)
_MULTIPART = MultipartUpload("upload-1", 40, START + timedelta(hours=1))
_LATER_UPLOAD = Upload("openai:acme", "file-2", "b" * 64, "train.jsonl", 43, _ID, START)

_DEPLOYMENT = DeploymentRecord(
    account="openai:acme",
    id="deployment-1",
    run_id=_ID,
    provider=_RUN.provider,
    name="ftops-1",
    model="ft:ada:acme::1",
    call_name="ftops-1",
    status="starting",
    created_at=START,
    hourly_usd=2.5,
)


def read_all(path: Path) -> Content:
    """Every row of every table; the file must pass the integrity check."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")  # a copy need not reach the disk
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        tables = [name for (name,) in connection.execute(_TABLES)]
        return {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in tables}


def _run(ledger: Ledger) -> Run:
    return ledger.get_run(_ID)


def _call(ledger: Ledger, name: str) -> RemoteCall:
    call = ledger.find_open_call(_ID, name)
    assert call is not None
    return call


def _intend(stage: Stage, name: str) -> Step:
    return ("record_intent", lambda ledger: ledger.record_intent(_ID, stage, name, {"by": name}))


def _begin(stage: Stage, status: StageStatus) -> Step:
    return (
        "move_stage",
        lambda ledger: ledger.move_stage(_ID, ledger.get_stage(_ID, stage), status),
    )


_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
STEPS: tuple[Step, ...] = (
    ("add_run", lambda ledger: ledger.add_run(_RUN, if_absent=True)),
    ("move_run", lambda ledger: ledger.move_run(_run(ledger), RunStatus.RUNNING)),
    _begin(Stage.UPLOAD, StageStatus.RUNNING),
    _intend(Stage.UPLOAD, "upload_file"),
    ("begin_parts", lambda ledger: ledger.begin_parts(_call(ledger, "upload_file"), _MULTIPART)),
    ("add_part", lambda ledger: ledger.add_part(_call(ledger, "upload_file"), 1, "part-b")),
    ("mark_completing", lambda ledger: ledger.mark_completing(_call(ledger, "upload_file"))),
    ("record_upload", lambda ledger: ledger.record_upload(_call(ledger, "upload_file"), _UPLOAD)),
    ("add_upload", lambda ledger: ledger.add_upload(_LATER_UPLOAD)),
    ("forget_upload", lambda ledger: ledger.forget_upload("file-1")),
    _begin(Stage.UPLOAD, StageStatus.SUCCEEDED),
    _intend(Stage.CREATE, "create_job"),
    ("record_job", lambda ledger: ledger.record_job(_call(ledger, "create_job"), "ftjob-1")),
    ("record_job_end", lambda ledger: ledger.record_job_end(_ID, "ftjob-1", "cancelled")),
    (
        "add_events",
        lambda ledger: ledger.add_events(_ID, "ftjob-1", [make_event(n) for n in range(40)]),
    ),
    (
        "mark_shown",
        lambda ledger: ledger.mark_shown(
            stored.number for stored in ledger.list_stored_events(_ID, unshown=True)
        ),
    ),
    (
        "update_spec",
        lambda ledger: ledger.update_spec(_ID, {"limits": {"max_wait": "1h"}}, job_file="/x.yaml"),
    ),
    ("add_model", lambda ledger: ledger.add_model(make_model("ft:ada:acme::1", _RUN))),
    _intend(Stage.DEPLOY, "create_deployment"),
    (
        "record_deployment",
        lambda ledger: ledger.record_deployment(_call(ledger, "create_deployment"), _DEPLOYMENT),
    ),
    (
        "update_deployment",
        lambda ledger: ledger.update_deployment(replace(_DEPLOYMENT, status="ready")),
    ),
    ("mark_model_deleted", lambda ledger: ledger.mark_model_deleted("ft:ada:acme::1")),
    ("ask_cancel", lambda ledger: ledger.ask_cancel(_ID)),
    _intend(Stage.FOLLOW, "cancel_job"),
    ("record_failed", lambda ledger: ledger.record_failed(_call(ledger, "cancel_job"), "too late")),
    _intend(Stage.FOLLOW, "cancel_job"),
    ("record_done", lambda ledger: ledger.record_done(_call(ledger, "cancel_job"), "ftjob-1")),
    _intend(Stage.FOLLOW, "cancel_job"),
    ("close_calls", lambda ledger: ledger.close_calls(_ID, ["cancel_job"], remote_id="ftjob-1")),
    ("move_run", lambda ledger: ledger.move_run(_run(ledger), RunStatus.CANCELLED, error="asked")),
    (
        "begin_deletion",
        lambda ledger: ledger.begin_file_deletion(_ID, _LATER_UPLOAD, since=START),
    ),
    ("mark_pruned", lambda ledger: ledger.mark_pruned(_run(ledger))),
    ("reopen_run", lambda ledger: ledger.reopen_run(_run(ledger), list(Stage)[1:])),
)
