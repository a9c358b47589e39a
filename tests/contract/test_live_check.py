"""The live check of `ftops doctor`: what it reports, what it may cost, and that it cleans up."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ftops.errors import Rejected
from ftops.providers.model_catalog import ModelInfo
from ftops.providers.provider import ProviderContext
from ftops.records import ProviderSettings
from ftops.runs.doctor import CheckStatus, HealthCheck
from ftops.runs.live_check import CLEAN_UP, check_live, describe_live_cost, write_live_job
from ftops.spec.job_file import LoadedJob, load_job
from tests.contract.kiln import KILN, KilnProvider
from tests.contract.kiln_server import KILN_KEY, KilnServer
from tests.fakes import FakeClock
from tests.runs.bench import Bench

SETTINGS = ProviderSettings("kiln")


class PricedKiln(KilnProvider):
    """Kiln, whose price is known."""

    price_usd: float | None = 2.0
    keeps_files = False

    def get_model_info(self, model: str) -> ModelInfo:
        return ModelInfo(train_usd=self.price_usd, price_advice="Add train_usd to models.toml.")

    def delete_file(self, file_id: str) -> None:
        if self.keeps_files:
            raise Rejected("datasets are kept for a year")
        super().delete_file(file_id)


class InterruptibleClock(FakeClock):
    """A clock whose next sleep is interrupted by Ctrl-C, if `is_interrupted`."""

    is_interrupted = False

    def sleep(self, seconds: float) -> None:
        if self.is_interrupted:
            self.is_interrupted = False
            raise KeyboardInterrupt
        super().sleep(seconds)


@dataclass
class Site:
    """A bench with the provider Kiln and its server."""

    folder: Path
    server: KilnServer = field(default_factory=KilnServer)

    def __post_init__(self) -> None:
        self.clock = InterruptibleClock()
        self.bench = Bench(self.folder, self.clock)
        client = self.server.connect()
        context = ProviderContext(
            {"KILN_KEY": KILN_KEY}, self.folder, self.clock, http_client=client
        )
        self.provider = PricedKiln(SETTINGS, KILN.capabilities, context)
        self.bench.provider = self.provider  # type: ignore[assignment]

    def write_job(self, *, evaluates: bool = True) -> LoadedJob:
        path = write_live_job(
            self.folder, SETTINGS, "clay", {"kiln": {"queue": "night"}}, evaluates=evaluates
        )
        return load_job(path, environ={}, providers={"kiln": KILN})

    def check(self, *, evaluates: bool = True) -> dict[str, HealthCheck]:
        checks = check_live(self.write_job(evaluates=evaluates), self.bench.context)
        return {check.check if check.check != CLEAN_UP else check.where: check for check in checks}

    def is_empty(self) -> bool:
        """Whether the provider has no file, no deployment and no model of the run."""
        return not (self.server.datasets or self.server.deployments or self.server.models)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.bench.ledger.close()


def test_everything_that_a_run_does_is_a_row_and_is_deleted(site: Site) -> None:
    checks = site.check()
    assert {name: check.status.value for name, check in checks.items()} == {
        **dict.fromkeys(("prepare", "upload", "create", "follow", "deploy", "evaluate"), "ok"),
        "results": "skipped",
        "estimate": "skipped",
        "identity": "ok",
        "events": "problem",
        "cost": "problem",
        **dict.fromkeys(("clay@1", "kiln://datasets/1", "kiln://datasets/2"), "ok"),
    }
    assert checks["evaluate"].what == "answered 5 rows"
    (training,) = site.server.trainings
    assert (training["passes"], training["queue"]) == (1, "night")
    assert site.is_empty()


def test_without_an_evaluation_nothing_is_deployed(site: Site) -> None:
    checks = site.check(evaluates=False)
    assert checks["evaluate"].status is CheckStatus.SKIPPED
    assert not any("POST /deployments" in request for request in site.server.requests)
    assert site.is_empty()


def test_a_deployment_that_fails_is_reported_and_the_rest_is_deleted(site: Site) -> None:
    site.server.states = ("warming", "cracked")
    checks = site.check()
    assert checks["deploy"].status is CheckStatus.PROBLEM
    assert "no free kiln" in checks["deploy"].what
    assert "run" not in checks
    assert site.is_empty()


def test_a_deployment_without_an_answer_is_ended(site: Site) -> None:
    site.server.loses_deployments = 1
    site.check()
    assert site.is_empty()


def test_a_failed_training_leaves_no_files(site: Site) -> None:
    site.server.phases = ("WAITING", "CRACKED")
    checks = site.check()
    assert checks["follow"].status is CheckStatus.PROBLEM
    assert checks["results"].what == "not reached"
    assert "--retry" not in checks["follow"].next
    assert site.is_empty()


def test_without_a_known_price_nothing_is_sent(site: Site) -> None:
    site.provider.price_usd = None
    checks = site.check()
    assert "the price of training clay is not known" in checks["prepare"].what
    assert "train_usd" in checks["prepare"].next
    assert site.server.requests == []


def test_what_is_not_deleted_is_a_problem(site: Site) -> None:
    site.provider.keeps_files = True
    checks = site.check()
    assert checks["kiln://datasets/1"].what == "not deleted: datasets are kept for a year"
    assert site.server.deployments == {}


def test_ctrl_c_cancels_the_job_and_deletes_the_files(site: Site) -> None:
    site.clock.is_interrupted = True
    checks = site.check()
    assert checks["run"].what == "interrupted"
    assert site.server.trainings[0]["phase"] == "STOPPED"
    assert site.is_empty()


def test_two_checks_share_no_file_and_no_run(site: Site) -> None:
    first = site.write_job().find_data("train.jsonl")
    assert first is not None
    rows = first.read_text()
    site.write_job()
    assert first.read_text() != rows
    assert rows.count("\n") == 20


def test_the_most_that_it_may_cost_is_described_with_the_deployment(site: Site) -> None:
    text = describe_live_cost(site.write_job().spec, site.provider)
    assert "trains clay at kiln on 20 short rows for one epoch, for at most $1.00" in text
    assert "Deployment: " in text
    assert "in 30m" in text
