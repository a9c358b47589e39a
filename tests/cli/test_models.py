"""References to models, and errors before any request."""

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
    ledger = Ledger(temporary_home / "ledger.db", FakeClock())
    yield ledger
    ledger.close()


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
        target = resolve_model(ledger, ref)
        assert (target.name, target.provider) == (NAME, OTHER)
        assert target.tuned is not None


def test_a_given_provider_overrides_the_provider_of_the_run(
    ledger: Ledger,
) -> None:
    add_run(ledger, "run-20261122-1407-aaaa", model=NAME)
    for ref in (NAME, "small", "ft:unknown"):
        assert resolve_model(ledger, ref, LOCAL).provider == LOCAL


def test_an_unknown_name_is_a_model_of_the_built_in_engine(
    ledger: Ledger,
) -> None:
    target = resolve_model(ledger, "ft:gpt-4.1:other::abc")
    assert (target.name, target.provider, target.tuned) == ("ft:gpt-4.1:other::abc", LOCAL, None)


def test_a_mistyped_name_is_reported_with_the_nearest_one(
    ledger: Ledger,
) -> None:
    add_run(ledger, "run-20261122-1407-aaaa", model=NAME)
    targets = [resolve_model(ledger, ref) for ref in ("smal", "something-else")]
    for target, suggestion in zip(
        targets, ("Did you mean 'small'?", "ask the provider"), strict=True
    ):
        with pytest.raises(NotFound) as caught, suggest_near_names(targets):
            raise NotFound(f"ask {target.name}: there is no such model", hint="ask the provider")
        assert caught.value.hint.startswith(suggestion)


@pytest.mark.parametrize("ref", ["run-20261122-0000-zzzz", "ftjob-none"])
def test_an_unknown_run_or_job_is_not_a_model(ledger: Ledger, ref: str) -> None:
    with pytest.raises(UnknownRun):
        resolve_model(ledger, ref)


def test_the_error_about_a_run_without_a_model_has_its_status(ledger: Ledger) -> None:
    add_run(ledger, "run-20261122-1407-aaaa")
    with pytest.raises(RunError, match="it is pending"):
        resolve_model(ledger, "small")


def test_a_deleted_model_is_refused_with_the_command_that_trains_another(ledger: Ledger) -> None:
    add_run(ledger, "run-20261122-1407-aaaa", model=NAME)
    ledger.mark_model_deleted(NAME)
    target = resolve_model(ledger, NAME)
    with pytest.raises(NotFound, match="was deleted on 2026-11-22") as caught:
        target.check_exists()
    assert "ftops run /jobs/small.yaml --new" in caught.value.hint


def test_nothing_is_deleted_without_a_terminal_or_yes(ledger: Ledger) -> None:
    add_run(ledger, "run-20261122-1407-aaaa", model=NAME)
    for arguments in (("models", "delete", NAME), ("files", "delete", "file-1")):
        result = ftops(*arguments, stdin="y\n")
        assert result.code == 1
        assert "nothing was deleted" in result.err
        assert "--yes" in result.err


@pytest.mark.parametrize("exists", [True, False])
def test_a_404_for_a_deletion_is_verified_with_a_request_for_the_model(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, exists: bool
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    not_found = Reply(404, b'{"error": {"message": "There is no such model."}}')
    existing = Reply(200, b'{"id": "%s", "object": "model", "created": 1}' % NAME.encode())
    with scripted_server(not_found, existing if exists else not_found) as server:
        settings = ProviderSettings("openai", base_url=server.base_url)
        add_run(ledger, "run-20261122-1407-aaaa", model=NAME, provider=settings)
        result = ftops("models", "delete", NAME, "--yes")
        assert len(server.requests) == 2
    assert (result.code, "There is no such model" in result.err) == (1, True)
    assert ("The model still exists" in result.err) is exists
    tuned = ledger.find_model(NAME)
    assert tuned is not None
    assert (tuned.deleted_at is None) is exists


@pytest.mark.parametrize(
    ("prompt", "stdin", "reason"),
    [("", None, "the prompt is empty"), ("-", b"\xff\xfe", "not UTF-8"), ("-", b"", "is empty")],
)
def test_a_prompt_that_is_not_text_is_refused(
    prompt: str, stdin: bytes | None, reason: str
) -> None:
    result = ftops("complete", "-m", "x", "-p", prompt, stdin=stdin)
    assert result.code == 1
    assert reason in result.err


def test_an_unknown_provider_error_suggests_the_nearest_name() -> None:
    result = ftops("models", "list", "--provider", "opnai")
    assert result.code == 1
    assert "opnai" in result.err
    assert "openai" in result.err


def test_the_error_about_a_missing_key_names_the_variable() -> None:
    result = ftops("models", "list", "--provider", "openai", "--json")
    assert result.code == 1
    assert result.error["type"] == "AuthFailed"
    assert "OPENAI_API_KEY" in str(result.error["message"])


def test_a_checkpoint_is_resolved_with_the_model_of_its_run(ledger: Ledger) -> None:
    run = add_run(ledger, "run-20261122-1407-aaaa", model=NAME)
    checkpoint = f"{NAME}:ckpt-step-20"
    checkpoints = (Checkpoint("c1", 20, checkpoint),)
    detail = TrainingSummary("file-1", 10, step=40, checkpoints=checkpoints).to_json()
    pending = ledger.get_stage(run.id, Stage.RESULTS)
    running = ledger.move_stage(run.id, pending, StageStatus.RUNNING)
    ledger.move_stage(run.id, running, StageStatus.SUCCEEDED, detail=detail)
    target = resolve_model(ledger, checkpoint)
    assert target.name == checkpoint
    assert target.tuned is not None and target.tuned.name == checkpoint
    assert (target.provider, target.run) == (OTHER, ledger.get_run(run.id))
    assert resolve_model(ledger, f"{NAME}:ckpt-step-21", OTHER).tuned is None
