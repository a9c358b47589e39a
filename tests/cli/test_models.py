"""Which model is meant, and what is refused before any provider is asked."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ftops.cli.target_model import resolve_model, suggest_near_names
from ftops.errors import NotFound, RunError, UnknownRun
from ftops.ledger.ledger import Ledger
from ftops.records import (
    Checkpoint,
    ProviderSettings,
    Run,
    RunId,
    RunStatus,
    Stage,
    StageStatus,
    TunedModel,
)
from ftops.stage_results import TrainingSummary
from tests.cli.running import ftops
from tests.fakes import FakeClock
from tests.providers.scripted_server import Reply, scripted_server

NOW = datetime(2026, 11, 22, 14, 7, tzinfo=UTC)
LOCAL, OTHER = ProviderSettings("local"), ProviderSettings("openai", base_url="http://x/v1")
NAME = "ft:ada:local:small:a1b2c3d4"


@pytest.fixture
def ledger(temporary_home: Path) -> Iterator[Ledger]:
    opened = Ledger(temporary_home / "ledger.db", FakeClock())
    yield opened
    opened.close()


def add_run(
    ledger: Ledger, run_id: str, *, model: str | None = None, provider: ProviderSettings = OTHER
) -> Run:
    run = Run(
        id=RunId(run_id),
        key=run_id,
        name="small",
        status=RunStatus.PENDING,
        provider=provider,
        model="ada",
        spec={},
        job_file="/jobs/small.yaml",
        created_at=NOW,
        updated_at=NOW,
    )
    ledger.add_run(run, if_absent=False)
    if model:
        ledger.add_model(TunedModel(model, run.id, "ftjob-1", "ada", provider, created_at=NOW))
    return ledger.get_run(run_id)


def test_a_model_is_found_by_its_name_and_by_its_run(ledger: Ledger) -> None:
    add_run(ledger, "run-20261122-1407-aaaa", model=NAME)
    for ref in (NAME, "run-20261122-1407-aaaa", "small"):
        found = resolve_model(ledger, ref)
        assert (found.name, found.provider) == (NAME, OTHER)
        assert found.tuned is not None


def test_the_provider_that_is_asked_for_comes_before_the_one_that_made_the_model(
    ledger: Ledger,
) -> None:
    add_run(ledger, "run-20261122-1407-aaaa", model=NAME)
    for ref in (NAME, "small", "ft:unknown"):
        assert resolve_model(ledger, ref, LOCAL).provider == LOCAL


def test_a_name_that_the_ledger_does_not_know_is_asked_for_at_the_built_in_engine(
    ledger: Ledger,
) -> None:
    found = resolve_model(ledger, "ft:gpt-4.1:other::abc")
    assert (found.name, found.provider, found.tuned) == ("ft:gpt-4.1:other::abc", LOCAL, None)


def test_a_mistyped_name_that_is_not_found_is_answered_with_the_one_that_was_meant(
    ledger: Ledger,
) -> None:
    add_run(ledger, "run-20261122-1407-aaaa", model=NAME)
    named = [resolve_model(ledger, ref) for ref in ("smal", "something-else")]
    for one, suggestion in zip(named, ("Did you mean 'small'?", "ask the provider"), strict=True):
        with pytest.raises(NotFound) as caught, suggest_near_names(named):
            raise NotFound(f"ask {one.name}: there is no such model", hint="ask the provider")
        assert caught.value.hint.startswith(suggestion)


@pytest.mark.parametrize("ref", ["run-20261122-0000-zzzz", "ftjob-none"])
def test_an_unknown_run_or_job_is_not_taken_for_a_model(ledger: Ledger, ref: str) -> None:
    with pytest.raises(UnknownRun):
        resolve_model(ledger, ref)


def test_a_run_without_a_model_says_how_it_stands(ledger: Ledger) -> None:
    add_run(ledger, "run-20261122-1407-aaaa")
    with pytest.raises(RunError, match="it is pending"):
        resolve_model(ledger, "small")


def test_a_deleted_model_is_refused_with_the_command_that_makes_another(ledger: Ledger) -> None:
    add_run(ledger, "run-20261122-1407-aaaa", model=NAME)
    ledger.mark_model_deleted(NAME)
    found = resolve_model(ledger, NAME)
    with pytest.raises(NotFound, match="was deleted on 2026-11-22") as caught:
        found.check_exists()
    assert "ftops run /jobs/small.yaml --new" in caught.value.hint


def test_nothing_is_deleted_when_nobody_can_be_asked(ledger: Ledger) -> None:
    add_run(ledger, "run-20261122-1407-aaaa", model=NAME)
    for arguments in (("models", "delete", NAME), ("files", "delete", "file-1")):
        answer = ftops(*arguments, stdin="y\n")
        assert answer.code == 1
        assert "nothing was deleted" in answer.err
        assert "--yes" in answer.err


@pytest.mark.parametrize("there", [True, False])
def test_a_model_whose_deletion_is_answered_by_404_is_looked_for(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    gone = Reply(404, b'{"error": {"message": "There is no such model."}}')
    known = Reply(200, b'{"id": "%s", "object": "model", "created": 1}' % NAME.encode())
    with scripted_server(gone, known if there else gone) as server:
        settings = ProviderSettings("openai", base_url=server.base_url)
        add_run(ledger, "run-20261122-1407-aaaa", model=NAME, provider=settings)
        answer = ftops("models", "delete", NAME, "--yes")
        assert len(server.requests) == 2
    assert (answer.code, "There is no such model" in answer.err) == (1, True)
    assert ("The model still exists" in answer.err) is there
    tuned = ledger.find_model(NAME)
    assert tuned is not None
    assert (tuned.deleted_at is None) is there


@pytest.mark.parametrize(
    ("prompt", "stdin", "reason"),
    [("", None, "the prompt is empty"), ("-", b"\xff\xfe", "not UTF-8"), ("-", b"", "is empty")],
)
def test_a_prompt_that_is_no_text_is_refused(prompt: str, stdin: bytes | None, reason: str) -> None:
    answer = ftops("complete", "-m", "x", "-p", prompt, stdin=stdin)
    assert answer.code == 1
    assert reason in answer.err


def test_an_unknown_provider_is_told_with_the_nearest_name() -> None:
    answer = ftops("models", "list", "--provider", "opnai")
    assert answer.code == 1
    assert "opnai" in answer.err
    assert "openai" in answer.err


def test_openai_without_a_key_says_which_variable_is_missing() -> None:
    answer = ftops("models", "list", "--provider", "openai", "--json")
    assert answer.code == 1
    assert answer.error["type"] == "AuthFailed"
    assert "OPENAI_API_KEY" in str(answer.error["message"])


def test_a_checkpoint_is_asked_as_the_model_of_its_run(ledger: Ledger) -> None:
    run = add_run(ledger, "run-20261122-1407-aaaa", model=NAME)
    checkpoint = f"{NAME}:ckpt-step-20"
    kept = (Checkpoint("c1", 20, checkpoint),)
    detail = TrainingSummary("file-1", 10, step=40, checkpoints=kept).to_json()
    pending = ledger.get_stage(run.id, Stage.RESULTS)
    running = ledger.move_stage(run.id, pending, StageStatus.RUNNING)
    ledger.move_stage(run.id, running, StageStatus.SUCCEEDED, detail=detail)
    found = resolve_model(ledger, checkpoint)
    assert found.name == checkpoint
    assert found.tuned is not None and found.tuned.name == checkpoint
    assert (found.provider, found.run) == (OTHER, ledger.get_run(run.id))
    assert resolve_model(ledger, f"{NAME}:ckpt-step-21", OTHER).tuned is None
