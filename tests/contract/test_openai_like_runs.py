"""Whole runs at the servers with OpenAI's API, without and with faults of the server."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ftops.errors import FtopsError, ProviderError, RunError
from ftops.providers.registry import PROVIDERS
from ftops.records import ProviderSettings, RunStatus, Stage
from ftops.spec.job_file import LoadedJob, load_job
from tests.contract.azure_server import AZURE_BASE, AZURE_ENVIRON, AzureServer
from tests.contract.crusoe_server import CRUSOE_BASE, CRUSOE_KEY, CRUSOE_PROJECT, CrusoeServer
from tests.contract.nebius_server import NEBIUS_BASE, NEBIUS_KEY, NebiusServer
from tests.contract.openai_like_site import OpenAILikeSite
from tests.runs.bench import Bench

CREATE = "POST /fine_tuning/jobs"
DEPLOY = {
    "nebius": "POST /v0/models",
    "crusoe": "POST .*/loras",
    "azure": "PUT .*/deployments/.*",
}
Site = OpenAILikeSite[Any]


def make_nebius(home: Path) -> Site:
    environ = {"NEBIUS_API_KEY": NEBIUS_KEY}
    return Site(ProviderSettings("nebius"), NebiusServer(), environ, home, NEBIUS_BASE)


def make_crusoe(home: Path) -> Site:
    environ = {"CRUSOE_API_KEY": CRUSOE_KEY, "CRUSOE_PROJECT_ID": CRUSOE_PROJECT}
    return Site(ProviderSettings("crusoe"), CrusoeServer(), environ, home, CRUSOE_BASE)


def make_azure(home: Path) -> Site:
    return Site(ProviderSettings("azure"), AzureServer(), AZURE_ENVIRON, home, AZURE_BASE)


@pytest.fixture(params=[make_nebius, make_crusoe, make_azure], ids=["nebius", "crusoe", "azure"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    make: Callable[[Path], Site] = request.param
    return make(tmp_path)


@pytest.fixture
def bench(site: Site) -> Iterator[Bench]:
    bench = site.open_bench()
    yield bench
    bench.ledger.close()


def load(site: Site, bench: Bench, **fields: object) -> LoadedJob:
    """The same job file at each provider, but for its provider and model."""
    sections = {"azure": {"azure": {"sku": "DeveloperTier"}}}.get(site.settings.type, {})
    values = {"model": site.model, "suffix": "numbers", "seed": 7, "evaluate": {"against": []}}
    path = bench.write_job(provider=site.settings.type, **{**values, **fields}).path
    path.write_text(json.dumps(json.loads(path.read_text()) | sections))
    return load_job(path, environ={}, providers=PROVIDERS)


def count_deployments(site: Site) -> int:
    return len(list(site.provider.list_deployments()))


def test_a_job_file_completes_all_stages(site: Site, bench: Bench) -> None:
    run = bench.run(load(site, bench))
    assert run.status is RunStatus.SUCCEEDED
    statuses = dict(zip(Stage, bench.statuses(run), strict=True))
    assert statuses[Stage.DEPLOY] == statuses[Stage.EVALUATE] == "succeeded"
    assert bench.detail(run, Stage.EVALUATE)["rows"] == 3
    assert count_deployments(site) == 0  # ended after the evaluation
    rows = [json.loads(line) for line in site.server.contents["file-00000001"].splitlines()]
    assert rows[0]["messages"][-1]["role"] == "assistant"


def test_the_same_job_file_finds_its_run_again(site: Site, bench: Bench) -> None:
    job = load(site, bench)
    run = bench.run(job)
    assert bench.run(job).id == run.id
    assert len(site.server.jobs) == 1


@pytest.mark.parametrize("fault", ["lost", "unavailable_after"])
def test_an_answer_that_is_lost_after_the_creation_leaves_one_job(
    site: Site, bench: Bench, fault: str
) -> None:
    getattr(site.server.faults, fault).append(CREATE)
    site.server.faults.hidden_lists = 3
    run = bench.run(load(site, bench))
    assert run.status is RunStatus.SUCCEEDED
    assert list(site.server.jobs) == [run.job_id]
    assert site.server.requests.count(CREATE) == 1


def test_a_503_before_the_creation_is_followed_by_one_job(site: Site, bench: Bench) -> None:
    site.server.faults.unavailable.append(CREATE)
    job = load(site, bench)
    with pytest.raises(RunError, match="may or may not exist"):
        bench.run(job)
    assert bench.run(job).status is RunStatus.SUCCEEDED
    assert len(site.server.jobs) == 1


def test_two_runs_of_one_file_have_a_job_each(site: Site, bench: Bench) -> None:
    job = load(site, bench)
    first = bench.run(job)
    site.server.faults.lost.append(CREATE)
    second = bench.run(job, new=True)
    assert second.status is RunStatus.SUCCEEDED
    assert first.job_id != second.job_id
    assert set(site.server.jobs) == {first.job_id, second.job_id}


def test_the_name_of_a_model_may_come_late(site: Site, bench: Bench) -> None:
    site.server.faults.late_name = 3
    run = bench.run(load(site, bench))
    assert run.status is RunStatus.SUCCEEDED
    assert run.fine_tuned_model


def test_an_unknown_status_has_not_ended(site: Site, bench: Bench) -> None:
    site.server.statuses = ("queued", "exporting_adapter", "succeeded")
    assert bench.run(load(site, bench)).status is RunStatus.SUCCEEDED
    assert "job exporting_adapter" in bench.recorder.steps


def test_a_job_that_vanishes_while_it_is_followed_is_not_replaced(site: Site, bench: Bench) -> None:
    site.server.faults.gone = True
    job = load(site, bench)
    with pytest.raises(ProviderError, match="may still be running"):
        bench.run(job)
    site.server.faults.gone = False
    assert bench.run(job).status is RunStatus.SUCCEEDED
    assert len(site.server.jobs) == 1


def test_a_deployment_that_fails_costs_nothing_and_keeps_the_training(
    site: Site, bench: Bench
) -> None:
    site.server.faults.deployment_error = "no capacity"
    job = load(site, bench)
    with pytest.raises(FtopsError):
        bench.run(job)
    site.server.faults.deployment_error = ""
    run = bench.run(job, retry=True)
    assert run.status is RunStatus.SUCCEEDED
    assert list(site.server.jobs) == [run.job_id]
    assert count_deployments(site) == 0


def test_a_deployment_whose_answer_is_lost_is_found_and_ended(site: Site, bench: Bench) -> None:
    site.server.faults.lost.append(DEPLOY[site.settings.type])
    assert bench.run(load(site, bench)).status is RunStatus.SUCCEEDED
    assert count_deployments(site) == 0


def test_a_missing_price_route_is_no_reason_not_to_train(site: Site, bench: Bench) -> None:
    site.server.faults.missing = ("POST /fine_tuning/jobs/estimate_price",)
    assert bench.run(load(site, bench)).status is RunStatus.SUCCEEDED


def test_a_base_that_is_not_served_is_trained_but_neither_deployed_nor_evaluated(
    tmp_path: Path,
) -> None:
    site = make_nebius(tmp_path)
    bench = site.open_bench()
    run = bench.run(load(site, bench, model="Qwen/Qwen3-32B"))
    assert run.status is RunStatus.SUCCEEDED
    statuses = dict(zip(Stage, bench.statuses(run), strict=True))
    assert statuses[Stage.DEPLOY] == statuses[Stage.EVALUATE] == "skipped"
    assert site.server.deployed == {}
    path = tmp_path / "job.yaml"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model": site.model}))
    served = load_job(path, environ={}, providers=PROVIDERS).spec
    assert site.provider.is_served(served.model, served.sections)
    assert not site.provider.is_served(served.model, {"nebius": {"lora": False}})
    bench.ledger.close()


@pytest.mark.parametrize(
    ("make", "missing", "advice"),
    [
        (make_crusoe, "CRUSOE_PROJECT_ID", "crusoe: {project: ID}"),
        (make_azure, "AZURE_RESOURCE_GROUP", "azure: {subscription: …, resource_group: …}"),
    ],
)
def test_a_missing_setting_of_the_deployment_is_refused_before_anything_is_sent(
    tmp_path: Path, make: Callable[[Path], Site], missing: str, advice: str
) -> None:
    site = make(tmp_path)
    bench = site.open_bench()
    bench.provider = site.connect(None, **{missing: ""})  # type: ignore[assignment]
    with pytest.raises(ProviderError, match="nothing was sent") as caught:
        bench.run(load(site, bench))
    assert advice in caught.value.hint
    assert site.server.requests == []
    assert bench.run(load(site, bench, validation_file=None), new=True).status == "succeeded"
    bench.ledger.close()
