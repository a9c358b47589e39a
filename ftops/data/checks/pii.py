"""Private data and secrets in texts and tool calls; nothing that was found is shown whole."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import ClassVar, Self

from ftops.data.batch_parser import TEXT_SEPARATOR, RowBatch
from ftops.data.checks.check import Check, CheckContext
from ftops.data.findings import (
    Finding,
    Occurrences,
    Rule,
    Severity,
    create_finding,
    format_rows,
)
from ftops.data.profile import DatasetProfile
from ftops.data.screening.pii_kind import PiiKind
from ftops.records import RowFormat
from ftops.rows.messages import list_arguments

_E, _W = Severity.ERROR, Severity.WARNING
_LEARNED = " A model can repeat what it was trained on, to anybody who asks it."
_TAKE_OUT = "Take it out, or put a placeholder in its place: `ftops data prepare --redact`."
RULES_BY_KIND = {
    PiiKind.PRIVATE_KEY: Rule(
        "private-key", _E, "private key",
        "A private key in PEM form." + _LEARNED,
        "Take it out, and replace the key wherever it is used.", "redact",
    ),
    PiiKind.WEB_TOKEN: Rule(
        "json-web-token", _E, "signed web token",
        "A JSON Web Token opens whatever it was made for, until it expires." + _LEARNED,
        "Take it out, and end the session that it belongs to.", "redact",
    ),
    PiiKind.API_KEY: Rule(
        "api-key", _E, "API key or access token",
        "A key in the form of a known maker, or a random text that is called key, token or"
        " password." + _LEARNED,
        "Take it out, and replace the key at its maker.", "redact",
    ),
    PiiKind.PASSWORD: Rule(
        "password-in-address", _E, "password in a web address",
        "An address such as https://name:password@host." + _LEARNED,
        "Take it out, and change the password.", "redact",
    ),
    PiiKind.EMAIL: Rule(
        "email-address", _W, "e-mail address",
        "Addresses of examples (example.com) are not counted." + _LEARNED,
        _TAKE_OUT, "redact",
    ),
    PiiKind.CARD: Rule(
        "payment-card", _W, "number of a payment card",
        "A number of a card maker's range with the right check digit (Luhn)." + _LEARNED,
        _TAKE_OUT, "redact",
    ),
    PiiKind.BANK_ACCOUNT: Rule(
        "bank-account", _W, "bank account",
        "An IBAN with the length of its country and the right check digits." + _LEARNED,
        _TAKE_OUT, "redact",
    ),
    PiiKind.NATIONAL_NUMBER: Rule(
        "national-id", _W, "national number of a person",
        "A number by which a country knows a person, with the right check digits: Belgium, Brazil,"
        " Canada, China, Finland, France, India, Poland, South Korea, Spain, Sweden, Turkey; of the"
        " United States by its form." + _LEARNED,
        _TAKE_OUT, "redact",
    ),
    PiiKind.PHONE: Rule(
        "phone-number", _W, "phone number",
        "A number with the sign + in front, in the groups of North America or France, or behind a"
        " word such as phone." + _LEARNED,
        _TAKE_OUT, "redact",
    ),
}  # fmt: skip


class PersonalData(Check):
    """Looks through all texts of a batch at once, since most hold nothing of the kind."""

    RULES = tuple(RULES_BY_KIND.values())
    OPTIONAL: ClassVar[str] = "pii"

    def __init__(self, profile: DatasetProfile) -> None:
        self._seen: dict[str, Occurrences] = {}
        self._examples: dict[str, str] = {}

    def add(self, batch: RowBatch) -> None:
        rows: dict[PiiKind, set[int]] = {}
        self._look(rows, batch.prompt_text(), batch.prompts)
        self._look(rows, batch.completion_text(), batch.completions)
        if batch.others:
            self._look(rows, TEXT_SEPARATOR.join(batch.others), batch.others)
        if batch.format is not RowFormat.COMPLETION:
            self._look_at_calls(rows, batch)
        for kind, found in rows.items():
            seen = self._seen.setdefault(kind.value, Occurrences())
            for row in sorted(found):
                seen.add(batch.places[row])

    def _look_at_calls(self, rows: dict[PiiKind, set[int]], batch: RowBatch) -> None:
        """Look through the arguments of tool calls, which few rows have; they are JSON as text."""
        calls = [TEXT_SEPARATOR.join(list_arguments(raw)) for raw in batch.raws]
        if any(calls):
            from ftops.data.screening.pii import blank_escapes

            texts = list(map(blank_escapes, calls))
            self._look(rows, TEXT_SEPARATOR.join(texts), texts)

    def _look(self, rows: dict[PiiKind, set[int]], joined: str, texts: Sequence[str]) -> None:
        from ftops.data.screening.pii import find_pii, mask  # its patterns take 20 ms

        found = find_pii(joined)
        if not found:
            return
        ends = list(accumulate(len(text) + len(TEXT_SEPARATOR) for text in texts))
        for place in found:
            rows.setdefault(place.kind, set()).add(bisect_right(ends, place.start))
            if place.kind.value not in self._examples:
                shown = mask(joined[place.start : place.end])
                self._examples[place.kind.value] = f"{place.of}, {shown}"

    def merge(self, later: Self, shift: int) -> None:
        for kind, seen in later._seen.items():
            self._seen.setdefault(kind, Occurrences()).merge(seen, shift)
            self._examples.setdefault(kind, later._examples[kind])

    def findings(self, context: CheckContext) -> Iterator[Finding]:
        for kind, rule in RULES_BY_KIND.items():
            seen = self._seen.get(kind.value)
            if seen:
                text = f"{format_rows(seen.count)}; the first: {self._examples[kind.value]}"
                yield create_finding(rule, text, seen, fix_params={"codes": [rule.code]})
