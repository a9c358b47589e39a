"""One job file runs at every hosted provider: only its provider and its model change."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ftops.errors import JobCancelled, SpecError
from ftops.ledger.ledger import Ledger
from ftops.providers.provider import Provider, ProviderContext
from ftops.providers.registry import PROVIDERS, build_provider, get_capabilities
from ftops.records import Run, RunStatus, Stage
from ftops.reports.contents import build
from ftops.reports.markdown_report import render_markdown
from ftops.runs.adopt import adopt_job
from ftops.runs.cancel import cancel_run
from ftops.runs.doctor import CheckStatus
from ftops.runs.live_check import check_live, write_live_job
from ftops.runs.open_run import drive, open_run
from ftops.runs.report_data import ReportLoader
from ftops.spec.job_file import LoadedJob, check_provider, load_job
from tests.contract.conftest import UNLISTED
from tests.crash.hosted_worker import SITES, HostedSite, list_settings
from tests.runs.bench import Bench

JOB = """\
name: faq
provider: {provider}
model: {model}
training_file: train.jsonl
validation_file: validation.jsonl
hyperparameters: {{n_epochs: 2}}
seed: 42
metadata: {{team: search}}
evaluate: {{against: []}}
"""
PRICES = """\
as_of = 2026-12-01

[azure."*"]
train_usd = 2.0

[vertex."*"]
train_usd = 2.0
"""
NAMES = sorted(SITES)


@dataclass
class User:
    """A user of one provider."""

    bench: Bench
    site: HostedSite
    server: Any

    def connect(self, ledger: Ledger) -> Provider:
        context = ProviderContext(
            self.site.environ,
            self.bench.home,
            self.bench.clock,
            http_client=self.server.connect(),
            find_deployed=ledger.find_call_name,
        )
        return build_provider(self.site.settings, context)

    def load(self) -> LoadedJob:
        """The job file, with the two lines of this provider."""
        path = self.bench.write_job().path
        provider = json.dumps(list_settings(self.site.settings))
        path.write_text(JOB.format(provider=provider, model=self.site.job["model"]))
        return load_job(path, environ={}, providers=PROVIDERS)

    def run(self) -> Run:
        job = self.load()
        check_provider(job, get_capabilities(self.site.settings))
        return drive(open_run(job, self.bench.context), self.bench.context)


class OpenEndedBench(Bench):
    """A bench whose user allows deployments without an end."""

    @property
    def context(self) -> Any:
        context = super().context
        object.__setattr__(context, "allow_open_ended", True)
        return context


@pytest.fixture(params=NAMES)
def user(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[User]:
    bench, site = OpenEndedBench(tmp_path), SITES[request.param]
    server = site.make_server()
    if hasattr(server, "clock"):
        server.clock = bench.clock
    user = User(bench, site, server)
    bench.provider = user.connect(bench.ledger)  # type: ignore[assignment]
    yield user
    bench.provider.close()
    bench.ledger.close()


def test_the_job_file_runs_with_its_two_lines_changed(user: User) -> None:
    run = user.run()
    assert run.status is RunStatus.SUCCEEDED
    assert run.fine_tuned_model is not None
    if user.bench.provider.capabilities.serves:
        assert user.bench.detail(run, Stage.EVALUATE)["rows"] == 3
    assert user.site.count_jobs(user.server) == 1
    assert user.bench.ledger.list_deployments() == []
    assert user.run().id == run.id
    assert user.site.count_jobs(user.server) == 1


def test_the_live_check_deploys_evaluates_and_leaves_nothing(user: User) -> None:
    (user.bench.home / "models.toml").write_text(PRICES)
    bench, provider = user.bench, user.bench.provider
    files = [file.id for file in provider.list_files()]
    model = str(user.site.job["model"])
    path = write_live_job(bench.folder, user.site.settings, model, {}, evaluates=True)
    job = load_job(path, environ={}, providers=PROVIDERS)
    checks = check_live(job, bench.context)
    problems = [check for check in checks if check.status is CheckStatus.PROBLEM]
    # A stand-in may have no events, and jobs without trained tokens.
    assert [check for check in problems if check.check not in ("events", "cost")] == []
    if provider.capabilities.serves:
        assert ("evaluate", "answered 5 rows") in {(check.check, check.what) for check in checks}
    if user.site.settings.type not in UNLISTED:  # checkpoints are files, which are kept
        assert [file.id for file in provider.list_files()] == files
    assert all(deployment.ended for deployment in provider.list_deployments())


def test_the_run_is_reported(user: User) -> None:
    run = user.run()
    loader = ReportLoader(user.bench.ledger, user.bench.home, user.bench.clock)
    text = render_markdown(build([loader.gather(run)], user.bench.clock.now()))
    assert str(run.fine_tuned_model) in text.replace("\\_", "_")
    assert run.provider.type in text


def test_its_job_is_adopted_by_another_ledger(user: User, tmp_path: Path) -> None:
    job_id = user.run().job_id
    assert job_id is not None
    other = OpenEndedBench(tmp_path / "other")
    other.provider = user.connect(other.ledger)  # type: ignore[assignment]
    run = adopt_job(
        job_id,
        other.context,
        user.site.settings,
        lambda path: load_job(path, environ={}, providers=PROVIDERS),
        job_file=None,
    )
    run = drive(run, other.context)
    assert (run.status, run.job_id) == (RunStatus.SUCCEEDED, job_id)
    other.provider.close()
    other.ledger.close()


def test_a_running_job_is_cancelled(user: User) -> None:
    job = user.load()
    run = drive(open_run(job, user.bench.context), user.bench.context, detach=True)
    assert run.job_id is not None
    cancelled = cancel_run(run, user.bench.context)
    assert user.bench.ledger.get_run(cancelled.id).status in (
        RunStatus.CANCELLED,
        RunStatus.RUNNING,
    )
    if cancelled.status is RunStatus.RUNNING:
        with pytest.raises(JobCancelled):
            drive(cancelled, user.bench.context)
    assert user.site.count_jobs(user.server) == 1


def test_what_it_does_not_know_is_refused_with_the_line(user: User) -> None:
    job = user.load()
    job.path.write_text(job.text + "together: {lora_r: 8}\nnebius: {lora_r: 8}\n")
    with pytest.raises(SpecError, match=r"job.yaml:(9|10|11):1: only the provider"):
        load_job(job.path, environ={}, providers=PROVIDERS)
