"""What is special about Nebius: adapters by default, marks in suffixes, weights in checkpoints."""

from dataclasses import replace
from pathlib import Path

import pytest

from ftops.errors import InvalidResponse, NotFound, ProviderError, Rejected, SpecError
from ftops.providers.registry import PROVIDERS, get_capabilities
from ftops.records import DeploymentRequest, Hyperparameters, ProviderSettings
from ftops.runs.reconcile import read_request, render_request
from ftops.spec.job_file import check_provider, load_job
from ftops.spec.schema import render_reference
from tests.contract.nebius_server import NEBIUS_BASE, NEBIUS_KEY, NebiusServer
from tests.contract.openai_like_site import OpenAILikeSite
from tests.runs.bench import write_job

MARK = "1a2b3c4d"
Site = OpenAILikeSite[NebiusServer]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    environ = {"NEBIUS_API_KEY": NEBIUS_KEY}
    return Site(ProviderSettings("nebius"), NebiusServer(), environ, tmp_path, NEBIUS_BASE)


def get_hyperparameters(site: Site) -> dict[str, object]:
    """The hyperparameters in the last request for a job."""
    sent: dict[str, object] = site.server.bodies[-1]["method"]["supervised"]["hyperparameters"]
    return sent


def test_adapters_are_trained_unless_the_job_file_says_otherwise(site: Site) -> None:
    request = site.make_request()
    site.provider.create_job(request)
    assert get_hyperparameters(site) == {"n_epochs": 2, "lora": True}
    full = replace(request, sections={"nebius": {"lora": False, "context_length": 4096}})
    site.provider.create_job(full)
    assert get_hyperparameters(site) == {"n_epochs": 2, "lora": False, "context_length": 4096}


def test_auto_is_not_sent(site: Site) -> None:
    site.provider.create_job(site.make_request(hyperparameters=Hyperparameters()))
    assert get_hyperparameters(site) == {"lora": True}


def test_a_relative_learning_rate_is_refused_with_what_to_write(site: Site) -> None:
    fields = {"learning_rate_multiplier": 2}
    job = write_job(site.home, provider="nebius", model=NEBIUS_BASE, hyperparameters=fields)
    with pytest.raises(SpecError, match="nebius takes no learning_rate_multiplier") as caught:
        check_provider(job, get_capabilities(site.settings))
    assert "write learning_rate instead" in str(caught.value)
    request = site.make_request(hyperparameters=Hyperparameters(learning_rate_multiplier=2.0))
    with pytest.raises(Rejected, match="'learning_rate_multiplier'; nothing was sent"):
        site.provider.create_job(request)
    site.provider.create_job(replace(request, hyperparameters=Hyperparameters(learning_rate=2e-5)))
    assert get_hyperparameters(site)["learning_rate"] == 2e-5


def test_the_section_is_checked_and_says_that_full_training_costs_more(site: Site) -> None:
    path = write_job(site.home).path
    head = f"name: a\nprovider: nebius\nmodel: {NEBIUS_BASE}\ntraining_file: train.jsonl\n"
    path.write_text(head + "nebius: {lora_r: 7}\n")
    with pytest.raises(SpecError, match="lora_r must be a whole number from 8 to 128, not 7"):
        load_job(path, environ={}, providers=PROVIDERS)
    path.write_text(head + "nebius: {lora_r: 16, packing: false}\n")
    job = load_job(path, environ={}, providers=PROVIDERS)
    assert job.spec.sections == {"nebius": {"lora_r": 16, "packing": False}}
    assert "`false` trains all weights, which costs more" in render_reference(PROVIDERS)


def test_the_mark_ends_the_suffix_and_finds_its_job(site: Site) -> None:
    request = site.make_request(suffix="news", mark=MARK, seed=7)
    job = site.provider.create_job(request)
    other = site.provider.create_job(replace(request, mark="ffffffff"))
    assert [body["suffix"] for body in site.server.bodies] == ["news-1a2b3c4d", "news-ffffffff"]
    assert all(body["seed"] == 7 for body in site.server.bodies)
    found = site.provider.find_job(read_request(render_request(request)))
    assert found is not None
    assert found.id == job.id != other.id
    assert site.provider.find_job(replace(request, mark="00000000")) is None
    unmarked = site.provider.find_job(replace(request, mark=""))
    assert unmarked is not None
    assert unmarked.id == other.id  # the newest with the same parameters
    assert site.provider.find_job(replace(request, mark="", suffix="new")) is None


def test_a_failed_job_is_found_by_its_mark(site: Site) -> None:
    request = site.make_request(mark=MARK)
    job = site.provider.create_job(request)
    site.provider.cancel_job(job.id)
    found = site.provider.find_job(request)
    assert found is not None
    assert (found.id, found.status) == (job.id, "cancelled")


def test_the_longest_suffix_is_shorter_by_the_mark(site: Site) -> None:
    job = write_job(site.home, provider="nebius", model=NEBIUS_BASE, suffix="s" * 56)
    with pytest.raises(SpecError, match="a suffix of at most 55 characters; this one has 56"):
        check_provider(job, get_capabilities(site.settings))
    site.provider.create_job(site.make_request(suffix="s" * 55, mark=MARK))
    assert len(site.server.bodies[0]["suffix"]) == 64


def test_a_job_runs_at_once_and_shows_its_figures(site: Site) -> None:
    request = site.make_request()
    job = site.provider.create_job(request)
    assert (job.status, job.hyperparameters["learning_rate"]) == ("running", 1e-5)
    assert "learning_rate_multiplier" not in job.hyperparameters
    done = site.train(request)
    assert (done.status, done.trained_tokens) == ("succeeded", 1234)


def test_new_events_follow_the_known_ones_although_the_oldest_is_listed_first(site: Site) -> None:
    job = site.provider.create_job(site.make_request())
    first = site.provider.list_events(job.id, known=frozenset())
    assert [event.message for event in first][:1] == ["Job is submitted"]
    site.provider.get_job(job.id)
    later = site.provider.list_events(job.id, known=frozenset(event.id for event in first))
    assert [event.message for event in later] == ["Training completed successfully"]


def test_a_refused_field_is_named_without_advice_about_the_address(site: Site) -> None:
    request = site.make_request(hyperparameters=Hyperparameters(n_epochs=21))
    with pytest.raises(Rejected, match=r"body\.n_epochs: Input is not valid: 21") as caught:
        site.provider.create_job(request)
    assert caught.value.is_refusal
    assert "base_url" not in caught.value.hint


def test_an_unknown_status_has_not_ended(site: Site) -> None:
    site.server.statuses = ("running", "exporting_adapter", "succeeded")
    job = site.provider.create_job(site.make_request())
    job = site.provider.get_job(job.id)
    assert (job.status, job.ended) == ("exporting_adapter", False)


def test_a_job_that_vanishes_is_not_found(site: Site) -> None:
    job = site.provider.create_job(site.make_request())
    site.server.faults.gone = True
    with pytest.raises(NotFound):
        site.provider.get_job(job.id)


def test_a_lost_answer_is_not_sent_again(site: Site) -> None:
    request = site.make_request(mark=MARK)
    site.server.faults.lost = ["POST /fine_tuning/jobs"]
    with pytest.raises(ProviderError) as caught:
        site.provider.create_job(request)
    assert not caught.value.is_refusal
    assert len(site.server.jobs) == 1
    site.server.faults.hidden_lists = 1
    assert site.provider.find_job(request) is None
    found = site.provider.find_job(request)
    assert found is not None
    assert found.id in site.server.jobs


def test_the_curve_has_a_step_for_each_checkpoint(site: Site) -> None:
    job = site.train()
    assert site.provider.read_training_metrics(job) == (
        b"step,train_loss,valid_loss\n10,3.0,2.75\n20,2.5,2.25\n"
    )


def test_a_checkpoint_without_a_name_has_its_id(site: Site) -> None:
    job = site.train()
    checkpoints = site.provider.list_checkpoints(job.id)
    assert [(item.step, item.model) for item in checkpoints] == [
        (10, checkpoints[0].id),
        (20, checkpoints[1].id),
    ]
    assert job.fine_tuned_model == checkpoints[-1].id


def test_the_weights_are_the_files_of_the_last_checkpoint(site: Site) -> None:
    job = site.train()
    paths = site.provider.download_weights(job, site.home / "weights")
    assert {path.name: path.read_bytes() for path in paths} == {
        "adapter_config.json": b"adapter_config.json 2",
        "adapter_model.safetensors": b"adapter_model.safetensors 2",
    }
    assert sorted(paths) == sorted((site.home / "weights").iterdir())


def test_weights_that_are_complete_are_not_downloaded_again(site: Site) -> None:
    job = site.train()
    paths = site.provider.download_weights(job, site.home / "weights")
    paths[0].write_bytes(b"cut off")
    site.server.requests.clear()
    assert site.provider.download_weights(job, site.home / "weights") == paths
    assert sum(request.endswith("/content") for request in site.server.requests) == 1
    assert paths[0].read_bytes() == b"adapter_config.json 2"


def test_a_deployment_answers_under_the_name_that_the_server_completes(site: Site) -> None:
    request = DeploymentRequest("ftops-numbers", site.train(), max_s=3600.0)
    deployment = site.deploy(request)
    assert deployment.name == "ftops-numbers"
    assert deployment.model.startswith("meta-llama/Meta-Llama-3.1-8B-Instruct-LoRa:ftops-numbers-")
    assert (deployment.status, deployment.hourly_usd) == ("ready", 0.0)
    assert site.provider.find_deployment(request) == deployment
    assert site.provider.find_deployment(replace(request, name="ftops-number")) is None
    assert list(site.provider.list_deployments()) == [deployment]
    naming = site.provider.capabilities.naming
    assert naming.find_base_model(deployment.model) == "meta-llama/Meta-Llama-3.1-8B-Instruct"
    site.provider.delete_deployment(deployment.id)
    with pytest.raises(NotFound):
        site.provider.get_deployment(deployment.id)


def test_a_new_deployment_that_is_not_found_yet_is_not_gone(site: Site) -> None:
    request = DeploymentRequest("ftops-numbers", site.train(), max_s=3600.0)
    deployment = site.provider.create_deployment(request)
    site.server.faults.missing = ("GET /v0/models/.+",)
    assert site.provider.get_deployment(deployment.id).status == "validating"
    site.clock.advance(61.0)
    with pytest.raises(NotFound):
        site.provider.get_deployment(deployment.id)


def test_a_lost_deployment_is_found_by_its_name(site: Site) -> None:
    request = DeploymentRequest("ftops-numbers", site.train(), max_s=3600.0)
    site.server.faults.lost = ["POST /v0/models"]
    with pytest.raises(ProviderError):
        site.provider.create_deployment(request)
    found = site.provider.find_deployment(request)
    assert found is not None
    assert list(site.server.deployed) == [found.id]


def test_a_deployment_that_fails_says_why(site: Site) -> None:
    site.server.faults.deployment_error = "rank 16 is not supported"
    deployment = site.deploy(DeploymentRequest("ftops-numbers", site.train(), max_s=3600.0))
    assert (deployment.status, deployment.error) == ("failed", "rank 16 is not supported")


def test_a_base_that_is_not_served_is_refused_before_anything_is_sent(site: Site) -> None:
    job = site.train(site.make_request(model="Qwen/Qwen3-32B"))
    sent = len(site.server.requests)
    with pytest.raises(Rejected, match=r"fine-tuned from Qwen/Qwen3-32B; nothing") as caught:
        site.provider.create_deployment(DeploymentRequest("ftops-numbers", job, max_s=3600.0))
    assert "ftops models download" in caught.value.hint
    assert len(site.server.requests) == sent


def test_an_answer_about_another_job_is_malformed(site: Site) -> None:
    first, second = (site.provider.create_job(site.make_request()) for _ in range(2))
    site.server.jobs[first.id] = site.server.jobs[second.id]
    with pytest.raises(InvalidResponse, match=second.id):
        site.provider.get_job(first.id)
