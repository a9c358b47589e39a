"""`ftops prune`: says what would go, and takes it only when it is told to."""

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
    """An ended run of long ago, whose provider is gone for good."""
    bench = Bench(tmp_path)
    ended = bench.run(bench.write_job())
    bench.ledger.close()
    bench.home.rename(temporary_home)
    yield ended


def test_without_runs_there_is_nothing_to_prune_and_nothing_is_made(temporary_home: Path) -> None:
    answer = ftops("prune")
    assert (answer.code, answer.out) == (0, "There is nothing to prune.\n")
    assert not temporary_home.exists()


def test_it_only_shows_what_would_go_unless_it_is_told_to_do_it(
    run: Run, temporary_home: Path
) -> None:
    answer = ftops("prune", "--older-than", "0d")
    assert answer.code == 0
    assert run.id in answer.out
    assert "Nothing was deleted" in answer.out
    assert RunFolder.of(temporary_home, run.id).path.is_dir()
    (document,) = json.loads(ftops("prune", "--older-than", "0d", "--json").out)
    assert (document["run_id"], document["outcome"]) == (run.id, "selected")
    assert document["folder_bytes"] > 0
    assert len(document["files"]) == 2


def test_a_run_that_is_not_old_enough_is_kept(run: Run) -> None:
    assert ftops("prune", "--older-than", "5000w").out == "There is nothing to prune.\n"
    assert ftops("prune", "--older-than", "0d", "--keep-last", "1", "-q").out == ""


def test_a_provider_that_cannot_be_asked_is_told_and_exits_with_1(
    run: Run, temporary_home: Path
) -> None:
    answer = ftops("prune", "--older-than", "0d", "--yes", "--json")
    assert answer.code == 1
    assert f"error: {run.id}: there is no provider 'fake'" in answer.err
    (document,) = json.loads(answer.out)
    assert document["outcome"] == "failed"
    assert RunFolder.of(temporary_home, run.id).path.is_dir()


def test_local_only_needs_no_provider_and_show_and_results_say_that_the_files_are_gone(
    run: Run, temporary_home: Path
) -> None:
    answer = ftops("prune", "--older-than", "0d", "--local-only", "--yes")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("Pruned 1 run: ")
    assert not RunFolder.of(temporary_home, run.id).path.exists()
    assert "removed by `ftops prune` on" in ftops("show", run.id).out
    assert ftops("show", run.id, "--json").document["pruned_at"]
    asked = ftops("results", run.id)
    assert asked.code == 1
    assert "were removed by `ftops prune`" in asked.err


def test_what_is_no_age_is_a_usage_error(temporary_home: Path) -> None:
    answer = ftops("prune", "--older-than", "soon")
    assert answer.code == 2
    assert "expected e.g. 30d" in answer.err
