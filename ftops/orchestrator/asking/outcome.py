"""What came of one question."""

from dataclasses import dataclass

from ftops.records import Completion


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer, or (`completion` None) the reason why there is none.

    `kept`: it was there already, and nobody was asked.
    """

    completion: Completion | None = None
    failure: str = ""
    kept: bool = False
