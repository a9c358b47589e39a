"""Uploads of large files in parts, with a real engine."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ftops.clock import SystemClock
from ftops.errors import NotFound, Rejected
from ftops.providers.engine_process import start_engine, stop_engine
from ftops.providers.provider import Provider, ProviderContext
from ftops.providers.registry import build_provider
from ftops.records import MultipartUpload, ProviderSettings
from tests.contract.conftest import write_rows
from tests.providers.test_openai_uploads import MemoryCheckpoint

MIB = 1 << 20
NAME = "ftops-0123456789abcdef-train.jsonl"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("parts")
    yield folder
    stop_engine(folder / "engine")


@pytest.fixture(params=["local", "openai"])
def provider(home: Path, request: pytest.FixtureRequest) -> Iterator[Provider]:
    settings, environ = ProviderSettings("local"), {"FTOPS_PART_MB": "1"}
    if request.param == "openai":
        address = start_engine(home / "engine")
        settings = ProviderSettings("openai", base_url=address.base_url, api_key_env="TOKEN")
        environ["TOKEN"] = address.token
    engine_provider = build_provider(settings, ProviderContext(environ, home, SystemClock()))
    yield engine_provider
    engine_provider.close()


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = write_rows(tmp_path / "rows.jsonl", 100_000)
    assert 4 * MIB < path.stat().st_size < 5 * MIB
    return path


def test_parts_become_the_same_file_and_are_reported_once(provider: Provider, rows: Path) -> None:
    memory = MemoryCheckpoint()
    progress: list[int] = []
    file = provider.upload_file(
        rows, filename=NAME, on_bytes=lambda sent, total: progress.append(sent), checkpoint=memory
    )
    assert memory.known is not None
    assert sorted(memory.known.parts) == [0, 1, 2, 3, 4]
    assert timedelta(minutes=55) < memory.known.expires_at - datetime.now(UTC)
    assert (file.filename, file.bytes, file.status) == (NAME, rows.stat().st_size, "processed")
    assert provider.read_file(file.id) == rows.read_bytes()
    assert progress == sorted(set(progress))
    assert (progress[0], progress[-1]) == (0, rows.stat().st_size)
    provider.delete_file(file.id)


def test_an_upload_that_the_engine_does_not_know_is_restarted(
    provider: Provider, rows: Path
) -> None:
    later = datetime.now(UTC) + timedelta(minutes=30)
    memory = MemoryCheckpoint(MultipartUpload("upload_never", MIB, later, {0: "part_never"}))
    file = provider.upload_file(
        rows, filename=NAME, on_bytes=lambda sent, total: None, checkpoint=memory
    )
    assert provider.read_file(file.id) == rows.read_bytes()
    provider.delete_file(file.id)


def test_a_completed_upload_with_a_lost_response_is_not_sent_again(
    provider: Provider, rows: Path
) -> None:
    memory = MemoryCheckpoint()
    first, again = (
        provider.upload_file(
            rows, filename=NAME, on_bytes=lambda sent, all_: None, checkpoint=memory
        )
        for _ in range(2)
    )
    assert again.id == first.id
    assert memory.calls.count("completing") == 2
    provider.delete_file(first.id)


def test_an_interrupted_upload_is_cancelled_once(provider: Provider, rows: Path) -> None:
    class Interrupted(Exception):
        """The user interrupts the upload."""

    def stop(sent: int, _total: int) -> None:
        if sent >= 2 * MIB:
            raise Interrupted

    memory = MemoryCheckpoint()
    with pytest.raises(Interrupted):
        provider.upload_file(rows, filename=NAME, on_bytes=stop, checkpoint=memory)
    assert memory.known is not None
    provider.cancel_upload(memory.known.id)
    with pytest.raises(Rejected):
        provider.cancel_upload(memory.known.id)
    with pytest.raises(NotFound):
        provider.cancel_upload("upload_never")
    assert provider.find_file(NAME, rows.stat().st_size) is None
