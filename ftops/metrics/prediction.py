"""The prediction of a candidate for a row with an expected answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ftops.records import Prompt, ToolCall
from ftops.text import to_nfc


class Problem(StrEnum):
    """Why a prediction is missing or incomplete; such predictions are counted and still scored."""

    EMPTY = "empty"  # only white space
    REFUSED = "refused"  # refused by the model or by a content filter
    TRUNCATED = "truncated"  # cut off at `max_tokens`
    FAILED = "failed"  # every request failed


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a candidate predicts for one row (`line` counts from 1) of the evaluation file.

    `predicted` is the text before the stop sequence, mapped to a label if the data has labels. Tool
    calls are the JSON at the end of `expected` and `predicted`, and in `expected_calls` and
    `predicted_calls`.
    `probabilities` are those of labels, from 0 to 1; empty if the model returns none. Tokens are
    None if unknown. `seconds` is the latency of the request; None for baselines and if several
    prompts share one request.
    """

    line: int
    prompt: Prompt
    expected: str
    predicted: str
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    seconds: float | None = None
    probabilities: Mapping[str, float] = field(default_factory=dict)
    problem: Problem | None = None
    note: str = ""  # describes the problem
    expected_calls: tuple[ToolCall, ...] = ()
    predicted_calls: tuple[ToolCall, ...] = ()

    @property
    def correct(self) -> bool:
        """Whether it equals the expected answer, ignoring leading and trailing white space."""
        return self.problem is not Problem.FAILED and self.predicted_label == self.expected_label

    @property
    def predicted_label(self) -> str:
        """`predicted` for comparison: in NFC and stripped."""
        return to_nfc(self.predicted.strip())

    @property
    def expected_label(self) -> str:
        """`expected` for comparison."""
        return to_nfc(self.expected.strip())
