"""Checks of the structure of rows, and of garbled or non-portable characters."""

import re
from collections.abc import Iterator
from typing import Self

from ftops.data.batch_parser import TEXT_SEPARATOR, RowBatch
from ftops.data.checks.check import Check, CheckContext, row_check
from ftops.data.findings import Finding, Occurrences, Rule, Severity, create_finding, format_rows
from ftops.data.keys import is_metadata, list_keys
from ftops.data.profile import DatasetProfile
from ftops.data.reading.json_text import (
    BOOLEAN,
    NUMBER,
    NUMBERS,
    TEXT,
    WHOLE_NUMBER,
    get_value_type,
    is_whole_number,
)
from ftops.data.reading.recognition import suggest_columns
from ftops.records import Json
from ftops.rows.formats import PAIR_KEYS

_E = Severity.ERROR
_DROP = "drop-invalid-rows"
ROW_RULES = (
    Rule("not-json", _E, "invalid JSON",
         "The line is not valid JSON: keys without quotes, a trailing comma, or a last line"
         " truncated by a copy.",
         "Correct the line; the message says where the parser stopped.", _DROP),
    Rule("not-utf8", _E, "invalid UTF-8", "The file contains bytes that are not UTF-8 text.",
         "Name the encoding with --encoding, or save the file as UTF-8."),
    Rule("too-long", _E, "line too long", "A line is longer than 8 MiB and is not read.",
         "Split the row into several.", _DROP),
    Rule("blank-line", _E, "blank line", "A blank line between rows is not a row. Blank lines at"
         " the end of the file are ignored.", "Delete the line.", _DROP),
    Rule("wrong-cells", _E, "wrong number of cells", "A table row has more or fewer cells than the"
         " header. Often a cell contains an unquoted delimiter.",
         "Quote cells that contain the delimiter.", _DROP),
    Rule("duplicate-key", _E, "duplicate key", "A JSON object has the same key more than once."
         " Parsers keep the last value and silently discard the others.", "Keep one of them.",
         _DROP),
    Rule("not-an-object", _E, "not an object", "A row must be a JSON object in braces.",
         'Write {"prompt": "…", "completion": "…"} on each line.', _DROP),
    Rule("missing-key", _E, "missing key", "A row has no prompt or no completion.",
         "Name the columns with --prompt and --completion, or rename them.", _DROP),
    Rule("extra-key", _E, "metadata key", "Providers reject rows with keys outside their format. An"
         " id, a source or a date is not training data.",
         "Drop the keys; the fix names each of them.", "drop-extra-keys"),
    Rule("unknown-key", _E, "unknown key", "Providers reject rows with keys outside their format."
         " The key may belong to the prompt or the completion, so it is dropped only if you name"
         " it.",
         "Name keys that are not training data with `--drop KEY`, or read the rows by column with"
         " `--prompt` and `--completion`."),
    Rule("unsupported-key", _E, "unsupported key", "The key holds training data that would be lost:"
         " images, labels, rejected answers, weights, tools or parts of the conversation.",
         "Convert the rows so that nothing is lost. Name what you do not need with `--drop KEY`."),
    Rule("media-placeholder", _E, "media placeholder", "A text such as `<image>` stands for media"
         " that the row does not contain. Only text is trained on.",
         "Remove these rows. Put a tag that is meant as text in backquotes, or close it."),
    Rule("unexpected-key", _E, "key outside the layout", "Rows read by a"
         " [layout](data-formats.md) may only have its keys; the value of another key would be"
         " lost.", "Remove the key, or drop the row.", _DROP),
    Rule("null-value", _E, "null value", "A value is null. It is never written as the text None.",
         "Fill in the value, or drop the row.", _DROP),
    Rule("not-text", _E, "value is not text", "A value is a number, a list, or an unpaired"
         " surrogate.", "Quote the value.", _DROP),
    Rule("number-column", Severity.ADVICE, "column of numbers or booleans", "All prompts or all"
         " completions are numbers or booleans, which have one representation as text.",
         "Write them as text.", "stringify-numbers"),
    Rule("empty-completion", _E, "empty completion", "There is nothing to train on in the row.",
         "Fill in the completion, or drop the row.", _DROP),
    Rule("nul-character", _E, "NUL character (U+0000)", "Many programs reject text with this"
         " character or truncate it there.", "Remove the character.", _DROP),
    Rule("too-deep", _E, "nested too deeply", "Values are nested deeper than 64 levels.",
         "Flatten the value.", _DROP),
    Rule("mixed-formats", _E, "mixed row formats", "All rows must have one format: chat,"
         " preference, or prompt and completion.",
         "Split the file by format, or convert the rows."),
    Rule("bad-role", _E, "unknown role", "The API does not know the role of a message.",
         "Use system, developer, user, assistant or tool.", _DROP),
    Rule("bad-weight", _E, "invalid weight", "The weight of a message must be 0 (not trained on) or"
         " 1.", "Write 0 or 1.", _DROP),
    Rule("no-answer", _E, "no assistant answer", "A chat must end with an assistant message or with"
         " tool calls.", "Add the expected answer at the end, or drop the row.", _DROP),
    Rule("bad-tools", _E, "invalid tools", "`tools` must be a list of objects with the type"
         " `function` and a `function` with a unique name and a schema of its parameters."
         " `parallel_tool_calls` must be true or false.",
         "Define the tools as in a request to the model.", _DROP),
    Rule("bad-call", _E, "malformed tool call", "A tool call must have an `id`, the type"
         " `function`, and a `function` with a name and arguments: a JSON object written as text,"
         ' such as `"{\\"city\\": \\"Lima\\"}"`, or `"{}"`. The ids in a message must differ.'
         " Arguments may be invalid in a message with the weight 0, which is not trained on.",
         "Write the call as the API returns it, or drop the row.", _DROP),
    Rule("unknown-tool", _E, "call of an undefined tool", "The row has `tools`, and the called tool"
         " is not one of them: the model would learn to invent names.",
         "Add the tool to the row's `tools`, or correct the name.", _DROP),
    Rule("unanswered-call", _E, "tool call without a result", "After tool calls, a message with the"
         " role `tool` must answer each call before the next message. Only the calls at the end of"
         " a row, which are trained on, have no result.",
         "Add the result of the tool after the call, or end the row with the call.", _DROP),
    Rule("stray-answer", _E, "tool result without a call", "The `tool_call_id` of a `tool` message"
         " must be the id of a call in the message before.",
         "Correct the id, or remove the message.", _DROP),
    Rule("bad-chat", _E, "malformed chat", "A message lacks a required key.",
         "Each message is an object with role and content.", _DROP),
    Rule("bad-preference", _E, "malformed preference", "A preference is a chat without an answer,"
         " one preferred and one non-preferred assistant message.",
         "Write input, preferred_output and non_preferred_output as the message says.", _DROP),
    Rule("equal-answers", _E, "identical answers", "Both answers of a preference are equal except"
         " for white space.", "Drop the row, or change one answer.", _DROP),
)  # fmt: skip
MOJIBAKE = Rule(
    "mojibake", Severity.WARNING, "garbled characters",
    "UTF-8 text was decoded with another encoding and saved again: é became Ã©. The model would"
    " learn to write such characters.",
    "Save the original as UTF-8, or decode it with the right encoding.", "fix-mojibake",
)  # fmt: skip
_NEEDLES = (("Ã", "Ã"), ("Â", "Â"), ("â", "â€"), ("¿", "ï»¿"), ("\ufffd", "\ufffd"))
_GARBLED = re.compile(
    "[ÃÂ][\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u203a"
    "\u20ac\u2122]|â€[\u0080-\u00bf\u0153\u02dc\u2013-\u203a\u20ac\u2122]|ï»¿|\ufffd"
)
NUMBERS_RULE = next(rule for rule in ROW_RULES if rule.code == "number-column")


class Structure(Check):
    """Counts the row errors of reading and parsing."""

    RULES = ROW_RULES

    def __init__(self, profile: DatasetProfile) -> None:
        self._seen: dict[str, Occurrences] = {}
        self._columns = ""  # suggested options for a row without known keys
        self._extra: dict[str, None] = {}
        self._kinds: dict[str, set[str]] = {key: set() for key in PAIR_KEYS}
        self._affected: set[str] = set()  # columns with values that are not text
        self._numbers = Occurrences()

    def add(self, batch: RowBatch) -> None:
        for column, kinds in zip(
            (batch.prompts, batch.completions), self._kinds.values(), strict=True
        ):
            if column and TEXT not in kinds:  # readers of tables return integers as text
                kinds.add(WHOLE_NUMBER if all(map(is_whole_number, column)) else TEXT)
        for row_error in batch.row_errors:
            if row_error.code == "missing-key" and not self._columns:
                self._columns = suggest_columns(row_error.record)
            seen = self._seen.setdefault(row_error.code, Occurrences())
            seen.add(row_error.place, row_error.count)
            seen.add_reason(row_error.reason)
            if row_error.code == "extra-key" and isinstance(row_error.record, dict):
                self._extra |= dict.fromkeys(filter(is_metadata, list_keys(row_error.record)))
            if row_error.code == "not-text" and isinstance(row_error.record, dict):
                self._numbers.add(row_error.place)
                for key, kinds in self._kinds.items():
                    value = row_error.record.get(key)
                    if value is not None:
                        kinds.add(get_value_type(value))
                        if not isinstance(value, str):
                            self._affected.add(key)

    def merge(self, later: Self, shift: int) -> None:
        self._columns = self._columns or later._columns
        for code, seen in later._seen.items():
            self._seen.setdefault(code, Occurrences()).merge(seen, shift)
        self._extra |= later._extra
        self._numbers.merge(later._numbers, shift)
        self._affected |= later._affected
        for key, kinds in later._kinds.items():
            self._kinds[key] |= kinds

    def _list_number_columns(self) -> dict[str, str]:
        """The columns in which all values are numbers, or all are booleans."""
        return {
            key: NUMBER if kinds <= NUMBERS else next(iter(kinds))
            for key, kinds in self._kinds.items()
            if key in self._affected and (kinds <= NUMBERS or kinds == {BOOLEAN})
        }

    def findings(self, context: CheckContext) -> Iterator[Finding]:
        for rule in ROW_RULES:
            if rule is NUMBERS_RULE and (columns := self._list_number_columns()):
                message = " and ".join(f"every {key} is {kind}" for key, kind in columns.items())
                kinds: list[Json] = [*sorted(set(columns.values()))]
                yield create_finding(rule, message, self._numbers, fix_params={"kinds": kinds})
                continue
            seen = self._seen.get(rule.code)
            if seen is not None:
                reasons = "; ".join(seen.reasons)
                fix_params: dict[str, Json] | None = None
                if rule.fix == _DROP:
                    fix_params = {"codes": [rule.code]}
                elif rule.fix:
                    fix_params = {"keys": [*self._extra]}
                text = f"{format_rows(seen.count)}: {reasons}"
                advice = None
                if rule.code == "missing-key" and self._columns:
                    advice = f"Name the columns, such as {self._columns}, or rename them."
                yield create_finding(rule, text, seen, advice=advice, fix_params=fix_params)


def _may_be_garbled(text: str) -> bool:
    return not text.isascii() and any(
        first in text and needle in text for first, needle in _NEEDLES
    )


@row_check(MOJIBAKE, "with characters such as Ã© or â€™")
def mojibake(batch: RowBatch) -> Iterator[int]:
    columns = (
        (batch.prompt_text(), batch.prompts),
        (batch.completion_text(), batch.completions),
        (TEXT_SEPARATOR.join(batch.others), batch.others),
    )
    for joined, column in columns:
        if _may_be_garbled(joined):
            yield from (index for index, text in enumerate(column) if _GARBLED.search(text))


CARRIAGE_RETURN = Rule(
    "carriage-return", Severity.ADVICE, "CRLF line endings",
    "Lines inside texts end with a carriage return and a line feed (CRLF). These are other tokens"
    " than the line feed (LF) that models are mostly pre-trained on.",
    "Use LF, in the data and in prompts at inference.", "normalize-newlines",
)  # fmt: skip


@row_check(CARRIAGE_RETURN, "with carriage returns")
def carriage_returns(batch: RowBatch) -> Iterator[int]:
    columns = (
        (batch.prompt_text(), batch.prompts),
        (batch.completion_text(), batch.completions),
    )
    for joined, column in columns:
        if "\r" in joined:
            yield from (index for index, text in enumerate(column) if "\r" in text)
