"""What checks say: rules that stand in the catalogue, and findings of one data set."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import compress, islice
from operator import not_

from ftops.records import Json

SHOWN_PLACES = 10
_NAMED_PLACES = 3  # in a sentence that names several things


class Severity(StrEnum):
    """How bad it is: the data cannot be used, will train badly, or could be better."""

    ERROR = "error"
    WARNING = "warning"
    ADVICE = "advice"


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of the catalogue.

    `explanation` is for the page in the docs, `advice` is what to do, and `fix` is the code of the
    fix that answers it, if there is one.
    """

    code: str
    severity: Severity
    title: str
    explanation: str
    advice: str
    fix: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule found: how many rows, the first places, and what to do.

    `places` are lines or rows of the source, from 1; empty when it is about the data as a whole.
    `fix_params` holds the values with which the fix would answer; None where none can be proposed.
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
    """How often something was seen, and the first places."""

    count: int = 0
    places: list[int] = field(default_factory=list)

    def add(self, place: int, count: int = 1) -> None:
        """Seen at `place`, or at `count` places from there on."""
        self.count += count
        room = SHOWN_PLACES - len(self.places)
        if room > 0:
            self.places.extend(range(place, place + min(count, room)))

    def add_where(self, flags: Sequence[bool], places: Sequence[int], wanted: bool = True) -> None:
        """Seen at each place whose flag is the `wanted` one."""
        count = flags.count(wanted)
        if not count:
            return
        self.count += count
        room = SHOWN_PLACES - len(self.places)
        if room > 0:
            chosen = flags if wanted else map(not_, flags)
            self.places.extend(islice(compress(places, chosen), room))

    def merge(self, later: "Occurrences", shift: int) -> None:
        """Add what was seen in the part that follows, whose places begin `shift` further on."""
        self.count += later.count
        room = SHOWN_PLACES - len(self.places)
        self.places.extend(place + shift for place in later.places[: max(room, 0)])


def create_finding(
    rule: Rule,
    message: str,
    seen: Occurrences | None = None,
    *,
    severity: Severity | None = None,
    advice: str | None = None,
    fix_params: Mapping[str, Json] | None = None,
) -> Finding:
    """What `rule` found, with the catalogue's advice unless there is a better one."""
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
    """How many of the findings have that severity."""
    return sum(1 for finding in findings if finding.severity is severity)


def format_occurrences(name: str, seen: Occurrences, unit: str) -> str:
    """How often something was seen, and the first places: "hate 2 (lines 4, 9)"."""
    places = ", ".join(map(str, seen.places[:_NAMED_PLACES]))
    more = ", …" if seen.count > _NAMED_PLACES else ""
    return f"{name} {seen.count:,} ({unit if seen.count == 1 else unit + 's'} {places}{more})"


def format_rows(count: int) -> str:
    """ "1 row", "2 rows", …"""
    return "1 row" if count == 1 else f"{count:,} rows"
