"""Rows that cannot be used at all, and text that was garbled on its way."""

import re
from collections.abc import Iterator
from typing import Self

from ftops.data.batch_parser import TEXT_SEPARATOR, RowBatch
from ftops.data.checks.check import Check, CheckContext, row_check
from ftops.data.findings import (
    Finding,
    Occurrences,
    Rule,
    Severity,
    create_finding,
    format_rows,
)
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
    Rule("not-json", _E, "not JSON",
         "The line is not valid JSON: quotes around keys are missing, a comma is too much, the last"
         " line was cut when the file was copied.",
         "Mend the line; the message says where the parser stopped.", _DROP),
    Rule("not-utf8", _E, "not UTF-8", "Bytes that are no UTF-8 text: the file was saved otherwise.",
         "Name the encoding with --encoding, or save the file as UTF-8."),
    Rule("too-long", _E, "line too long", "A line of more than 8 MiB is not read.",
         "Cut the row into several.", _DROP),
    Rule("blank-line", _E, "blank line", "A blank line between rows is no row; at the end it is "
         "harmless.", "Delete the line.", _DROP),
    Rule("wrong-cells", _E, "wrong number of cells", "A row of a table has more or fewer cells than"
         " the header: often a delimiter inside a cell that is not quoted.",
         "Put cells that hold the delimiter in quotes.", _DROP),
    Rule("duplicate-key", _E, "key stands twice", "A JSON object names a key more than once; "
         "parsers keep the last and lose the other without a word.", "Keep one of them.", _DROP),
    Rule("not-an-object", _E, "not an object", "A row is a JSON object in braces.",
         'Write {"prompt": "…", "completion": "…"} on each line.', _DROP),
    Rule("missing-key", _E, "key is missing", "A row lacks prompt or completion.",
         "Name the columns with --prompt and --completion, or rename them.", _DROP),
    Rule("extra-key", _E, "key that only describes the row", "Providers refuse rows with other keys"
         " than those of their format. An id, a source or a date is nothing to learn from.",
         "Leave the keys out; the fix names each of them.", "drop-extra-keys"),
    Rule("unknown-key", _E, "key of unknown meaning", "Providers refuse rows with other keys than"
         " those of their format. What such a key holds may belong to the question or to the"
         " answer, so it is never left out unless it is named.",
         "Name the keys that nothing is to be learned from: `--drop KEY`; or read the rows by their"
         " columns, with `--prompt` and `--completion`."),
    Rule("unsupported-key", _E, "key that carries more than the row", "Pictures, labels, rejected"
         " answers, weights, tools and parts of the conversation would be lost: a row that is"
         " trained without them says something else.",
         "Convert the rows so that nothing is lost. What is not needed is named: `--drop KEY`."),
    Rule("media-placeholder", _E, "sign that stands for a picture or a sound", "A text such as"
         " `<image>` stands for something that is not there: only text is trained.",
         "Take such rows out. A tag that is meant as text stands in backquotes, or is closed."),
    Rule("unexpected-key", _E, "key that the layout has no place for", "Rows that are read by a"
         " [layout](data-formats.md) have its keys. A row with another one would lose what stands"
         " under it.", "Take the key out of the row, or drop the row.", _DROP),
    Rule("null-value", _E, "null", "A value is null. It is not text, and never becomes the word "
         "None.", "Fill the value in, or drop the row.", _DROP),
    Rule("not-text", _E, "not text", "A value is a number, a list, or half a character.",
         "Put the value in quotes.", _DROP),
    Rule("number-column", Severity.ADVICE, "column of numbers or of true and false", "All prompts"
         " or all completions are numbers, or true or false: they have one reading as text.",
         "Write them as text, each as it stands.", "stringify-numbers"),
    Rule("empty-completion", _E, "completion is empty", "Such a row teaches nothing.",
         "Fill the completion in, or drop the row.", _DROP),
    Rule("nul-character", _E, "character U+0000", "Text with this character is refused or cut by "
         "many programs.", "Take the character out.", _DROP),
    Rule("too-deep", _E, "nested too deep", "Values nest deeper than 64 levels.",
         "Write the value flatter.", _DROP),
    Rule("mixed-formats", _E, "rows of different shapes", "All rows have one shape: chats,"
         " preferences, or prompt and completion.",
         "Split the file by shape, or convert the rows."),
    Rule("bad-role", _E, "unknown role", "The role of a message is none that the API knows.",
         "Use system, developer, user, assistant or tool.", _DROP),
    Rule("bad-weight", _E, "bad weight", "The weight of a message is 0 (not learned) or 1.",
         "Write 0 or 1.", _DROP),
    Rule("no-answer", _E, "no answer to learn", "A chat ends with a text of the assistant, or with"
         " calls of tools.", "Put the wanted answer at the end, or drop the row.", _DROP),
    Rule("bad-tools", _E, "tools are not defined well", "`tools` is a list of objects with the type"
         " `function` and a `function` that has a name and a schema of its parameters; each name"
         " stands there once. `parallel_tool_calls` is true or false.",
         "Write the tools as they are written when the model is asked.", _DROP),
    Rule("bad-call", _E, "malformed call of a tool", "A call has an `id`, the type `function`, and"
         " a `function` with a name and its arguments: a JSON object that is written as text, such"
         ' as `"{\\"city\\": \\"Lima\\"}"`, and `"{}"` without any. Two calls of a message have'
         " different ids. Of a message with the weight 0, arguments may be wrong: it is not"
         " learned.", "Write the call as the API returns it, or drop the row.", _DROP),
    Rule("unknown-tool", _E, "call of a tool that the row does not offer", "The row has"
         " `tools`, and the one that is called is not among them: the model would learn to make up"
         " names.", "Add the tool to the row's `tools`, or mend the name.", _DROP),
    Rule("unanswered-call", _E, "call without an answer", "After a message that calls tools, a"
         " message of the role `tool` answers each call before anybody else speaks. Only the calls"
         " at the end of a row, which are what is learned, have no answer.",
         "Put the tool's answer behind the call, or end the row with the call.", _DROP),
    Rule("stray-answer", _E, "answer of a tool that was not called", "A message of the role `tool`"
         " has the id of a call in the message before it in `tool_call_id`.",
         "Mend the id, or take the message out.", _DROP),
    Rule("bad-chat", _E, "not a chat", "A message lacks what a message must have.",
         "Each message is an object with role and content.", _DROP),
    Rule("bad-preference", _E, "not a preference", "A preference is a chat that wants an answer,"
         " and one message of the assistant each that is preferred and that is not.",
         "Write input, preferred_output and non_preferred_output as the message says.", _DROP),
    Rule("equal-answers", _E, "both answers are equal", "Nothing can be preferred of two answers"
         " that are the same but for blanks.", "Drop the row, or write another answer.", _DROP),
)  # fmt: skip
MOJIBAKE = Rule(
    "mojibake", Severity.WARNING, "garbled letters",
    "UTF-8 text was once read as another encoding and saved again: é became Ã©. The model would"
    " learn to write so.",
    "Save the original as UTF-8, or decode it with the right encoding.", "fix-mojibake",
)  # fmt: skip
_NEEDLES = (("Ã", "Ã"), ("Â", "Â"), ("â", "â€"), ("¿", "ï»¿"), ("\ufffd", "\ufffd"))
_GARBLED = re.compile(
    "[ÃÂ][\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u203a"
    "\u20ac\u2122]|â€[\u0080-\u00bf\u0153\u02dc\u2013-\u203a\u20ac\u2122]|ï»¿|\ufffd"
)
_SHOWN_REASONS = 3
NUMBERS_RULE = next(rule for rule in ROW_RULES if rule.code == "number-column")


class Structure(Check):
    """Counts the row errors of reading and sifting."""

    RULES = ROW_RULES

    def __init__(self, profile: DatasetProfile) -> None:
        self._seen: dict[str, Occurrences] = {}
        self._reasons: dict[str, list[str]] = {}
        self._columns = ""  # options that name columns of a row without any key that is known
        self._extra: dict[str, None] = {}
        self._kinds: dict[str, set[str]] = {key: set() for key in PAIR_KEYS}
        self._affected: set[str] = set()  # columns with values that are no text
        self._numbers = Occurrences()

    def add(self, batch: RowBatch) -> None:
        for column, kinds in zip(
            (batch.prompts, batch.completions), self._kinds.values(), strict=True
        ):
            if column and TEXT not in kinds:  # a reader of columns writes whole numbers as text
                kinds.add(WHOLE_NUMBER if all(map(is_whole_number, column)) else TEXT)
        for row_error in batch.row_errors:
            if row_error.code == "missing-key" and not self._columns:
                self._columns = suggest_columns(row_error.record)
            self._seen.setdefault(row_error.code, Occurrences()).add(
                row_error.place, row_error.count
            )
            self._note(row_error.code, row_error.reason)
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

    def _note(self, code: str, reason: str) -> None:
        reasons = self._reasons.setdefault(code, [])
        if len(reasons) < _SHOWN_REASONS and reason not in reasons:
            reasons.append(reason)

    def merge(self, later: Self, shift: int) -> None:
        self._columns = self._columns or later._columns
        for code, seen in later._seen.items():
            self._seen.setdefault(code, Occurrences()).merge(seen, shift)
            for reason in later._reasons[code]:
                self._note(code, reason)
        self._extra |= later._extra
        self._numbers.merge(later._numbers, shift)
        self._affected |= later._affected
        for key, kinds in later._kinds.items():
            self._kinds[key] |= kinds

    def _find_number_columns(self) -> dict[str, str]:
        """The columns in which all values are numbers, or all are true or false."""
        return {
            key: NUMBER if kinds <= NUMBERS else next(iter(kinds))
            for key, kinds in self._kinds.items()
            if key in self._affected and (kinds <= NUMBERS or kinds == {BOOLEAN})
        }

    def findings(self, context: CheckContext) -> Iterator[Finding]:
        for rule in ROW_RULES:
            if rule is NUMBERS_RULE and (columns := self._find_number_columns()):
                said = " and ".join(f"every {key} is {kind}" for key, kind in columns.items())
                kinds: list[Json] = [*sorted(set(columns.values()))]
                yield create_finding(rule, said, self._numbers, fix_params={"kinds": kinds})
                continue
            seen = self._seen.get(rule.code)
            if seen is not None:
                reasons = "; ".join(self._reasons[rule.code])
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
