"""The fix that replaces personal data and secrets with placeholders."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import ClassVar, cast

from ftops.data.batch_parser import TEXT_SEPARATOR
from ftops.data.checks.pii import RULES_BY_KIND
from ftops.data.fixes.fix import FixBatch, FixParam, TextFix
from ftops.data.reading.batch import RowError
from ftops.data.screening.pii import blank_escapes, list_pii, redact, redact_json
from ftops.data.screening.pii_kind import PiiKind
from ftops.records import Json, RowFormat
from ftops.rows.formats import check_format
from ftops.rows.messages import (
    ARGUMENT_KEYS,
    InvalidRow,
    JsonObject,
    change_texts,
    list_arguments,
    list_texts,
)

REDACTED: Mapping[str, PiiKind] = {rule.code: kind for kind, rule in RULES_BY_KIND.items()}


@dataclass(frozen=True, slots=True)
class Replaced:
    """A redaction in one row for one check: the text before and after; for chats, the whole row."""

    place: int
    code: str
    before: str | JsonObject
    after: str | JsonObject


@dataclass(frozen=True, slots=True)
class _Clean:
    """A text with placeholders, and the checks that matched."""

    text: str
    codes: tuple[str, ...]


class Redact(TextFix):
    CODE = "redact"
    TITLE = "replace personal data and secrets with placeholders"
    ABOUT = (
        "What `ftops data check --pii` finds becomes `[EMAIL]`, `[API_KEY]` and the like, the"
        " same in every row; prompts at inference are redacted in the same way. In chats and"
        " preferences, the text of every message and the arguments of tool calls, which stay"
        " valid JSON, are redacted, but not names and tool definitions. A preference whose"
        " answers become equal is dropped. The scan takes time, so the fix is proposed with"
        " `--pii`, and applied without confirmation, for every kind, with `--redact`. Examples"
        " then show only the first characters of each match."
    )
    PARAMS: ClassVar = {
        "codes": FixParam("texts", "the checks whose matches are replaced", of=tuple(REDACTED))
    }
    ALL_FORMATS = True

    def __init__(self, values: Mapping[str, Json]) -> None:
        super().__init__(values)
        self._codes = {REDACTED[code]: code for code in self.texts("codes")}

    def apply(self, rows: FixBatch) -> None:
        self.redact(rows)

    def change(self, text: str) -> str:
        clean = self._redact_texts([text]).get(text)
        return clean.text if clean else text

    def redact(self, rows: FixBatch) -> tuple[list[Replaced], list[RowError]]:
        """The redactions, and errors of rows that become invalid, which are removed from `rows`."""
        if rows.format is RowFormat.COMPLETION:
            return list(self._redact_pairs(rows)), []
        return self._redact_raws(rows)

    def _redact_texts(self, texts: Sequence[str], *, json: bool = False) -> dict[str, _Clean]:
        """The texts with a match, redacted; all are searched at once, since most have none."""
        joined = TEXT_SEPARATOR.join(texts)
        searched = blank_escapes(joined) if json else joined
        found = [one for one in list_pii(searched) if one.kind in self._codes]
        if not found:
            return {}
        ends = list(accumulate(len(text) + len(TEXT_SEPARATOR) for text in texts))
        kinds: dict[str, dict[PiiKind, None]] = {}
        for place in found:
            text = texts[bisect_right(ends, place.start)]
            kinds.setdefault(text, {})[place.kind] = None
        clean = redact_json if json else redact
        return {
            text: _Clean(clean(text, self._codes), tuple(self._codes[kind] for kind in ordered))
            for text, ordered in kinds.items()
        }

    def _redact_pairs(self, rows: FixBatch) -> Iterator[Replaced]:
        columns = rows.prompts, rows.completions
        found = [self._redact_texts(texts) for texts in columns]
        if not any(found):
            return
        rows.prompts, rows.completions = (
            [clean[text].text if text in clean else text for text in texts]
            for texts, clean in zip(columns, found, strict=True)
        )
        for place, *row in zip(rows.places, *columns, strict=True):
            reported: set[str] = set()
            for text, clean in zip(row, found, strict=True):
                if text not in clean:
                    continue
                for code in clean[text].codes:
                    if code not in reported:
                        yield Replaced(place, code, text, clean[text].text)
                reported.update(clean[text].codes)

    def _redact_raws(self, rows: FixBatch) -> tuple[list[Replaced], list[RowError]]:
        texts = list(map(list_texts, rows.raws))
        calls = list(map(list_arguments, rows.raws))
        found = self._redact_texts([text for row in texts for text in row])
        called = self._redact_texts([text for row in calls for text in row], json=True)
        if not found and not called:
            return [], []
        raws: list[JsonObject] = []
        replaced: list[Replaced] = []
        row_errors: dict[int, RowError] = {}
        for place, raw, held, asked in zip(rows.places, rows.raws, texts, calls, strict=True):
            codes = _list_codes([(found, held), (called, asked)])
            new = _change(raw, found, called) if codes else raw
            raws.append(new)
            replaced += [Replaced(place, code, raw, new) for code in codes]
            try:
                if codes:
                    check_format(new)
            except InvalidRow as error:
                row_errors[place] = RowError(place, error.code, f"{error}, redacted", record=new)
        rows.raws = raws
        if row_errors:
            rows.keep([place not in row_errors for place in rows.places])
        return replaced, list(row_errors.values())


def _list_codes(looked: Iterable[tuple[Mapping[str, _Clean], Sequence[str]]]) -> list[str]:
    """The codes of the checks that matched one of the texts, each once."""
    codes: dict[str, None] = {}
    for found, texts in looked:
        for text in texts:
            if text in found:
                codes.update(dict.fromkeys(found[text].codes))
    return list(codes)


def _change(
    raw: JsonObject, found: Mapping[str, _Clean], called: Mapping[str, _Clean]
) -> JsonObject:
    """The row with redacted texts and tool arguments."""

    def clean(known: Mapping[str, _Clean], text: str) -> str:
        return known[text].text if text in known else text

    new = change_texts(raw, partial(clean, found))
    return cast(JsonObject, change_texts(new, partial(clean, called), ARGUMENT_KEYS))
