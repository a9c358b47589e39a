"""The section `huggingface` of a job file: where a job runs, and how TRL trains.

https://huggingface.co/docs/trl describes each field; an unset one keeps TRL's default.
"""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

_ADAPTERS = ("lora_r", "lora_alpha", "lora_dropout")


class HuggingFaceOptions(BaseModel):
    """The machine and the container of a job, and options of TRL."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    flavor: str = Field(
        "t4-small",
        pattern=r"^[a-z0-9-]+$",
        max_length=64,
        description="Machine of the job; `GET /api/jobs/hardware` lists them with their prices.",
    )
    timeout: str | None = Field(
        None,
        pattern=r"^([0-9]{1,6}[smhd])+$",
        description="Time after which the job is stopped, such as `2h` or `90m`, and with it the"
        " most that it can cost; by default a generous estimate from the size of the file.",
    )
    image: str = Field(
        "huggingface/trl",
        min_length=1,
        max_length=256,
        description="Image of the container, which has the command `trl`.",
    )
    lora: bool = Field(True, description="Train adapters; `false` trains all weights.")
    lora_r: int | None = Field(None, ge=1, description="Rank of the adapters.")
    lora_alpha: int | None = Field(None, ge=1, description="Scale of the adapters.")
    lora_dropout: float | None = Field(
        None, ge=0, le=0.99, description="Share of the adapters' inputs that a step leaves out."
    )
    max_length: int | None = Field(
        None, ge=1, description="Longest row in tokens; longer ones are truncated."
    )
    gradient_accumulation_steps: int | None = Field(
        None, ge=1, description="Batches whose gradients one step adds up."
    )
    weight_decay: float | None = Field(
        None, ge=0, le=1, description="Weight decay of the optimizer."
    )
    assistant_only_loss: bool | None = Field(
        None,
        description="Whether the loss of chat rows counts the assistant's messages alone; the"
        " model's chat template must support it. TRL counts all messages by default.",
    )

    @model_validator(mode="after")
    def _refuse_options_without_effect(self) -> Self:
        names = [name for name in _ADAPTERS if getattr(self, name) is not None]
        if not self.lora and names:
            text = " and ".join(names)
            raise ValueError(f"{text} is for adapters: leave out lora: false, or this")
        return self
