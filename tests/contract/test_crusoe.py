"""What is special about Crusoe: opaque ids of models, late names, curves, and its cloud API."""

from dataclasses import replace
from pathlib import Path

import pytest

from ftops.errors import NotFound, ProviderError, Rejected
from ftops.records import DeploymentRequest, Hyperparameters, Json, ProviderSettings
from tests.contract.crusoe_server import (
    CRUSOE_BASE,
    CRUSOE_KEY,
    CRUSOE_PROJECT,
    CrusoeServer,
)
from tests.contract.openai_like_site import OpenAILikeSite

MARK = "1a2b3c4d"
Sections = dict[str, dict[str, Json]]
DEDICATED: Sections = {"crusoe": {"deployment": "dedicated", "replicas": 2}}
Site = OpenAILikeSite[CrusoeServer]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    environ = {"CRUSOE_API_KEY": CRUSOE_KEY, "CRUSOE_PROJECT_ID": CRUSOE_PROJECT}
    return Site(ProviderSettings("crusoe"), CrusoeServer(), environ, tmp_path, CRUSOE_BASE)


def test_a_model_is_named_by_its_readable_name(site: Site) -> None:
    job = site.provider.create_job(site.make_request())
    assert site.server.bodies[0]["model"] == "model-0a1b2c"
    assert job.model == site.connect().get_job(job.id).model == CRUSOE_BASE
    assert {CRUSOE_BASE, "zai/GLM-5.2"} <= {model.id for model in site.provider.list_models()}


def test_a_model_may_be_named_by_its_id(site: Site) -> None:
    request = site.make_request(model="model-0a1b2c")
    job = site.provider.create_job(request)
    found = site.provider.find_job(request)
    assert found is not None
    assert (found.id, found.model) == (job.id, CRUSOE_BASE)


@pytest.mark.parametrize(
    ("model", "reason", "error"),
    [
        ("zai/GLM-5.2", "does not fine-tune 'zai/GLM-5.2'", Rejected),
        ("meta-llama/Llama-3.1-8B-Instuct", "has no model", NotFound),
    ],
)
def test_a_model_that_is_not_tunable_is_refused_with_the_tunable_ones(
    site: Site, model: str, reason: str, error: type[ProviderError]
) -> None:
    with pytest.raises(error, match=reason) as caught:
        site.provider.create_job(site.make_request(model=model))
    assert caught.value.is_refusal
    assert f"It fine-tunes: {CRUSOE_BASE}, openai/gpt-oss-120b." in caught.value.hint
    assert ("Did you mean" in caught.value.hint) == (error is NotFound)
    assert site.server.jobs == {}


def test_a_broken_catalogue_does_not_stop_a_job_from_being_followed(site: Site) -> None:
    job = site.provider.create_job(site.make_request())
    site.server.faults.missing = ("GET /models",)
    provider = site.connect()
    assert provider.get_job(job.id).model == "model-0a1b2c"
    assert provider.get_job(job.id).status == "succeeded"
    assert site.server.requests.count("GET /models") == 2  # once by each provider


def test_the_mark_ends_the_suffix_and_finds_its_job(site: Site) -> None:
    request = site.make_request(suffix="news", mark=MARK, seed=7, metadata={})
    job = site.provider.create_job(request)
    site.provider.create_job(replace(request, mark="ffffffff"))
    assert site.server.bodies[0]["suffix"] == "news-1a2b3c4d"
    found = site.connect().find_job(request)
    assert found is not None
    assert found.id == job.id


def test_a_seed_is_not_sent(site: Site) -> None:
    site.provider.create_job(site.make_request(seed=7))
    assert "seed" not in site.server.bodies[0]


def test_a_rate_is_sent_relative_or_absolute_never_both(site: Site) -> None:
    request = site.make_request(hyperparameters=Hyperparameters())
    site.provider.create_job(request)
    absolute = Hyperparameters(n_epochs=2, batch_size=32, learning_rate=1e-4)
    section: Sections = {
        "crusoe": {"lora_rank": 64, "lr_scheduler": "cosine", "project": "project-7"}
    }
    site.provider.create_job(replace(request, hyperparameters=absolute, sections=section))
    first, second = (body["method"]["supervised"]["hyperparameters"] for body in site.server.bodies)
    auto = {"n_epochs": "auto", "batch_size": "auto", "learning_rate_multiplier": "auto"}
    assert first == auto
    assert second == {
        "n_epochs": 2,
        "batch_size": 32,
        "learning_rate": 1e-4,
        "lora_rank": 64,
        "lr_scheduler": "cosine",
    }


def test_the_name_of_a_model_may_come_late(site: Site) -> None:
    site.server.faults.late_name = 2
    job = site.provider.create_job(site.make_request())
    seen = [site.provider.get_job(job.id) for _ in range(5)]
    assert [item.status for item in seen] == ["running"] + 4 * ["succeeded"]
    assert [item.fine_tuned_model is None for item in seen] == [True, True, True, False, False]


def test_events_in_no_order_are_sorted_and_listed_once(site: Site) -> None:
    job = site.train()
    events = site.provider.list_events(job.id, known=frozenset())
    assert [event.message for event in events] == [f"step {number}" for number in range(12)]
    known = frozenset(event.id for event in events[3:])
    assert site.provider.list_events(job.id, known=known) == events[:3]


def test_of_two_names_of_a_checkpoint_the_one_that_can_be_deployed_counts(site: Site) -> None:
    job = site.train()
    checkpoints = site.provider.list_checkpoints(job.id)
    assert [(item.step, item.model) for item in checkpoints] == [
        (20, f"ftmodel-{job.id}-20"),
        (40, f"ftmodel-{job.id}-40"),
    ]


def test_the_curve_has_its_own_route(site: Site) -> None:
    assert site.provider.read_training_metrics(site.train()) == (
        b"step,train_loss,valid_loss\n10,2.5,\n20,2.0,2.25\n30,1.75,\n40,1.5,1.625\n"
    )


def test_the_provider_estimates_the_price(site: Site) -> None:
    request = site.make_request()
    assert site.provider.estimate_cost(request) == 0.42
    assert site.server.jobs == {}
    site.server.faults.missing = ("POST /fine_tuning/jobs/estimate_price",)
    assert site.provider.estimate_cost(request) is None


def test_the_weights_are_an_archive(site: Site) -> None:
    job = site.train()
    (path,) = site.provider.download_weights(job, site.home / "weights")
    assert path.name == f"{job.fine_tuned_model}.zip"
    assert path.read_bytes() == b"PK" + bytes(5000)


def test_an_adapter_is_loaded_and_called_by_the_name_of_its_model(site: Site) -> None:
    job = site.train()
    request = DeploymentRequest("ftops-numbers", job, max_s=3600.0)
    assert site.provider.estimate_hourly_cost(request) == 0.0
    deployment = site.deploy(request)
    assert (deployment.status, deployment.model) == ("ready", job.fine_tuned_model)
    assert site.provider.find_deployment(request) == replace(deployment, name="ftops-numbers")
    assert [item.id for item in site.provider.list_deployments()] == [deployment.id]
    assert site.server.hosts == {"api.intelligence.crusoecloud.com", "api.crusoecloud.com"}


def test_an_adapter_that_the_provider_unloads_is_gone(site: Site) -> None:
    deployment = site.deploy(DeploymentRequest("ftops-numbers", site.train(), max_s=3600.0))
    (adapter,) = site.server.adapters.values()
    adapter["status"] = "expired"
    with pytest.raises(NotFound, match="is deleted"):
        site.provider.get_deployment(deployment.id)


def test_a_dedicated_deployment_runs_on_the_cheapest_hardware_that_fits(site: Site) -> None:
    request = DeploymentRequest("ftops-numbers", site.train(), 3600.0, DEDICATED)
    assert site.provider.estimate_hourly_cost(request) == 11.0
    created = site.provider.create_deployment(request)
    assert (created.status, created.hourly_usd) == ("provisioning", 11.0)
    ready = site.provider.get_deployment(created.id)
    assert (ready.status, ready.model, ready.hourly_usd) == ("ready", "ftops-numbers", 11.0)
    found = site.provider.find_deployment(request)
    assert found is not None
    assert found.id == ready.id
    assert list(site.provider.list_deployments()) == [ready]
    rule = site.provider.find_deployment_rule(DEDICATED)
    assert rule is not None
    assert (rule.hourly, rule.ends) == (True, "never")


def test_hardware_that_does_not_exist_is_refused_with_what_there_is(site: Site) -> None:
    section: Sections = {"crusoe": {"deployment": "dedicated", "flavor": "flavor-a100"}}
    request = DeploymentRequest("ftops-numbers", site.train(), 3600.0, section)
    with pytest.raises(NotFound, match="no hardware flavor-a100;") as caught:
        site.provider.create_deployment(request)
    assert "flavor-h200, flavor-h100" in caught.value.hint
    assert site.server.dedicated == {}


@pytest.mark.parametrize("sections", [{}, DEDICATED])
def test_a_deployment_is_deleted_although_it_is_busy_at_first(
    site: Site, sections: Sections
) -> None:
    request = DeploymentRequest("ftops-numbers", site.train(), 3600.0, sections)
    deployment = site.provider.create_deployment(request)
    site.server.busy_deletes = 2
    site.provider.delete_deployment(deployment.id)
    assert site.provider.get_deployment(deployment.id).status == "deleting"  # accepted, not done
    with pytest.raises(NotFound):
        site.provider.get_deployment(deployment.id)


@pytest.mark.parametrize("sections", [{}, DEDICATED])
def test_a_lost_deployment_is_found(site: Site, sections: Sections) -> None:
    request = DeploymentRequest("ftops-numbers", site.train(), 3600.0, sections)
    site.server.faults.lost = ["POST .*/(loras|deployments)"]
    with pytest.raises(ProviderError):
        site.provider.create_deployment(request)
    found = site.provider.find_deployment(request)
    assert found is not None
    assert len(site.server.adapters) + len(site.server.dedicated) == 1


def test_a_deployment_that_fails_says_why(site: Site) -> None:
    site.server.faults.deployment_error = "rank 512 is not supported"
    deployment = site.deploy(DeploymentRequest("ftops-numbers", site.train(), 3600.0))
    assert (deployment.status, deployment.error) == ("failed", "rank 512 is not supported")


def test_the_other_cloud_host_is_used_if_one_refuses_the_key(site: Site) -> None:
    site.server.refusing_hosts = frozenset({"api.crusoecloud.com"})
    deployment = site.deploy(DeploymentRequest("ftops-numbers", site.train(), 3600.0))
    assert deployment.status == "ready"
    assert "api.cloud.crusoe.ai" in site.server.hosts


def test_a_missing_project_is_refused_with_what_to_write(site: Site) -> None:
    request = DeploymentRequest("ftops-numbers", site.train(), 3600.0)
    provider = site.connect(CRUSOE_PROJECT_ID="")
    sent = len(site.server.requests)
    with pytest.raises(ProviderError, match="none is named; nothing was sent") as caught:
        provider.create_deployment(request)
    assert "crusoe: {project: ID}" in caught.value.hint
    assert len(site.server.requests) == sent
    named = replace(request, sections={"crusoe": {"project": CRUSOE_PROJECT}})
    assert provider.create_deployment(named).status == "pending"


def test_another_address_gets_the_key_for_all_requests_and_no_host_of_crusoe_does(
    site: Site,
) -> None:
    settings = ProviderSettings(
        "crusoe", base_url="http://127.0.0.1:9/v1", api_key_env="CRUSOE_API_KEY"
    )
    job = site.train()
    site.server.hosts.clear()
    site.connect(settings).create_deployment(DeploymentRequest("ftops-numbers", job, 3600.0))
    assert site.server.hosts == {"127.0.0.1"}
