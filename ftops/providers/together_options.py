"""The section `together` of a job file: what only Together's API knows.

https://docs.together.ai/reference/post-fine-tunes describes each field; an unset one keeps the
default of the service.
"""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

_SCHEDULES = ("min_lr_ratio", "num_cycles")
_ADAPTERS = ("lora_r", "lora_alpha", "lora_dropout", "lora_trainable_modules")


class TogetherOptions(BaseModel):
    """How Together trains a model and on what it deploys it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    lora: bool = Field(True, description="Train adapters; `false` trains all weights.")
    lora_r: int | None = Field(
        None, ge=1, description="Rank of the adapters; each model has its own default and limit."
    )
    lora_alpha: int | None = Field(
        None, ge=1, description="Scale of the adapters; twice the rank by default."
    )
    lora_dropout: float | None = Field(
        None, ge=0, le=0.99, description="Share of the adapters' inputs that a step leaves out."
    )
    lora_trainable_modules: str | None = Field(
        None,
        min_length=1,
        description="Modules that get an adapter, separated by commas; `all-linear` by default.",
    )
    lr_scheduler: Literal["linear", "cosine"] | None = Field(
        None, description="Course of the learning rate after the warm-up."
    )
    min_lr_ratio: float | None = Field(
        None, ge=0, le=1, description="Last learning rate as a share of the highest one."
    )
    num_cycles: float | None = Field(
        None, gt=0, le=1000, description="Number or fraction of cycles of the scheduler `cosine`."
    )
    warmup_ratio: float | None = Field(
        None, ge=0, le=1, description="Share of the steps in which the learning rate rises."
    )
    weight_decay: float | None = Field(
        None, ge=0, le=1, description="Weight decay of the optimizer."
    )
    max_grad_norm: float | None = Field(
        None,
        ge=0,
        le=1000,
        description="Norm to which the gradient of a step is clipped; 0: not at all.",
    )
    gradient_accumulation_steps: int | None = Field(
        None, ge=1, description="Batches whose gradients one step adds up."
    )
    packing: bool | None = Field(
        None,
        description="Several rows share a sequence, which is the default. Without it, each row"
        " costs as many tokens as the longest one allowed.",
    )
    max_seq_length: int | None = Field(
        None, ge=1, description="Longest row in tokens; longer ones are truncated."
    )
    n_evals: int | None = Field(
        None,
        ge=1,
        description="Evaluations on `validation_file` during the training; by default one for each"
        " epoch, and with `early_stopping` as many as it needs.",
    )
    n_checkpoints: int | None = Field(
        None, ge=1, description="Checkpoints that the training saves, at most one for each epoch."
    )
    train_on_inputs: bool | Literal["auto"] = Field(
        "auto", description="Whether the loss counts the prompts, too; `auto` counts answers only."
    )
    early_stopping_min_delta: float | None = Field(
        None,
        ge=0,
        le=100,
        description="Smallest decrease of the loss that counts as an improvement.",
    )
    early_stopping_warmup_evals: int | None = Field(
        None, ge=0, le=1000, description="First evaluations that never stop the training."
    )
    dpo_normalize_logratios_by_length: bool | None = Field(
        None, description="Divide the log ratios of an answer by its length (method `dpo`)."
    )
    dpo_reference_free: bool | None = Field(
        None, description="Train without the reference model (method `dpo`)."
    )
    rpo_alpha: float | None = Field(
        None,
        ge=0,
        le=100,
        description="Weight of the loss on the preferred answers (method `dpo`).",
    )
    simpo_gamma: float | None = Field(
        None, ge=0, le=100, description="Margin between the two answers (method `dpo`)."
    )
    hardware: str | None = Field(
        None,
        min_length=1,
        max_length=128,
        description="Instance type of a deployment, such as `1xnvidia-h100-80gb`; the cheapest one"
        " that takes the model by default.",
    )
    config: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9_-]+$",
        max_length=128,
        description="Id of the configuration of a deployment (`cr_…`), instead of `hardware`.",
    )

    @model_validator(mode="after")
    def _refuse_options_without_effect(self) -> Self:
        if not self.lora and (names := self._list_set(_ADAPTERS)):
            raise ValueError(f"{names} is for adapters: leave out lora: false, or this")
        if self.lr_scheduler is None and (names := self._list_set(_SCHEDULES)):
            raise ValueError(f"{names} belongs to lr_scheduler: write linear or cosine there")
        if self.lr_scheduler == "linear" and self.num_cycles is not None:
            raise ValueError("num_cycles belongs to lr_scheduler: cosine")
        return self

    def _list_set(self, names: tuple[str, ...]) -> str:
        return " and ".join(name for name in names if getattr(self, name) is not None)
