"""What a candidate gave for a row whose answer is known."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ftops.records import Prompt
from ftops.text import to_nfc


class Problem(StrEnum):
    """Why an answer is none, or not a whole one. Each is counted by name, and scored as it is."""

    EMPTY = "empty"  # nothing but white space
    REFUSED = "refused"  # the model, or who guards it, declined to answer
    CUT = "cut"  # it ended at `max_tokens`
    FAILED = "failed"  # no answer came, whatever was tried


@dataclass(frozen=True, slots=True)
class Answer:
    """One row (`line` counts from 1) of the evaluation file, and what was given for it.

    `given` is without what follows the stop sequence, and is a label where the data has labels.
    `chances` holds the probability of each label that the model told of, from 0 to 1; it is empty
    where it told none. Tokens are None where nobody counted them, `seconds` where nobody was asked
    now or earlier (a look-up answers at once), or where several questions shared one request.
    """

    line: int
    prompt: Prompt
    expected: str
    given: str
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    seconds: float | None = None
    chances: Mapping[str, float] = field(default_factory=dict)
    problem: Problem | None = None
    note: str = ""  # the problem in words

    @property
    def correct(self) -> bool:
        """Whether it is what was expected, but for white space at both ends."""
        return self.problem is not Problem.FAILED and self.given_label == self.expected_label

    @property
    def given_label(self) -> str:
        """What was given as it is compared: in NFC, without white space at both ends."""
        return to_nfc(self.given.strip())

    @property
    def expected_label(self) -> str:
        """What was expected as it is compared."""
        return to_nfc(self.expected.strip())
