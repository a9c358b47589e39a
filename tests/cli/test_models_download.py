"""`ftops models download`: complete folders only, continued after an interruption."""

from pathlib import Path

import pytest

from ftops.cli.models_download import download_weights
from ftops.errors import NotFound, Unreachable
from ftops.ledger.ledger import Ledger
from ftops.records import Job, JobRequest, ProviderSettings
from tests.cli.running import ftops
from tests.cli.test_models import NAME, add_run
from tests.fakes import FakeClock
from tests.runs.fake_provider import FakeProvider


class WeightsProvider(FakeProvider):
    """Loses the connection once between two files, and continues with what is there."""

    has_weights = True
    is_cut = True

    def download_weights(self, job: Job, folder: Path) -> list[Path]:
        if not self.has_weights:
            return []
        files = [folder / "adapter" / "config.json", folder / "adapter" / "model.safetensors"]
        for path in files:
            if path.exists():
                continue
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"{job.id} {path.name}")
            if self.is_cut:
                self.is_cut = False
                raise Unreachable("the connection was lost")
        return files


@pytest.fixture
def provider(tmp_path: Path) -> WeightsProvider:
    """A provider with two jobs."""
    provider = WeightsProvider(tmp_path / "provider", FakeClock())
    (tmp_path / "rows").write_text("{}")
    file = provider.upload_file(tmp_path / "rows", filename="rows", on_bytes=lambda *_: None)
    for _ in range(2):
        provider.create_job(JobRequest("ada", file.id))
    return provider


def test_a_folder_appears_only_when_it_is_complete(
    provider: WeightsProvider, tmp_path: Path
) -> None:
    target = tmp_path / "new" / "weights"
    with pytest.raises(Unreachable):
        download_weights(provider, "ftjob-1", target)
    assert not target.exists()
    files = download_weights(provider, "ftjob-1", target)
    assert files == [target / "adapter" / "config.json", target / "adapter" / "model.safetensors"]
    assert files[0].read_text() == "ftjob-1 config.json"
    assert list(target.parent.iterdir()) == [target]


def test_an_interrupted_download_is_not_continued_with_another_model(
    provider: WeightsProvider, tmp_path: Path
) -> None:
    target = tmp_path / "weights"
    with pytest.raises(Unreachable):
        download_weights(provider, "ftjob-1", target)
    files = download_weights(provider, "ftjob-2", target)
    assert [path.read_text().split()[0] for path in files] == ["ftjob-2", "ftjob-2"]


def test_an_empty_folder_may_be_the_target(provider: WeightsProvider, tmp_path: Path) -> None:
    provider.is_cut = False
    target = tmp_path / "weights"
    target.mkdir()
    assert len(download_weights(provider, "ftjob-1", target)) == 2


def test_a_job_without_weights_leaves_no_folder(provider: WeightsProvider, tmp_path: Path) -> None:
    provider.has_weights = False
    with pytest.raises(NotFound, match="has no weights of ftjob-1"):
        download_weights(provider, "ftjob-1", tmp_path / "weights")
    assert not (tmp_path / "weights").exists()


def test_a_provider_without_weights_is_refused_by_its_name(
    tmp_path: Path, temporary_home: Path
) -> None:
    ledger = Ledger(temporary_home / "ledger.db", FakeClock())
    add_run(ledger, "run-1", model=NAME, provider=ProviderSettings("local"))
    ledger.close()
    result = ftops("models", "download", NAME, "-o", tmp_path / "weights")
    assert result.code != 0
    assert "the provider 'local' offers no weights to download" in result.err
    assert "ftops models export" in result.err


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("mine")
    result = ftops("models", "download", NAME, "-o", tmp_path)
    assert result.code == 2
    assert "exists already" in result.err
