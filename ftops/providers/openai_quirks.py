"""The servers that speak OpenAI's fine-tuning API, and what differs at each: a line for each."""

from collections.abc import Mapping

from ftops.capabilities import DeploymentRule
from ftops.providers.address import AZURE, CRUSOE, NEBIUS, VOLITION
from ftops.providers.azure import AzureDeployments
from ftops.providers.crusoe import (
    CrusoeDeployments,
    CrusoeModelNames,
    download_adapter,
    read_metrics_route,
)
from ftops.providers.nebius import (
    NebiusDeployments,
    download_last_checkpoint,
    read_checkpoint_metrics,
)
from ftops.providers.openai_options import AzureOptions, CrusoeOptions, NebiusOptions
from ftops.providers.openai_server import OpenAIQuirks

_CRUSOE_DEPLOYMENT = frozenset({"project", "deployment", "flavor", "replicas"})

QUIRKS: Mapping[str, OpenAIQuirks] = {
    "openai": OpenAIQuirks(),
    "nebius": OpenAIQuirks(
        address=NEBIUS,
        section="nebius",
        options=NebiusOptions,
        hyperparameters=frozenset(NebiusOptions.model_fields),
        names_models=False,
        read_metrics=read_checkpoint_metrics,
        download_weights=download_last_checkpoint,
        deployments=NebiusDeployments,
    ),
    "crusoe": OpenAIQuirks(
        address=CRUSOE,
        section="crusoe",
        options=CrusoeOptions,
        hyperparameters=frozenset(CrusoeOptions.model_fields) - _CRUSOE_DEPLOYMENT,
        model_names=CrusoeModelNames,
        takes_one_rate=True,
        orders_events=False,
        inference_url="https://api.inference.crusoecloud.com/v1",
        price_route="/fine_tuning/jobs/estimate_price",
        read_metrics=read_metrics_route,
        download_weights=download_adapter,
        deployments=CrusoeDeployments,
        deployment_rules={("deployment", "dedicated"): DeploymentRule(hourly=True)},
    ),
    "azure": OpenAIQuirks(
        address=AZURE,
        section="azure",
        options=AzureOptions,
        body_fields={"training_type": "trainingType"},
        deployments=AzureDeployments,
        deployment_rules={("sku", "DeveloperTier"): DeploymentRule(hourly=False, ends="expiry")},
    ),
    "volition": OpenAIQuirks(address=VOLITION),
}
