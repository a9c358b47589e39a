"""Checks for personal data and secrets in texts and tool calls; matches are shown masked."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import ClassVar, Self

from ftops.data.batch_parser import TEXT_SEPARATOR, RowBatch
from ftops.data.checks.check import Check, CheckContext
from ftops.data.findings import Finding, Occurrences, Rule, Severity, create_finding, format_rows
from ftops.data.profile import DatasetProfile
from ftops.data.screening.pii import blank_escapes, list_pii, mask
from ftops.data.screening.pii_kind import PiiKind
from ftops.records import RowFormat
from ftops.rows.messages import list_arguments

_E, _W = Severity.ERROR, Severity.WARNING
_LEARNED = " A model can repeat its training data to any user."
_TAKE_OUT = "Remove it, or replace it with a placeholder: `ftops data prepare --redact`."
RULES_BY_KIND = {
    PiiKind.PRIVATE_KEY: Rule(
        "private-key", _E, "private key",
        "A private key in PEM form." + _LEARNED,
        "Remove it, and rotate the key.", "redact",
    ),
    PiiKind.WEB_TOKEN: Rule(
        "json-web-token", _E, "JSON Web Token",
        "A JSON Web Token grants access until it expires." + _LEARNED,
        "Remove it, and revoke the token.", "redact",
    ),
    PiiKind.API_KEY: Rule(
        "api-key", _E, "API key or access token",
        "A key in the format of a known provider, or a random string named key, token or"
        " password." + _LEARNED,
        "Remove it, and revoke the key.", "redact",
    ),
    PiiKind.PASSWORD: Rule(
        "password-in-address", _E, "password in a URL",
        "A URL such as https://name:password@host." + _LEARNED,
        "Remove it, and change the password.", "redact",
    ),
    PiiKind.EMAIL: Rule(
        "email-address", _W, "e-mail address",
        "Example addresses (example.com) are ignored." + _LEARNED,
        _TAKE_OUT, "redact",
    ),
    PiiKind.CARD: Rule(
        "payment-card", _W, "payment card number",
        "A number in a card issuer's range with a valid check digit (Luhn)." + _LEARNED,
        _TAKE_OUT, "redact",
    ),
    PiiKind.BANK_ACCOUNT: Rule(
        "bank-account", _W, "bank account (IBAN)",
        "An IBAN with the length of its country and valid check digits." + _LEARNED,
        _TAKE_OUT, "redact",
    ),
    PiiKind.NATIONAL_NUMBER: Rule(
        "national-id", _W, "national identification number",
        "A personal identification number with valid check digits: Belgium, Brazil,"
        " Canada, China, Finland, France, India, Poland, South Korea, Spain, Sweden, Turkey; of the"
        " United States by its format." + _LEARNED,
        _TAKE_OUT, "redact",
    ),
    PiiKind.PHONE: Rule(
        "phone-number", _W, "phone number",
        "A number with a leading +, in the format of North America or France, or after a word such"
        " as phone." + _LEARNED,
        _TAKE_OUT, "redact",
    ),
}  # fmt: skip


class PersonalData(Check):
    """Searches all texts of a batch at once, since most contain no match."""

    RULES = tuple(RULES_BY_KIND.values())
    OPTIONAL: ClassVar[str] = "pii"

    def __init__(self, profile: DatasetProfile) -> None:
        self._seen: dict[str, Occurrences] = {}
        self._examples: dict[str, str] = {}

    def add(self, batch: RowBatch) -> None:
        rows: dict[PiiKind, set[int]] = {}
        self._search(rows, batch.prompt_text(), batch.prompts)
        self._search(rows, batch.completion_text(), batch.completions)
        if batch.others:
            self._search(rows, TEXT_SEPARATOR.join(batch.others), batch.others)
        if batch.format is not RowFormat.COMPLETION:
            self._search_calls(rows, batch)
        for kind, found in rows.items():
            seen = self._seen.setdefault(kind.value, Occurrences())
            for row in sorted(found):
                seen.add(batch.places[row])

    def _search_calls(self, rows: dict[PiiKind, set[int]], batch: RowBatch) -> None:
        """Search the arguments of tool calls, which are JSON text."""
        calls = [TEXT_SEPARATOR.join(list_arguments(raw)) for raw in batch.raws]
        if any(calls):
            texts = list(map(blank_escapes, calls))
            self._search(rows, TEXT_SEPARATOR.join(texts), texts)

    def _search(self, rows: dict[PiiKind, set[int]], joined: str, texts: Sequence[str]) -> None:
        found = list_pii(joined)
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
