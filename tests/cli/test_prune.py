"""`ftops prune`: lists what would be deleted, and deletes it only with --yes."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftops.records import Run
from ftops.run_folder import RunFolder
from tests.cli.running import ftops
from tests.runs.bench import Bench


@pytest.fixture
def run(temporary_home: Path, tmp_path: Path) -> Iterator[Run]:
    """A finished run whose provider does not exist."""
    bench = Bench(tmp_path)
    finished = bench.run(bench.write_job())
    bench.ledger.close()
    bench.home.rename(temporary_home)
    yield finished


def test_without_runs_nothing_is_pruned_or_created(temporary_home: Path) -> None:
    result = ftops("prune")
    assert (result.code, result.out) == (0, "There is nothing to prune.\n")
    assert not temporary_home.exists()


def test_without_yes_it_only_lists_what_would_be_deleted(run: Run, temporary_home: Path) -> None:
    result = ftops("prune", "--older-than", "0d")
    assert result.code == 0
    assert run.id in result.out
    assert "Nothing was deleted" in result.out
    assert RunFolder.of(temporary_home, run.id).path.is_dir()
    (document,) = json.loads(ftops("prune", "--older-than", "0d", "--json").out)
    assert (document["run_id"], document["outcome"]) == (run.id, "selected")
    assert document["folder_bytes"] > 0
    assert len(document["files"]) == 2


def test_a_recent_run_is_kept(run: Run) -> None:
    assert ftops("prune", "--older-than", "5000w").out == "There is nothing to prune.\n"
    assert ftops("prune", "--older-than", "0d", "--keep-last", "1", "-q").out == ""


def test_an_unavailable_provider_is_reported_with_exit_code_1(
    run: Run, temporary_home: Path
) -> None:
    result = ftops("prune", "--older-than", "0d", "--yes", "--json")
    assert result.code == 1
    assert f"error: {run.id}: there is no provider 'fake'" in result.err
    (document,) = json.loads(result.out)
    assert document["outcome"] == "failed"
    assert RunFolder.of(temporary_home, run.id).path.is_dir()


def test_local_only_needs_no_provider_and_later_commands_report_the_deletion(
    run: Run, temporary_home: Path
) -> None:
    result = ftops("prune", "--older-than", "0d", "--local-only", "--yes")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("Pruned 1 run: ")
    assert not RunFolder.of(temporary_home, run.id).path.exists()
    assert "removed by `ftops prune` on" in ftops("show", run.id).out
    assert ftops("show", run.id, "--json").document["pruned_at"]
    results = ftops("results", run.id)
    assert results.code == 1
    assert "were removed by `ftops prune`" in results.err


def test_an_invalid_age_is_a_usage_error(temporary_home: Path) -> None:
    result = ftops("prune", "--older-than", "soon")
    assert result.code == 2
    assert "expected e.g. 30d" in result.err
