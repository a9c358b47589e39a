"""The section `vertex` of the job file."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class VertexOptions(BaseModel):
    """How Vertex tunes a Gemini model."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    adapter_size: Literal[1, 2, 4, 8, 16, 32] | None = Field(
        None, description="Rank of the adapter; chosen by the service by default."
    )
    export_last_checkpoint_only: bool = Field(
        False,
        description="Keep no checkpoints of earlier epochs, which have endpoints of their own.",
    )
