"""What an evaluation found, as it is kept: `evaluation.json`, version 1.

One evaluation puts the same rows to several candidates. Shares are from 0 to 1, money is in US
dollars, intervals hold 95 % of a bootstrap.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ftops.errors import LedgerError
from ftops.metrics.result import ClassResult, Comparison, Confusion, MetricResult, Unit
from ftops.records import Json

VERSION = 1
REPEAT_HINT = (
    "Run the same `ftops run` again: it repeats the evaluation; stored responses are reused."
)


class CandidateKind(StrEnum):
    """Who answers."""

    TUNED = "tuned"  # the model that the run made
    CHECKPOINT = "checkpoint"  # of the same job
    BASE = "base"  # the model that was tuned, as it was before
    FEW_SHOT = "few-shot"  # the same, with examples in the prompt
    PREVIOUS = "previous"  # what an earlier run of the same name made
    MODEL = "model"  # any other
    NEAREST = "nearest neighbour"  # the answer of the most similar training row
    NAIVE_BAYES = "naive Bayes"
    MAJORITY = "majority"  # the most frequent answer of the training rows


FREE_KINDS = (CandidateKind.NAIVE_BAYES, CandidateKind.NEAREST, CandidateKind.MAJORITY)


@dataclass(frozen=True, slots=True)
class RequestStats:
    """What asking took, a request: means of tokens, price of a thousand, seconds by percentile.

    None where it is not known. `estimated` tokens were counted here, not by the provider.
    """

    prompt_tokens: float | None = None
    completion_tokens: float | None = None
    estimated: bool = False
    usd_per_1000: float | None = None
    p50_s: float | None = None
    p95_s: float | None = None


@dataclass(frozen=True, slots=True)
class CandidateScore:
    """How one candidate did. `name` is how the whole evaluation calls it, and is unique in it."""

    name: str
    kind: CandidateKind
    rows: int
    metrics: Mapping[str, MetricResult]
    model: str | None = None  # None: no model was asked
    provider: str | None = None
    problems: Mapping[str, int] = field(default_factory=dict)  # by name, see `answers.Problem`
    outside: int = 0  # answers that are none of the classes
    classes: tuple[ClassResult, ...] = ()
    confusion: Confusion | None = None
    requests: RequestStats | None = None
    notes: tuple[str, ...] = ()  # sentences about its answers and figures
    # by name: what the requests called it instead, or None where it was left out
    refused_parameters: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SkippedCandidate:
    """A candidate that was not asked, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Savings:
    """What one request to the tuned model saves against another candidate, where it is known.

    Negative figures are losses. `pays_after` is the number of requests by which the training has
    paid for itself; None where it never does or prices are not known.
    """

    against: str
    tokens: float | None
    usd_per_1000: float | None
    p50_s: float | None
    training_usd: float | None
    pays_after: int | None


@dataclass(frozen=True, slots=True)
class RequirementResult:
    """One line of `require`, as it was written, and whether it was met.

    `value` is None where the figure is not there; then it is not met, and `reason` says why.
    """

    text: str
    value: float | None
    met: bool
    reason: str = ""
    unit: Unit = Unit.SCORE


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All candidates on the rows of one file; the tuned model is first where there is one.

    `primary_metric` is shown where there is room for one. `overlap_rows` of the rows are training
    rows, too.
    """

    file: str
    rows: int
    primary_metric: str
    candidates: tuple[CandidateScore, ...]
    file_sha256: str = ""
    overlap_rows: int | None = None
    skipped: tuple[SkippedCandidate, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    savings: tuple[Savings, ...] = ()
    requirements: tuple[RequirementResult, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every requirement is met; True where there are none."""
        return all(one.met for one in self.requirements)

    def find(self, name: str) -> CandidateScore | None:
        """The candidate of that name."""
        return next((one for one in self.candidates if one.name == name), None)

    def to_json(self) -> dict[str, Json]:
        """As plain JSON values, for a file or for `--json`."""
        fields: dict[str, Json] = _ADAPTER.dump_python(self, mode="json")
        return {"version": VERSION, **fields}

    @classmethod
    def from_json(cls, value: Json) -> "Evaluation":
        """What `to_json` gave; LedgerError when it is something else."""
        try:
            if not isinstance(value, dict) or value.get("version") != VERSION:
                raise ValueError(f"it is not of version {VERSION}")
            fields: dict[str, Any] = {name: one for name, one in value.items() if name != "version"}
            return _ADAPTER.validate_python(fields)
        except (ValidationError, ValueError) as error:
            raise LedgerError(
                f"the stored evaluation is damaged: {error}",
                hint=REPEAT_HINT,
            ) from error


_ADAPTER = TypeAdapter(Evaluation)
