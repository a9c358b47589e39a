"""Records for the tests of the ledger."""

from datetime import UTC, datetime, timedelta

from ftops.records import (
    JobEvent,
    ProviderSettings,
    Run,
    RunId,
    RunStatus,
    TunedModel,
)

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
PROVIDER = ProviderSettings(type="openai", api_key_env="ACME_KEY", project="proj_1")


def make_run(number: int = 1, *, key: str = "key", name: str = "news") -> Run:
    """A new run; a higher number is a later run."""
    moment = START + timedelta(minutes=number)
    return Run(
        id=RunId(f"run-20261122-{number:04d}-abcd"),
        key=key,
        name=name,
        status=RunStatus.PENDING,
        provider=PROVIDER,
        model="ada",
        spec={"name": name, "seed": 7, "metadata": {"team": "search"}},
        job_file="/jobs/news.yaml",
        created_at=moment,
        updated_at=moment,
    )


def make_event(number: int, message: str = "hello") -> JobEvent:
    """An event of a job; a higher number is a later event."""
    return JobEvent(
        id=f"event-{number}",
        created_at=START + timedelta(seconds=number),
        level="info",
        message=message,
        type="metrics",
        data={"step": number},
    )


def make_model(name: str, run: Run) -> TunedModel:
    """A model that `run` created."""
    return TunedModel(
        name=name,
        run_id=run.id,
        job_id="ftjob-1",
        base="ada",
        provider=PROVIDER,
        created_at=START,
        separator="\n\n###\n\n",
        stop=" END",
    )
