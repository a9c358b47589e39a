"""What came of one question."""

from dataclasses import dataclass

from ftops.records import Completion


@dataclass(frozen=True, slots=True)
class CompletionResult:
    """An answer, or (`completion` None) the reason why there is none.

    `declined`: whoever guards the model refused the question itself, by its policy. `kept`: it was
    there already, and nobody was asked.
    """

    completion: Completion | None = None
    failure: str = ""
    declined: bool = False
    kept: bool = False
