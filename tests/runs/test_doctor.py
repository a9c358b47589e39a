"""What doctor looks at: the home, the ledger, and what got lost between it and a provider."""

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


def problems(found: object) -> list[HealthCheck]:
    assert hasattr(found, "__iter__")
    return [one for one in found if one.status is CheckStatus.PROBLEM]


def look(bench: Bench) -> list[HealthCheck]:
    return problems(check_provider(bench.provider, bench.ledger, bench.ledger.list_runs()))


def test_a_home_that_is_not_there_is_told_alone(tmp_path: Path) -> None:
    found = list(check_home(tmp_path / "nowhere"))
    assert [(one.status, one.what) for one in found] == [
        (CheckStatus.PROBLEM, "the home does not exist")
    ]


def test_a_home_that_others_may_read_is_closed_without_loss(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (found,) = problems(check_home(tmp_path))
    assert found.safe
    assert found.fix is not None
    found.fix()
    assert tmp_path.stat().st_mode & 0o777 == 0o700
    assert [one.status for one in check_home(tmp_path)] == [CheckStatus.OK]


def test_a_sound_ledger_is_ok_and_a_damaged_one_is_not(bench: Bench) -> None:
    open_run(bench.write_job(), bench.context)
    assert check_ledger(bench.ledger).status is CheckStatus.OK
    bench.ledger.close()
    content = bytearray((bench.home / "ledger.db").read_bytes())
    content[8192:12288] = b"\xa5" * 4096
    (bench.home / "ledger.db").write_bytes(bytes(content))
    damaged = Bench(bench.folder)
    found = check_ledger(damaged.ledger)
    damaged.ledger.close()
    assert found.status is CheckStatus.PROBLEM
    assert "damaged" in found.what


def test_after_an_undisturbed_run_there_is_nothing_to_say(bench: Bench) -> None:
    bench.run(bench.write_job())
    runs = bench.ledger.list_runs()
    assert look(bench) == []
    assert list(check_drivers(runs, bench.home)) == []
    assert list(check_folders(bench.home, bench.ledger)) == []


def test_an_upload_that_no_run_knows_is_offered_but_never_called_safe(bench: Bench) -> None:
    bench.run(bench.write_job())
    stray = bench.folder / "stray"
    stray.write_text("{}\n")
    lost = bench.provider.upload_file(stray, filename=OWN, on_bytes=lambda *_: None)
    mine = bench.provider.upload_file(stray, filename="mine.jsonl", on_bytes=lambda *_: None)
    (found,) = look(bench)
    assert (found.check, found.where, found.safe) == ("files", lost.id, False)
    assert found.fix is not None
    found.fix()
    left = {file.id for file in bench.provider.list_files()}
    assert lost.id not in left
    assert mine.id in left


def test_an_upload_whose_answer_is_awaited_is_no_orphan(bench: Bench) -> None:
    run = open_run(bench.write_job(), bench.context)
    stray = bench.folder / "stray"
    stray.write_text("{}\n")
    bench.ledger.record_intent(run.id, Stage.UPLOAD, "upload_file", {"filename": OWN})
    bench.provider.upload_file(stray, filename=OWN, on_bytes=lambda *_: None)
    assert look(bench) == []


def test_a_file_that_a_dead_prune_was_about_to_delete_is_no_strangers(bench: Bench) -> None:
    bench.run(bench.write_job(validation_file=None))
    (upload,) = bench.ledger.list_uploads()
    bench.clock.advance(1)
    bench.ledger.begin_file_deletion(upload.run_id, upload, since=bench.clock.now())
    (found,) = look(bench)
    assert (found.where, found.fix) == (upload.file_id, None)
    assert "ftops prune --yes" in found.next


def test_a_folder_that_a_dead_prune_has_left_is_safe_to_remove(bench: Bench) -> None:
    run = bench.run(bench.write_job())
    folder = bench.home / "runs" / run.id
    folder.rename(folder.with_name(f".pruned-{run.id}"))
    (found,) = check_folders(bench.home, bench.ledger)
    assert found.safe
    assert found.fix is not None
    found.fix()
    assert list((bench.home / "runs").iterdir()) == []


def test_without_a_ledger_a_provider_is_only_asked_whether_it_answers(bench: Bench) -> None:
    stray = bench.folder / "stray"
    stray.write_text("{}\n")
    bench.provider.upload_file(stray, filename=OWN, on_bytes=lambda *_: None)
    found = list(check_provider(bench.provider, None, []))
    assert [(one.check, one.status) for one in found] == [
        ("key", CheckStatus.OK),
        ("provider", CheckStatus.OK),
    ]


def test_a_run_whose_job_is_gone_is_found(bench: Bench) -> None:
    run = open_run(bench.write_job(), bench.context)
    call = bench.ledger.record_intent(run.id, Stage.CREATE, "create_job", {})
    bench.ledger.record_job(call, "ftjob-gone")
    (found,) = look(bench)
    assert found.where == run.id
    assert "ftjob-gone is gone" in found.what
    assert "--new" in found.next
    assert found.fix is None


def test_a_running_run_is_a_problem_only_while_nobody_drives_it(bench: Bench) -> None:
    bench.provider.fail("find_file", Unreachable("no network"))
    with pytest.raises(Unreachable):
        bench.run(bench.write_job())
    runs = bench.ledger.list_runs()
    (found,) = check_drivers(runs, bench.home)
    assert found.where == runs[0].id
    assert "it has no job yet" in found.what
    with hold_run(runs[0], bench.home) as held:
        assert held
        assert list(check_drivers(runs, bench.home)) == []


def test_a_key_that_is_refused_and_a_provider_that_is_away_are_told_apart(bench: Bench) -> None:
    class Refusing:
        account = "acme"

        def __init__(self, error: Exception) -> None:
            self.error = error

        def list_files(self) -> None:
            raise self.error

    for error, check in ((AuthFailed("no key"), "key"), (Unreachable("away"), "provider")):
        (found,) = check_provider(Refusing(error), bench.ledger, [])  # type: ignore[arg-type]
        assert (found.check, found.status) == (check, CheckStatus.PROBLEM)
        assert found.next


def test_a_folder_of_no_run_is_safe_to_remove_only_when_it_is_empty(bench: Bench) -> None:
    empty, full = bench.home / "runs" / "run-empty", bench.home / "runs" / "run-full"
    empty.mkdir(parents=True)
    (empty / "lock").touch()
    full.mkdir()
    (full / "results.csv").write_text("step\n")
    found = list(check_folders(bench.home, bench.ledger))
    assert [(Path(one.where).name, one.safe) for one in found] == [
        ("run-empty", True),
        ("run-full", False),
    ]
    for one in found:
        assert one.fix is not None
        one.fix()
    assert list((bench.home / "runs").iterdir()) == []
