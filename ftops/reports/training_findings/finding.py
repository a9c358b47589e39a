"""What a finding says, and what all findings are made from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ftops.metrics.result import ClassResult
from ftops.records import Checkpoint, Json
from ftops.reports.training import Training
from ftops.reports.training_findings.curves import Curves


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a training that its owner should know.

    `message` is one sentence with figures, `advice` the next thing to do. The steps are those that
    it is about; `checkpoint` is the one to prefer to the finished model, where there is one.
    """

    code: str
    message: str
    advice: str
    first_step: int | None = None
    last_step: int | None = None
    checkpoint: Checkpoint | None = None

    def to_json(self) -> dict[str, Json]:
        """As plain JSON values."""
        kept = self.checkpoint
        return {
            "code": self.code,
            "message": self.message,
            "advice": self.advice,
            "first_step": self.first_step,
            "last_step": self.last_step,
            "checkpoint": {"step": kept.step, "model": kept.model} if kept else None,
        }


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a finder may look at; `classes` are of an evaluation, empty where there was none."""

    training: Training
    curves: Curves
    classes: Sequence[ClassResult] = ()


@dataclass(frozen=True, slots=True)
class Finder:
    """One thing that is looked for: its code, what it means, and when it is said."""

    code: str
    title: str
    means: str
    said_when: str
    advice: str
    find: Callable[[Evidence], Finding | None]
