"""What is special about Azure: an address for each customer, and deployments by another API."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from ftops.errors import AuthFailed, NotFound, NotTrusted, ProviderError, Rejected
from ftops.providers.azure import TOKEN_COMMAND, AzureDeployments
from ftops.providers.openai import OpenAIProvider
from ftops.providers.registry import find_destination, list_catalog_tables
from ftops.records import DeploymentRequest, Hyperparameters, Method, ProviderSettings
from tests.contract.azure_server import (
    AZURE_BASE,
    AZURE_ENVIRON,
    AZURE_KEY,
    AZURE_TOKEN,
    AZURE_URL,
    MANAGEMENT_HOST,
    AzureServer,
)
from tests.contract.openai_like_site import OpenAILikeSite

DEVELOPER = {"azure": {"sku": "DeveloperTier"}}
Site = OpenAILikeSite[AzureServer]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(ProviderSettings("azure"), AzureServer(), AZURE_ENVIRON, tmp_path, AZURE_BASE)


def test_the_training_type_is_always_sent(site: Site) -> None:
    request = site.make_request()
    site.provider.create_job(request)
    site.provider.create_job(replace(request, sections={"azure": {"training_type": "Developer"}}))
    sent = [body["trainingType"] for body in site.server.bodies]
    assert sent == ["GlobalStandard", "Developer"]


def test_a_job_waits_and_has_nulls(site: Site) -> None:
    request = site.make_request(hyperparameters=Hyperparameters())
    job = site.provider.create_job(request)
    assert (job.status, job.ended, job.result_files) == ("pending", False, ())
    assert job.hyperparameters["n_epochs"] == "auto"  # -1 at Azure


def test_preferences_are_trained_on(site: Site) -> None:
    site.provider.create_job(site.make_request(method=Method.DPO))
    assert site.server.bodies[0]["method"]["type"] == "dpo"


@pytest.mark.parametrize("keeps_metadata", [True, False])
def test_a_job_is_found_whether_metadata_is_returned_or_not(
    site: Site, keeps_metadata: bool
) -> None:
    site.server.keeps_metadata = keeps_metadata
    request = site.make_request(metadata={"ftops_run": "run-1", "ftops_key": "key-1"})
    job = site.provider.create_job(request)
    found = site.provider.find_job(request)
    assert found is not None
    assert found.id == job.id
    other = replace(request, metadata={"ftops_run": "run-2", "ftops_key": "key-2"})
    assert (site.provider.find_job(other) is None) == keeps_metadata


def test_a_resource_has_its_own_address_and_needs_approval_for_the_key(tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match="another address for each customer") as caught:
        find_destination(ProviderSettings("azure"), {})
    assert "base_url: https://RESOURCE.openai.azure.com/openai/v1" in caught.value.hint
    named = ProviderSettings("azure", base_url="https://evil.openai.azure.com/openai/v1")
    destination = find_destination(named, {})
    assert destination is not None
    assert (destination.key_variable, destination.is_approved) == ("AZURE_OPENAI_API_KEY", False)
    own = find_destination(ProviderSettings("azure"), {"AZURE_OPENAI_BASE_URL": AZURE_URL})
    assert own is not None
    assert own.is_approved
    assert list_catalog_tables(named, {})[-1] == "azure"
    site = Site(ProviderSettings("azure"), AzureServer(), AZURE_ENVIRON, tmp_path, AZURE_BASE)
    with pytest.raises(NotTrusted):
        list(site.connect(named).list_models())
    assert site.server.requests == []


def test_a_model_answers_under_the_name_of_its_deployment(site: Site) -> None:
    job = site.train(site.make_request(suffix="news"))
    assert job.fine_tuned_model == f"{AZURE_BASE}.ft-00000002-news"
    request = DeploymentRequest("ftops-numbers", job, max_s=3600.0)
    assert site.provider.estimate_hourly_cost(request) == 1.70
    created = site.provider.create_deployment(request)
    assert (created.status, created.hourly_usd, created.expires_at) == ("creating", 1.70, None)
    ready = site.provider.get_deployment(created.id)
    assert (ready.status, ready.model) == ("ready", "ftops-numbers")
    assert site.provider.find_deployment(request) == ready
    assert list(site.provider.list_deployments()) == [ready]  # not that of a base model


def test_a_deployment_of_the_developer_tier_is_free_and_expires(site: Site) -> None:
    request = DeploymentRequest("ftops-numbers", site.train(), 3600.0, DEVELOPER)
    assert site.provider.estimate_hourly_cost(request) == 0.0
    created = site.provider.create_deployment(request)
    assert created.hourly_usd == 0.0
    assert created.expires_at == site.clock.now() + timedelta(hours=24)
    rule = site.provider.find_deployment_rule(DEVELOPER)
    assert rule is not None
    assert (rule.hourly, rule.ends) == (False, "expiry")


def test_a_repeated_request_makes_one_deployment(site: Site) -> None:
    request = DeploymentRequest("ftops-numbers", site.train(), max_s=3600.0)
    site.server.faults.lost = ["PUT .*"]
    with pytest.raises(ProviderError):
        site.provider.create_deployment(request)
    assert site.provider.create_deployment(request).name == "ftops-numbers"
    puts = [call for call in site.server.requests if call.startswith("PUT")]
    assert (len(puts), len(site.server.deployments)) == (1, 1)


def test_the_deployment_of_another_model_is_not_replaced(site: Site) -> None:
    first, second = site.train(), site.train()
    site.provider.create_deployment(DeploymentRequest("chat-prod", first, max_s=3600.0))
    with pytest.raises(Rejected, match=f"has another model: {first.fine_tuned_model}"):
        site.provider.create_deployment(DeploymentRequest("chat-prod", second, max_s=3600.0))
    model = site.server.deployments["chat-prod"]["properties"]["model"]
    assert model["name"] == first.fine_tuned_model


def test_a_deleted_deployment_is_gone_once_the_provider_says_so(site: Site) -> None:
    deployment = site.deploy(DeploymentRequest("ftops-numbers", site.train(), max_s=3600.0))
    site.provider.delete_deployment(deployment.id)
    assert site.provider.get_deployment(deployment.id).status == "deleting"
    with pytest.raises(NotFound):
        site.provider.get_deployment(deployment.id)
    with pytest.raises(NotFound):
        site.provider.delete_deployment(deployment.id)


def test_a_deployment_that_fails_has_ended(site: Site) -> None:
    site.server.faults.deployment_error = "no capacity"
    deployment = site.deploy(DeploymentRequest("ftops-numbers", site.train(), max_s=3600.0))
    assert (deployment.status, deployment.ended) == ("failed", True)


def test_the_token_goes_to_the_management_api_alone(site: Site) -> None:
    site.deploy(DeploymentRequest("ftops-numbers", site.train(), max_s=3600.0))
    hosts = {
        key: {host for host, header in site.server.tokens if header == f"Bearer {key}"}
        for key in (AZURE_TOKEN, AZURE_KEY)
    }
    assert hosts[AZURE_TOKEN] == {MANAGEMENT_HOST}
    assert hosts[AZURE_KEY] == {"acme.openai.azure.com"}


def test_a_missing_subscription_is_refused_with_what_to_write(site: Site) -> None:
    provider = site.connect(AZURE_SUBSCRIPTION_ID="", AZURE_RESOURCE_GROUP="")
    request = DeploymentRequest("ftops-numbers", site.train(), max_s=3600.0)
    sent = len(site.server.requests)
    with pytest.raises(
        ProviderError, match="subscription and resource_group of it are missing; nothing was sent"
    ) as caught:
        provider.create_deployment(request)
    assert "azure: {subscription: …, resource_group: …}" in caught.value.hint
    assert len(site.server.requests) == sent
    section = {"azure": {"subscription": "sub-1", "resource_group": "group-1", "account": "acme"}}
    named = DeploymentRequest("ftops-numbers", request.job, 3600.0, section)
    assert provider.create_deployment(named).name == "ftops-numbers"


class FakeCommand:
    """The Azure command line, which gives one token after the other."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = list(tokens)
        self.commands: list[Sequence[str]] = []

    def __call__(
        self, command: Sequence[str], **_options: object
    ) -> "subprocess.CompletedProcess[str]":
        self.commands.append(command)
        if not self.tokens:
            return subprocess.CompletedProcess(command, 1, "", "Please run 'az login'")
        output = json.dumps({"accessToken": self.tokens.pop(0), "tokenType": "Bearer"})
        return subprocess.CompletedProcess(command, 0, output, "")


def make_deployments(site: Site, command: FakeCommand) -> AzureDeployments:
    """Deployments with a token of the command line."""
    provider = site.connect(AZURE_TOKEN="")
    assert isinstance(provider, OpenAIProvider)
    return AzureDeployments(provider._server, run_command=command)


def test_a_token_of_the_command_line_is_read_once_and_again_when_it_is_refused(
    site: Site,
) -> None:
    command = FakeCommand(AZURE_TOKEN, "entra-token-2")
    deployments = make_deployments(site, command)
    request = DeploymentRequest("ftops-numbers", site.train(), max_s=3600.0)
    created = deployments.create_deployment(request)
    deployments.get_deployment(created.id)
    assert command.commands == [TOKEN_COMMAND]
    site.server.token = "entra-token-2"  # the first has expired
    assert deployments.get_deployment(created.id).status == "ready"
    assert len(command.commands) == 2


def test_a_missing_token_is_refused_with_the_command_to_sign_in(site: Site) -> None:
    deployments = make_deployments(site, FakeCommand())
    with pytest.raises(AuthFailed, match="no token for Azure's management API") as caught:
        next(deployments.list_deployments())
    assert "az login" in caught.value.hint
    assert "AZURE_TOKEN" in caught.value.hint


def test_a_refused_token_is_in_no_message(site: Site) -> None:
    site.server.token = "another"
    with pytest.raises(AuthFailed) as caught:
        next(site.provider.list_deployments())
    assert AZURE_TOKEN not in str(caught.value)
