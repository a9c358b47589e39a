"""The sections of the job file for servers that speak OpenAI's API: `nebius`, `crusoe`, `azure`.

A field without a default is left out of the request: the server's own default holds.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class NebiusOptions(_Options):
    """The section `nebius` of the job file."""

    lora: bool = Field(
        True,
        description="Train adapters. `false` trains all weights, which costs more and is Nebius'"
        " own default, so this field is always sent.",
    )
    lora_r: int | None = Field(
        None, ge=8, le=128, description="Rank of the adapters; 8 by default."
    )
    lora_alpha: int | None = Field(
        None, ge=8, le=1024, description="Scale of the adapters; 8 by default."
    )
    lora_dropout: float | None = Field(
        None, ge=0, le=1, description="Dropout of the adapters; 0 by default."
    )
    packing: bool | None = Field(
        None, description="Pack several rows into one sequence; true by default."
    )
    context_length: int | None = Field(
        None, ge=1, le=131_072, description="Longest sequence in tokens; 8192 by default."
    )
    warmup_ratio: float | None = Field(
        None, ge=0, le=1, description="Share of the steps in which the learning rate rises."
    )
    weight_decay: float | None = Field(None, ge=0, le=1, description="Weight decay.")
    max_grad_norm: float | None = Field(
        None, gt=0, le=1000, description="Norm to which gradients are clipped; 1 by default."
    )


class CrusoeOptions(_Options):
    """The section `crusoe` of the job file."""

    lora_variant: Literal["lora", "rslora"] | None = Field(
        None, description="`rslora` scales by the square root of the rank."
    )
    lora_rank: int | None = Field(None, ge=2, le=256, description="Rank of the adapters.")
    lora_alpha: int | None = Field(None, ge=1, le=512, description="Scale of the adapters.")
    lora_dropout: float | None = Field(None, ge=0, le=1, description="Dropout of the adapters.")
    lr_scheduler: Literal["cosine", "constant", "constant_with_warmup", "linear"] | None = Field(
        None, description="Course of the learning rate."
    )
    warmup_ratio: float | None = Field(
        None, ge=0, le=1, description="Share of the steps in which the learning rate rises."
    )
    weight_decay: float | None = Field(None, ge=0, le=1, description="Weight decay.")
    early_stopping_patience: int | None = Field(
        None, ge=1, le=1000, description="Evaluations without improvement before training stops."
    )
    checkpoint_steps: int | None = Field(
        None, ge=20, le=1_000_000, description="Steps between two checkpoints."
    )
    eval_steps_per_epoch: int | None = Field(
        None, ge=1, le=10_000, description="Evaluations on the validation file in an epoch."
    )
    overlong_row_behavior: Literal["error", "drop"] | None = Field(
        None, description="What happens to rows that are longer than the model's context."
    )
    project: str | None = Field(
        None,
        min_length=1,
        max_length=128,
        pattern=r"^[A-Za-z0-9_-]+$",
        description="Project in which models are deployed; CRUSOE_PROJECT_ID by default.",
    )
    deployment: Literal["adapter", "dedicated"] = Field(
        "adapter",
        description="`adapter` loads the adapter beside its base model for a while, billed by the"
        " token; `dedicated` rents GPUs by the hour until it is deleted.",
    )
    flavor: str | None = Field(
        None,
        min_length=1,
        max_length=128,
        description="Id of the hardware of a `dedicated` deployment; the cheapest that fits by"
        " default.",
    )
    replicas: int = Field(1, ge=1, le=64, description="Replicas of a `dedicated` deployment.")


class AzureOptions(_Options):
    """The section `azure` of the job file."""

    training_type: Literal["Standard", "GlobalStandard", "Developer"] = Field(
        "GlobalStandard",
        description="Where training runs: `Standard` in the resource's region, `GlobalStandard`"
        " anywhere and cheaper, `Developer` on spare capacity that may be taken away for a while.",
    )
    subscription: str | None = Field(
        None,
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z0-9-]+$",
        description="Subscription of the resource, for deployments; AZURE_SUBSCRIPTION_ID by"
        " default.",
    )
    resource_group: str | None = Field(
        None,
        min_length=1,
        max_length=90,
        pattern=r"^[\w.()-]+$",
        description="Resource group of the resource, for deployments; AZURE_RESOURCE_GROUP by"
        " default.",
    )
    account: str | None = Field(
        None,
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z0-9._-]+$",
        description="Name of the resource, for deployments; the first label of its address by"
        " default.",
    )
    sku: Literal["Standard", "GlobalStandard", "DeveloperTier"] = Field(
        "Standard",
        description="Kind of deployment: `Standard` and `GlobalStandard` cost 1.70 dollars an hour"
        " until they are deleted, `DeveloperTier` nothing; Azure deletes it after 24 hours.",
    )
    capacity: int = Field(
        50, ge=1, le=100_000, description="Capacity of the deployment, in thousand tokens a minute."
    )
