"""Models that must be deployed: exactly one deployment, and none that is left to cost money."""

import dataclasses
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from ftops.capabilities import DeploymentRule
from ftops.errors import RunError, Unreachable
from ftops.providers.provider import ProviderContext
from ftops.providers.registry import PROVIDERS, build_provider
from ftops.records import ProviderSettings, Run, RunStatus, Stage, StageStatus
from ftops.runs import deployments
from ftops.runs.context import StageContext
from ftops.runs.open_run import drive, open_run
from ftops.spec.job_file import LoadedJob
from tests.contract.kiln import KILN
from tests.contract.kiln_server import KILN_KEY, KilnServer
from tests.runs.bench import Bench

NAME = "POST /deployments/clay@1"


class DeployingBench(Bench):
    """A bench whose provider bills deployments by the hour."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.server = KilnServer()
        self.set_rule(KILN.capabilities.deployment)

    def set_rule(self, rule: DeploymentRule | None) -> None:
        """Connect to the provider, with this rule for its deployments."""
        capabilities = dataclasses.replace(KILN.capabilities, deployment=rule)
        entry = dataclasses.replace(KILN, capabilities=capabilities)
        context = ProviderContext(
            {"KILN_KEY": KILN_KEY}, self.folder, self.clock, http_client=self.server.connect()
        )
        providers = {**PROVIDERS, "kiln": entry}
        self.provider = build_provider(ProviderSettings("kiln"), context, providers)  # type: ignore[assignment]

    def write_kiln_job(self, **fields: object) -> LoadedJob:
        return self.write_job(
            **{"provider": "kiln", "model": "clay", "evaluate": {"against": []}, **fields}
        )

    def count(self, request: str) -> int:
        return self.server.requests.count(request)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[DeployingBench]:
    bench = DeployingBench(tmp_path)
    yield bench
    bench.ledger.close()


def test_a_model_is_deployed_for_its_evaluation_and_costs_nothing_after_it(
    bench: DeployingBench,
) -> None:
    run = bench.run(bench.write_kiln_job())
    detail = bench.detail(run, Stage.DEPLOY)
    assert detail == {"deployment_id": "clay@1", "call_name": "clay@1", "hourly_usd": 2.5}
    (record,) = bench.ledger.list_deployments(live=False)
    assert record.ended_at is not None
    assert (record.run_id, record.model, record.name) == (
        run.id,
        "clay@1",
        f"ftops-{run.id.removeprefix('run-')}-1",
    )
    assert bench.server.deployments == {}
    assert any("has ended" in note for note in bench.recorder.notes)


def test_a_lost_answer_leaves_one_deployment(bench: DeployingBench) -> None:
    bench.server.loses_deployments = 1
    run = bench.run(bench.write_kiln_job())
    assert run.status is RunStatus.SUCCEEDED
    assert bench.count(NAME) == 1
    assert bench.server.deployments == {}


def test_an_interrupted_request_is_looked_for_before_another_is_sent(
    bench: DeployingBench,
) -> None:
    job = bench.write_kiln_job(deploy={"keep": True})
    run = bench.run(job, new=False)
    stage = load_stage(bench, run)
    # As if the process had been killed before the answer was recorded.
    with bench.ledger._changing("update_deployment") as connection:
        connection.execute("DELETE FROM deployments")
        connection.execute(
            "UPDATE calls SET state = 'intent', remote_id = NULL, ended_at = NULL"
            " WHERE name = 'create_deployment'"
        )
    record = deployments.ensure_deployed(stage)
    assert (record.id, record.status) == ("clay@1", "ready")
    assert bench.count(NAME) == 1
    assert bench.ledger.find_open_call(run.id, deployments.CALL) is None


def test_a_new_deployment_that_is_not_found_yet_is_not_taken_for_a_deleted_one(
    bench: DeployingBench,
) -> None:
    bench.run(bench.write_kiln_job(deploy={"keep": True}))
    (record,) = bench.ledger.list_deployments()
    young = dataclasses.replace(record, status="warming", created_at=bench.clock.now())
    bench.server.deployments.clear()
    assert deployments.update(bench.ledger, bench.provider, young, bench.clock) == young
    bench.clock.advance(61)
    later = deployments.update(bench.ledger, bench.provider, young, bench.clock)
    assert later.ended_at == bench.clock.now()


def test_a_kept_deployment_stays_until_its_time_is_over(bench: DeployingBench) -> None:
    job = bench.write_kiln_job(deploy={"keep": True}, limits={"max_deployment_time": "3h"})
    bench.run(job)
    (record,) = bench.ledger.list_deployments()
    assert record.ends_at is not None
    assert list(deployments.list_overdue(bench.ledger, bench.clock)) == []
    assert list(bench.server.deployments) == ["clay@1"]
    bench.clock.advance(2 * 3600)
    assert record.get_cost_usd(bench.clock.now()) == pytest.approx(5.0, rel=0.01)
    bench.clock.advance(3600)
    assert list(deployments.list_overdue(bench.ledger, bench.clock)) == [record]
    bench.run(bench.write_kiln_job(name="another", suffix="another"))
    assert bench.server.deployments == {}


def test_a_deployment_that_misses_a_requirement_is_not_kept(bench: DeployingBench) -> None:
    require = {"against": [], "metrics": ["accuracy"], "require": {"accuracy": ">= 0.99"}}
    run = bench.run(bench.write_kiln_job(deploy={"keep": True}, evaluate=require))
    assert bench.detail(run, Stage.EVALUATE)["missed"] == ["accuracy >= 0.99"]
    assert bench.server.deployments == {}


def test_a_failed_deployment_is_deleted_and_the_same_command_deploys_again(
    bench: DeployingBench,
) -> None:
    bench.server.states = ("warming", "cracked")
    job = bench.write_kiln_job()
    with pytest.raises(RunError, match=r"failed \(no free kiln\); the model itself is unharmed"):
        bench.run(job)
    assert bench.server.deployments == {}
    bench.server.states = ("warming", "up")
    run = bench.run(job)
    assert (run.status, run.job_id, bench.count(NAME)) == (RunStatus.SUCCEEDED, "1", 2)
    names = [record.name for record in bench.ledger.list_deployments(live=False)]
    assert len(set(names)) == 2


def test_an_error_of_the_evaluation_ends_the_deployment(bench: DeployingBench) -> None:
    job = bench.write_kiln_job()
    run = open_run(job, bench.context)
    (bench.folder / "validation.jsonl").unlink()
    bench.server.models.clear()
    stage = StageContext.load(run, bench.context)
    with pytest.raises(RunError, match="unclear"), deployments.deployed(with_model(stage, bench)):
        raise RunError("unclear")
    assert bench.server.deployments == {}
    assert bench.ledger.list_deployments() == []


def test_a_deletion_that_is_only_accepted_is_not_taken_for_the_end(
    bench: DeployingBench,
) -> None:
    bench.server.keeps_deployments = True
    run = bench.run(bench.write_kiln_job())
    assert run.status is RunStatus.SUCCEEDED
    (record,) = bench.ledger.list_deployments()
    assert record.ended_at is None
    assert any("is still ready after its deletion" in note for note in bench.recorder.notes)


def test_a_deployment_that_ended_by_itself_costs_nothing_more(bench: DeployingBench) -> None:
    bench.run(bench.write_kiln_job(deploy={"keep": True}))
    (record,) = bench.ledger.list_deployments()
    bench.server.deployments.clear()
    bench.clock.advance(60)
    ended = deployments.update(bench.ledger, bench.provider, record, bench.clock)
    assert ended.ended_at == bench.clock.now()
    assert bench.ledger.list_deployments() == []
    cost = ended.get_cost_usd(bench.clock.now() + timedelta(days=9))
    assert cost is not None
    assert cost < 1


def test_what_only_ftops_would_end_needs_an_approval_before_anything_is_sent(
    bench: DeployingBench,
) -> None:
    bench.set_rule(DeploymentRule(hourly_usd=1.7))
    job = bench.write_kiln_job()
    with pytest.raises(RunError, match="never ends it by itself; nothing was sent") as caught:
        bench.run(job)
    assert "--allow-open-ended" in caught.value.hint
    assert bench.server.datasets == {}
    context = dataclasses.replace(bench.context, allow_open_ended=True)
    assert drive(open_run(job, context), context).status is RunStatus.SUCCEEDED
    assert bench.server.deployments == {}


def test_a_model_that_answers_nothing_here_is_not_deployed(bench: DeployingBench) -> None:
    run = bench.run(bench.write_kiln_job(validation_file=None, evaluate={}))
    record = bench.ledger.get_stage(run.id, Stage.DEPLOY)
    assert record.status is StageStatus.SKIPPED
    assert record.detail["reason"] == "nothing is evaluated, and deploy.keep is not set"
    assert bench.count(NAME) == 0


def test_runs_at_providers_without_deployments_have_no_such_stage(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    run = bench.run(bench.write_job())
    assert Stage.DEPLOY not in [record.stage for record in bench.ledger.list_stages(run.id)]
    bench.ledger.close()


def test_an_unreachable_provider_leaves_the_deployment_recorded(bench: DeployingBench) -> None:
    bench.run(bench.write_kiln_job(deploy={"keep": True}))
    (record,) = bench.ledger.list_deployments()
    bench.server.is_reachable = False
    bench.set_rule(KILN.capabilities.deployment)
    with pytest.raises(Unreachable):
        deployments.end(bench.ledger, bench.provider, record, bench.clock)
    assert bench.ledger.list_deployments() == [record]


def load_stage(bench: DeployingBench, run: Run) -> StageContext:
    return StageContext.load(bench.ledger.get_run(run.id), bench.context)


def with_model(stage: StageContext, bench: DeployingBench) -> StageContext:
    """The stage of a run whose job has made the model clay@1."""
    bench.server.trainings.append(
        {"number": 1, "at_ms": 1, "phase": "DONE", "base": "clay", "model": "clay@1"}
    )
    bench.server.models.append("clay@1")
    run = dataclasses.replace(stage.run, job_id="1", fine_tuned_model="clay@1")
    return dataclasses.replace(stage, run=run)
