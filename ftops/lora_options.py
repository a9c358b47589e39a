"""The options of training pre-trained models: in the job file, the engine's API and the trainer.

Importing pydantic takes a third of a second, so only code that needs the options imports this
module: the engine's worker passes them as JSON to the trainer.
"""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

Precision: TypeAlias = Literal["auto", "fp32", "bf16", "q8_0"]
"""Of the weights of a model that answers; `auto` is fp32, or bf16 on a GPU."""


class LoraOptions(BaseModel):
    """How a pre-trained model is fine-tuned with low-rank adapters (Hu et al. 2021)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    rank: int = Field(16, ge=1, le=1024, description="Rank of the adapter matrices.")
    alpha: float | None = Field(
        None, gt=0, le=4096, description="Scale of the adapters; twice the rank by default."
    )
    dropout: float = Field(
        0.0, ge=0, le=0.9, description="Share of the adapters' inputs that a step leaves out."
    )
    targets: (
        Literal["all-linear"]
        | Annotated[
            tuple[Annotated[str, Field(min_length=1, max_length=256)], ...],
            Field(strict=False, min_length=1, max_length=64),
        ]
    ) = Field(
        "all-linear",
        description="Modules that get an adapter: `all-linear` (without the head), or a list of"
        " their names.",
    )
    variant: Literal["lora", "rslora", "dora"] = Field(
        "lora",
        description="`rslora` scales by the square root of the rank; `dora` also trains the"
        " magnitude of each weight.",
    )
    scheduler: Literal["linear", "cosine", "constant"] = Field(
        "linear", description="Course of the learning rate after the warm-up."
    )
    warmup_ratio: float = Field(
        0.05, ge=0, le=0.5, description="Share of the steps in which the learning rate rises."
    )
    weight_decay: float = Field(0.0, ge=0, le=1, description="Weight decay of AdamW.")
    max_grad_norm: float = Field(
        1.0, gt=0, le=1000, description="Norm to which the gradient of a step is clipped."
    )
    gradient_accumulation: int = Field(
        1,
        ge=1,
        le=1024,
        description="Parts in which a batch is computed, one after the other: less memory, the"
        " same result but for rounding.",
    )
    max_length: int | None = Field(
        None,
        ge=16,
        le=1_048_576,
        description="Longest row in tokens; the model's context length by default.",
    )
    dtype: Literal["auto", "fp32", "bf16", "nf4"] = Field(
        "auto",
        description="Type of the base weights; `auto`: fp32 on a CPU, bf16 on a GPU. `nf4` is 4"
        " bits a weight (QLoRA), and needs `ftops[qlora]`.",
    )
    full: bool = Field(
        False, description="Train all weights instead of adapters; `rank` has no effect then."
    )

    @model_validator(mode="after")
    def _refuse_full_training_in_4_bits(self) -> Self:
        if self.full and self.dtype == "nf4":
            raise ValueError("dtype nf4 is for adapters: leave out full, or choose another dtype")
        return self

    @property
    def lora_alpha(self) -> float:
        """`alpha`, or its default."""
        return 2.0 * self.rank if self.alpha is None else self.alpha


class EarlyStoppingOptions(BaseModel):
    """When to stop before the last epoch, with the best weights as the result."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    metric: Literal["valid_loss", "valid_mean_token_accuracy"] = Field(
        "valid_loss", description="Metric that must improve, by more than chance explains."
    )
    patience: int = Field(
        3, ge=1, le=1000, description="Evaluations in a row without improvement before the end."
    )
