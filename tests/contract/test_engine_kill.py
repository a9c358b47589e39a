"""The provider `local` when its engine is killed: jobs continue, and nothing is repeated."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftops.clock import SystemClock
from ftops.errors import Unreachable
from ftops.providers.engine_process import find_engine, stop_engine
from ftops.providers.provider import Provider, ProviderContext
from ftops.providers.registry import build_provider
from ftops.records import Hyperparameters, JobRequest, ProviderSettings
from tests.contract.conftest import adapt_request, speaks_legacy, upload, wait_for_end, write_rows


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    stop_engine(tmp_path / "engine")


@pytest.fixture(params=["current", "legacy"])
def provider(home: Path, request: pytest.FixtureRequest) -> Iterator[Provider]:
    settings = ProviderSettings("local", protocol=request.param)
    local_provider = build_provider(settings, ProviderContext({}, home, SystemClock()))
    yield local_provider
    local_provider.close()


def kill_engine(home: Path) -> int:
    address = find_engine(home / "engine")
    assert address is not None
    os.kill(address.pid, signal.SIGKILL)
    return address.pid


def test_a_followed_job_continues_after_its_engine_was_killed(
    provider: Provider, home: Path
) -> None:
    file = upload(provider, write_rows(home / "rows.jsonl"), "rows.jsonl")
    request = JobRequest("ada", file.id, hyperparameters=Hyperparameters(20, 4), seed=1)
    job = provider.create_job(adapt_request(request, provider))
    first = kill_engine(home)
    job = wait_for_end(provider, job)
    assert job.status == "succeeded"
    events = provider.list_events(job.id, known=frozenset())
    key, last = ("epoch", 20) if speaks_legacy(provider) else ("step", 120)
    assert [event.data[key] for event in events if key in event.data][-1] == last
    assert len(events) == len({event.id for event in events})
    address = find_engine(home / "engine")
    assert address is not None
    assert address.pid != first


def test_a_job_request_to_a_killed_engine_creates_no_job_and_can_be_repeated(
    provider: Provider, home: Path
) -> None:
    file = upload(provider, write_rows(home / "rows.jsonl"), "rows.jsonl")
    request = JobRequest(
        "ada",
        file.id,
        hyperparameters=Hyperparameters(1, 4),
        metadata={"ftops_run": "run-1"},
    )
    request = adapt_request(request, provider)
    kill_engine(home)
    with pytest.raises(Unreachable):
        provider.create_job(request)
    assert provider.find_job(request) is None
    job = provider.create_job(request)
    found = provider.find_job(request)
    assert found is not None
    assert found.id == job.id
    assert wait_for_end(provider, job).status == "succeeded"


def test_a_restart_keeps_the_token_and_the_models(provider: Provider, home: Path) -> None:
    before = provider.get_model("ada")
    first = find_engine(home / "engine")
    assert stop_engine(home / "engine") is True
    assert provider.get_model("ada").id == before.id
    second = find_engine(home / "engine")
    assert first is not None
    assert second is not None
    assert second.token == first.token
    assert second.pid != first.pid
