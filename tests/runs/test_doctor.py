"""What doctor checks: the home, the ledger, and their differences from the provider."""

from pathlib import Path

import pytest

from ftops.errors import AuthFailed, Unreachable
from ftops.records import Stage
from ftops.run_folder import hold_run
from ftops.runs.doctor import (
    CheckStatus,
    HealthCheck,
    check_drivers,
    check_folders,
    check_home,
    check_ledger,
    check_provider,
)
from ftops.runs.open_run import open_run
from tests.runs.bench import Bench

OWN = "ftops-0123456789abcdef-train.jsonl"


def list_problems(checks: object) -> list[HealthCheck]:
    assert hasattr(checks, "__iter__")
    return [check for check in checks if check.status is CheckStatus.PROBLEM]


def check_all(bench: Bench) -> list[HealthCheck]:
    return list_problems(check_provider(bench.provider, bench.ledger, bench.ledger.list_runs()))


def test_a_missing_home_is_the_only_finding(tmp_path: Path) -> None:
    checks = list(check_home(tmp_path / "missing"))
    assert [(check.status, check.what) for check in checks] == [
        (CheckStatus.PROBLEM, "the home does not exist")
    ]


def test_a_home_that_others_can_read_becomes_private(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (problem,) = list_problems(check_home(tmp_path))
    assert problem.safe
    assert problem.fix is not None
    problem.fix()
    assert tmp_path.stat().st_mode & 0o777 == 0o700
    assert [check.status for check in check_home(tmp_path)] == [CheckStatus.OK]


def test_an_intact_ledger_is_ok_and_a_damaged_one_is_not(bench: Bench) -> None:
    open_run(bench.write_job(), bench.context)
    assert check_ledger(bench.ledger).status is CheckStatus.OK
    bench.ledger.close()
    content = bytearray((bench.home / "ledger.db").read_bytes())
    content[8192:12288] = b"\xa5" * 4096
    (bench.home / "ledger.db").write_bytes(bytes(content))
    damaged = Bench(bench.folder)
    problem = check_ledger(damaged.ledger)
    damaged.ledger.close()
    assert problem.status is CheckStatus.PROBLEM
    assert "damaged" in problem.what


def test_a_normal_run_has_no_problems(bench: Bench) -> None:
    bench.run(bench.write_job())
    runs = bench.ledger.list_runs()
    assert check_all(bench) == []
    assert list(check_drivers(runs, bench.home)) == []
    assert list(check_folders(bench.home, bench.ledger)) == []


def test_deleting_an_unknown_upload_is_offered_but_not_safe(bench: Bench) -> None:
    bench.run(bench.write_job())
    stray = bench.folder / "stray"
    stray.write_text("{}\n")
    lost = bench.provider.upload_file(stray, filename=OWN, on_bytes=lambda *_: None)
    mine = bench.provider.upload_file(stray, filename="mine.jsonl", on_bytes=lambda *_: None)
    (problem,) = check_all(bench)
    assert (problem.check, problem.where, problem.safe) == ("files", lost.id, False)
    assert problem.fix is not None
    problem.fix()
    remaining = {file.id for file in bench.provider.list_files()}
    assert lost.id not in remaining
    assert mine.id in remaining


def test_an_upload_in_progress_is_no_orphan(bench: Bench) -> None:
    run = open_run(bench.write_job(), bench.context)
    stray = bench.folder / "stray"
    stray.write_text("{}\n")
    bench.ledger.record_intent(run.id, Stage.UPLOAD, "upload_file", {"filename": OWN})
    bench.provider.upload_file(stray, filename=OWN, on_bytes=lambda *_: None)
    assert check_all(bench) == []


def test_a_file_of_an_interrupted_prune_is_known(bench: Bench) -> None:
    bench.run(bench.write_job(validation_file=None))
    (upload,) = bench.ledger.list_uploads()
    bench.clock.advance(1)
    bench.ledger.begin_file_deletion(upload.run_id, upload, since=bench.clock.now())
    (problem,) = check_all(bench)
    assert (problem.where, problem.fix) == (upload.file_id, None)
    assert "ftops prune --yes" in problem.next


def test_a_folder_of_an_interrupted_prune_is_safe_to_remove(bench: Bench) -> None:
    run = bench.run(bench.write_job())
    folder = bench.home / "runs" / run.id
    folder.rename(folder.with_name(f".pruned-{run.id}"))
    (problem,) = check_folders(bench.home, bench.ledger)
    assert problem.safe
    assert problem.fix is not None
    problem.fix()
    assert list((bench.home / "runs").iterdir()) == []


def test_without_a_ledger_only_the_connection_to_the_provider_is_checked(bench: Bench) -> None:
    stray = bench.folder / "stray"
    stray.write_text("{}\n")
    bench.provider.upload_file(stray, filename=OWN, on_bytes=lambda *_: None)
    checks = list(check_provider(bench.provider, None, []))
    assert [(check.check, check.status) for check in checks] == [
        ("key", CheckStatus.OK),
        ("provider", CheckStatus.OK),
    ]


def test_a_run_with_a_deleted_job_is_found(bench: Bench) -> None:
    run = open_run(bench.write_job(), bench.context)
    call = bench.ledger.record_intent(run.id, Stage.CREATE, "create_job", {})
    bench.ledger.record_job(call, "ftjob-gone")
    (problem,) = check_all(bench)
    assert problem.where == run.id
    assert "ftjob-gone is gone" in problem.what
    assert "--new" in problem.next
    assert problem.fix is None


def test_a_running_run_is_a_problem_only_while_no_process_drives_it(bench: Bench) -> None:
    bench.provider.fail("find_file", Unreachable("no network"))
    with pytest.raises(Unreachable):
        bench.run(bench.write_job())
    runs = bench.ledger.list_runs()
    (problem,) = check_drivers(runs, bench.home)
    assert problem.where == runs[0].id
    assert "it has no job yet" in problem.what
    with hold_run(runs[0], bench.home) as is_held:
        assert is_held
        assert list(check_drivers(runs, bench.home)) == []


def test_a_refused_key_and_an_unreachable_provider_are_distinct_problems(bench: Bench) -> None:
    class Refusing:
        account = "acme"

        def __init__(self, error: Exception) -> None:
            self.error = error

        def list_files(self) -> None:
            raise self.error

    for error, check in ((AuthFailed("no key"), "key"), (Unreachable("away"), "provider")):
        (problem,) = check_provider(Refusing(error), bench.ledger, [])  # type: ignore[arg-type]
        assert (problem.check, problem.status) == (check, CheckStatus.PROBLEM)
        assert problem.next


def test_a_folder_without_a_run_is_safe_to_remove_only_when_empty(bench: Bench) -> None:
    empty, full = bench.home / "runs" / "run-empty", bench.home / "runs" / "run-full"
    empty.mkdir(parents=True)
    (empty / "lock").touch()
    full.mkdir()
    (full / "results.csv").write_text("step\n")
    checks = list(check_folders(bench.home, bench.ledger))
    assert [(Path(check.where).name, check.safe) for check in checks] == [
        ("run-empty", True),
        ("run-full", False),
    ]
    for check in checks:
        assert check.fix is not None
        check.fix()
    assert list((bench.home / "runs").iterdir()) == []
