"""Rules of checks, and the findings of one dataset."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import compress, islice
from operator import not_

from ftops.records import Json

SHOWN_PLACES = 10
_SHOWN_REASONS = 3
_NAMED_PLACES = 3  # in a sentence that lists several places


class Severity(StrEnum):
    """How serious a finding is: unusable data, probably bad training, or a possible improvement."""

    ERROR = "error"
    WARNING = "warning"
    ADVICE = "advice"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that data may break.

    `explanation` is for the docs, `advice` is the next step for the user, and `fix` is the code of
    the fix that resolves it, if there is one.
    """

    code: str
    severity: Severity
    title: str
    explanation: str
    advice: str
    fix: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one rule: the number of rows, the first ones, and what to do.

    `places` are line or row numbers of the source, from 1; empty if the finding is about the whole
    dataset. `fix_params` are the parameters of the fix; None if none can be proposed.
    """

    code: str
    severity: Severity
    message: str
    count: int
    places: tuple[int, ...]
    advice: str
    fix: str | None = None
    fix_params: Mapping[str, Json] | None = None


@dataclass(slots=True)
class Occurrences:
    """A count of rows, the first line or row numbers, and the first reasons."""

    count: int = 0
    places: list[int] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def add(self, place: int, count: int = 1) -> None:
        """Count `place`, or `count` consecutive places from there."""
        self.count += count
        free = SHOWN_PLACES - len(self.places)
        if free > 0:
            self.places.extend(range(place, place + min(count, free)))

    def add_where(self, flags: Sequence[bool], places: Sequence[int], wanted: bool = True) -> None:
        """Count each place whose flag is `wanted`."""
        count = flags.count(wanted)
        if not count:
            return
        self.count += count
        free = SHOWN_PLACES - len(self.places)
        if free > 0:
            chosen = flags if wanted else map(not_, flags)
            self.places.extend(islice(compress(places, chosen), free))

    def add_reason(self, reason: str) -> None:
        """Keep the first different reasons."""
        if len(self.reasons) < _SHOWN_REASONS and reason not in self.reasons:
            self.reasons.append(reason)

    def merge(self, later: "Occurrences", shift: int) -> None:
        """Add the counts of the next part, whose places are offset by `shift`."""
        self.count += later.count
        free = SHOWN_PLACES - len(self.places)
        self.places.extend(place + shift for place in later.places[: max(free, 0)])
        for reason in later.reasons:
            self.add_reason(reason)


def create_finding(
    rule: Rule,
    message: str,
    seen: Occurrences | None = None,
    *,
    severity: Severity | None = None,
    advice: str | None = None,
    fix_params: Mapping[str, Json] | None = None,
) -> Finding:
    """A finding of `rule`, with its severity and advice unless others are passed."""
    return Finding(
        code=rule.code,
        severity=severity or rule.severity,
        message=message,
        count=seen.count if seen else 0,
        places=tuple(seen.places) if seen else (),
        advice=rule.advice if advice is None else advice,
        fix=rule.fix,
        fix_params=fix_params,
    )


def count_severity(findings: Iterable[Finding], severity: Severity) -> int:
    """The number of findings with that severity."""
    return sum(1 for finding in findings if finding.severity is severity)


def format_occurrences(name: str, seen: Occurrences, unit: str) -> str:
    """A count with the first places: "hate 2 (lines 4, 9)"."""
    places = ", ".join(map(str, seen.places[:_NAMED_PLACES]))
    more = ", …" if seen.count > _NAMED_PLACES else ""
    return f"{name} {seen.count:,} ({unit if seen.count == 1 else unit + 's'} {places}{more})"


def format_rows(count: int) -> str:
    """Format a number of rows: "1 row", "2 rows", …"""
    return "1 row" if count == 1 else f"{count:,} rows"
