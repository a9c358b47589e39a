"""Engines for tests: in process, with the real SDK in front and real worker processes behind."""

import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import openai
from openai.types.fine_tuning import FineTuningJob
from starlette.testclient import TestClient

from ftops.clock import Clock, SystemClock
from ftops.engine.api.engine import EngineServices
from ftops.engine.generation import ModelPool
from ftops.engine.keys import create_key
from ftops.engine.lora.serving import ServingPool
from ftops.engine.server import build_engine, create_app, prepare_folder
from ftops.engine.settings import EngineSettings
from ftops.engine.store import Store
from tests.engine import table_worker

BASE_URL = "http://127.0.0.1:8000"
TABLE_WORKER = (sys.executable, str(Path(table_worker.__file__)))
ENDED = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True)
class Running:
    """An engine, plain HTTP to it, and the SDK in front of it."""

    engine: EngineServices
    http: TestClient
    sdk: openai.OpenAI

    @property
    def store(self) -> Store:
        return self.engine.store

    def http_of(self, name: str) -> TestClient:
        """Plain HTTP with a fresh key of that name."""
        headers = {"authorization": f"Bearer {create_key(name, self.store)}"}
        return TestClient(
            self.http.app, base_url=BASE_URL, headers=headers, raise_server_exceptions=False
        )

    def upload(self, rows: Sequence[Mapping[str, object]], name: str = "rows.jsonl") -> str:
        return self.sdk.files.create(file=(name, write_rows(rows)), purpose="fine-tune").id

    def wait_for_status(self, job_id: str, *statuses: str) -> FineTuningJob:
        wait_for(lambda: self.sdk.fine_tuning.jobs.retrieve(job_id).status in statuses)
        return self.sdk.fine_tuning.jobs.retrieve(job_id)

    def wait_for_end(self, job_id: str) -> FineTuningJob:
        return self.wait_for_status(job_id, *ENDED)

    def messages(self, job_id: str) -> list[str]:
        """All events of the job, oldest first."""
        events = list(self.sdk.fine_tuning.jobs.list_events(job_id, limit=100))
        return [event.message for event in reversed(events)]


@contextlib.contextmanager
def run_engine(
    settings: EngineSettings, *, schedules: bool = True, clock: Clock | None = None
) -> Iterator[Running]:
    """An engine with the table trainer, or with `tiny` when the settings name its worker."""
    clock = clock or SystemClock()
    prepare_folder(settings.paths)
    store = Store(settings.paths.database, clock)
    engine = build_engine(settings, store, clock)
    if settings.worker_command[: len(TABLE_WORKER)] == TABLE_WORKER:
        model_pool = ModelPool(
            settings.paths,
            table_worker.get_trainer,
            settings.max_loaded_models,
            ServingPool(clock, settings.serving_command),
        )
        engine = replace(engine, model_pool=model_pool, list_bases=table_worker.list_bases)
    http = TestClient(
        create_app(engine),
        base_url=BASE_URL,
        headers={"authorization": f"Bearer {engine.token}"},
        raise_server_exceptions=False,
    )
    sdk = openai.OpenAI(
        http_client=http, base_url=f"{BASE_URL}/v1", api_key=engine.token, max_retries=0
    )
    if schedules:
        engine.scheduler.start()
    try:
        yield Running(engine, http, sdk)
    finally:
        engine.file_validator.stop()
        engine.scheduler.stop()
        engine.model_pool.stop()
        sdk.close()
        store.close()


def table_settings(folder: Path, *options: str) -> EngineSettings:
    return EngineSettings(folder, worker_command=(*TABLE_WORKER, *options))


def wait_for(condition: Callable[[], bool], deadline_s: float = 30.0) -> None:
    """Return as soon as `condition()` holds; fails after the deadline."""
    pause = threading.Event()
    end_s = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end_s, "waited too long"
        pause.wait(0.01)


def write_rows(rows: Sequence[Mapping[str, object]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def animals(n: int = 3) -> list[dict[str, object]]:
    """Completion rows: one question and answer each."""
    names = ["cat", "dog", "owl", "cow", "pig", "hen", "bee", "ant", "fox", "elk"]
    return [{"prompt": f"{name} ->", "completion": f" {name[0]}"} for name in names[:n]]


def greetings() -> list[dict[str, object]]:
    """Chat rows."""
    pairs = [("hello", "good day"), ("bye", "see you"), ("thanks", "welcome")]
    return [
        {
            "messages": [
                {"role": "user", "content": question},
                {"role": "assistant", "content": answer},
            ]
        }
        for question, answer in pairs
    ]
