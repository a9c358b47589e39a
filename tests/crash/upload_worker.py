"""A command that prepares and uploads for a run, in its own process with an optional crash point.

    FOLDER POINT THREADS

The engine has the folder FOLDER/engine. The process dies at the crash point POINT, or after it has
sent N bytes ("bytes:N"); "-" is no point.
"""

import contextlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from ftops import crashpoints
from ftops.clock import SystemClock
from ftops.http.retry import RetryPolicy
from ftops.ledger.ledger import Ledger
from ftops.providers.endpoint import ClientOptions, KeyedEndpoint
from ftops.providers.engine_process import find_engine
from ftops.providers.model_catalog import ModelInfo
from ftops.providers.openai import OpenAIProvider
from ftops.providers.openai_client import OpenAIClient, make_client
from ftops.providers.openai_uploads import UploadLimits
from ftops.providers.registry import get_capabilities
from ftops.records import ProviderSettings, Stage
from ftops.runs.context import RunContext
from ftops.runs.open_run import drive, open_run
from tests.runs.bench import Recorder, write_job

PART = 200_000


class Uploaded(Exception):
    """Ends the run after its upload."""


class KillingRecorder(Recorder):
    """Kills this process after `kill_at_bytes` bytes, and ends the run before it creates a job."""

    def __init__(self, kill_at_bytes: int | None) -> None:
        super().__init__()
        self._kill_at_bytes = kill_at_bytes

    def on_stage_start(self, stage: Stage, attempt: int) -> None:
        if stage is Stage.CREATE:
            raise Uploaded

    def on_progress(self, stage: Stage, done: float, total: float | None, unit: str) -> None:
        if (
            stage is Stage.UPLOAD
            and self._kill_at_bytes is not None
            and done >= self._kill_at_bytes
        ):
            os.kill(os.getpid(), signal.SIGKILL)


def build_provider(engine: Path, threads: int) -> OpenAIProvider:
    """A provider of the engine that uploads parts of 200 kB."""
    address = find_engine(engine)
    assert address is not None
    clock = SystemClock()
    endpoint = KeyedEndpoint(
        ClientOptions(address.base_url, address.token),
        make_client,
        key_variable="-",
        check_trust=lambda: None,
    )
    settings = ProviderSettings("local")
    return OpenAIProvider(
        settings,
        get_capabilities(settings),
        OpenAIClient(endpoint, clock=clock, retries=RetryPolicy()),
        account="local",
        get_model_info=lambda _model: ModelInfo(train_usd=0.0),
        upload_limits=UploadLimits(
            single_bytes=PART, part_bytes=PART, threads=threads, sends_ranges=True
        ),
    )


def main(arguments: Sequence[str]) -> None:
    folder, point, threads = Path(arguments[0]), arguments[1], int(arguments[2])
    clock = SystemClock()
    ledger = Ledger(folder / "home" / "ledger.db", clock)
    provider = build_provider(folder / "engine", threads)
    kill_at_bytes = int(point.removeprefix("bytes:")) if point.startswith("bytes:") else None
    context = RunContext(ledger, provider, clock, folder / "home", KillingRecorder(kill_at_bytes))
    job = write_job(folder, provider="local", training_file="large.jsonl", validation_file=None)
    if point != "-" and kill_at_bytes is None:
        crashpoints.arm(point)
    with contextlib.suppress(Uploaded):
        drive(open_run(job, context), context)
