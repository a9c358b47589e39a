"""A model that a job left on its way; crosses from providers to whoever chooses among models."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The model as it was after `step`; `metrics` are its figures under the provider's names."""

    id: str
    step: int
    model: str  # the name by which it is asked
    metrics: Mapping[str, float] = field(default_factory=dict)
