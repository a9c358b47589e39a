"""What a check found: what, where, what to do next, and perhaps a way to mend it."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class CheckStatus(StrEnum):
    """How bad it is."""

    OK = "ok"
    SKIPPED = "skipped"  # could not be looked at, and need not be
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """One thing that was looked at.

    `mend` puts it right. When it is `safe`, nothing is lost by it; otherwise what goes may be
    somebody else's, and the user is asked about this very thing first.
    """

    check: str  # home, ledger, engine, clock, key, provider, runs, files, models
    grade: CheckStatus
    what: str
    where: str = ""
    next: str = ""
    mend: Callable[[], None] | None = None
    safe: bool = False
