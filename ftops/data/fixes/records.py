"""Fixes of records that are not valid rows."""

import json
import re
from typing import ClassVar, cast

import orjson

from ftops.data.fixes.fix import Fix, FixParam, RecordFix
from ftops.data.keys import is_metadata, list_keys, without_keys
from ftops.data.reading.json_text import BOOLEAN, NUMBER, WHOLE_NUMBER, value_to_text
from ftops.records import Json
from ftops.rows.formats import PAIR_KEYS, ROW_KEYS
from ftops.rows.json_values import count_strings
from ftops.rows.tools import TOOL_KEYS


class RepairJson(RecordFix):
    CODE = "repair-json"
    TITLE = "repair almost valid JSON"
    ABOUT = (
        "Quotes keys, replaces single and curly quotes with double ones, and removes trailing"
        " commas. A truncated line is not repaired."
    )
    CODES = ("not-json",)

    def repair(self, record: object) -> object | None:
        if not isinstance(record, bytes):
            return None
        try:
            return repair_json(record.decode("utf-8"))
        except UnicodeDecodeError:
            return None


class RenameKeys(RecordFix):
    CODE = "rename-keys"
    TITLE = "rename keys to prompt and completion"
    ABOUT = (
        "Renames keys that equal `prompt` and `completion` except for case and surrounding"
        " white space."
    )
    CODES = ("missing-key",)

    def repair(self, record: object) -> object | None:
        if not isinstance(record, dict):
            return None
        names = [str(key).strip().lower() for key in record]
        if any(names.count(key) != 1 for key in PAIR_KEYS):
            return None
        renamed = zip(names, record.items(), strict=True)
        return {(name if name in PAIR_KEYS else key): value for name, (key, value) in renamed}


class StringifyNumbers(RecordFix):
    CODE = "stringify-numbers"
    TITLE = "convert numbers and booleans to text"
    ABOUT = (
        "A prompt or completion that is a number or a boolean becomes the text in the file:"
        " `1.10` stays `1.10`. Whole numbers may be mixed with texts; fractions and booleans"
        " are proposed only where all values of the column have that type. A floating-point"
        " number of a table that is too large for its digits is still rejected."
    )
    CODES = ("not-text",)
    PARAMS: ClassVar = {
        "kinds": FixParam(
            "texts",
            "the types to convert besides whole numbers",
            required=False,
            of=(NUMBER, BOOLEAN),
        )
    }

    def repair(self, record: object) -> object | None:
        if not isinstance(record, dict):
            return None
        kinds = {WHOLE_NUMBER, *self.texts("kinds")}
        return {
            key: value_to_text(value, kinds) if key in PAIR_KEYS else value
            for key, value in record.items()
        }


class StringifyArguments(RecordFix):
    CODE = "stringify-arguments"
    TITLE = "convert tool arguments to JSON text"
    ABOUT = (
        "Arguments of a tool call that are an object become JSON text; an empty text becomes"
        " `{}`. Text that is not valid JSON is not changed."
    )
    CODES = ("bad-call",)

    def repair(self, record: object) -> object | None:
        too_deep = count_strings(record) is None
        return None if too_deep else _stringify_arguments(cast(Json, record))


def _stringify_arguments(record: Json) -> Json:
    """The record with the arguments of all tool calls as text."""
    if isinstance(record, list):
        return [_stringify_arguments(one) for one in record]
    if not isinstance(record, dict):
        return record
    row = {
        key: one if key in TOOL_KEYS else _stringify_arguments(one) for key, one in record.items()
    }
    given = row.get("arguments")
    if "name" in row and (isinstance(given, dict) or given == ""):
        row["arguments"] = orjson.dumps(given or {}).decode()
    return row


class DropExtraKeys(RecordFix):
    CODE = "drop-extra-keys"
    TITLE = "drop metadata keys"
    ABOUT = (
        "Drops the named keys. Only ids, sources, dates and the like are proposed, each by"
        " name. A key that may hold training data is dropped only if a plan or `--drop` names"
        " it. Without names, all metadata keys are dropped."
    )
    CODES = ("extra-key", "unknown-key", "unsupported-key")
    PARAMS: ClassVar = {"keys": FixParam("texts", "the keys to drop", required=False)}

    def repair(self, record: object) -> object | None:
        if not isinstance(record, dict):
            return None
        names = self.texts("keys") or filter(is_metadata, list_keys(record))
        return without_keys(record, set(names) - ROW_KEYS)


class RemoveNul(RecordFix):
    CODE = "remove-nul"
    TITLE = "remove the character U+0000"
    ABOUT = "No text needs it, and many programs truncate text there."
    CODES = ("nul-character",)

    def repair(self, record: object) -> object | None:
        return _without_nul(record)


def _without_nul(value: object) -> object:
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_nul(one) for one in value]
    return value


class DropInvalidRows(Fix):
    """Names the checks whose rows the plan runner drops."""

    CODE = "drop-invalid-rows"
    TITLE = "drop invalid rows"
    ABOUT = (
        "Drops the rows that fail the named checks; each check is confirmed separately. A row"
        " that fails another check still stops the preparation."
    )
    PARAMS: ClassVar = {"codes": FixParam("texts", "the checks whose rows are dropped")}


_MOST_CHARACTERS = 1 << 20
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<string>"(?:[^"\\]|\\.)*")
      | (?P<single>'(?:[^'\\]|\\.)*')
      | (?P<curly>\u201c[^\u201c\u201d"]*\u201d)
      | (?P<word>[A-Za-z_$][A-Za-z0-9_$]*)
      | (?P<number>-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)
      | (?P<sign>[{}\[\]:,])
    )""",
    re.VERBOSE | re.DOTALL,
)
_WORDS = {"true", "false", "null"}
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def repair_json(text: str) -> object | None:
    """The parsed value of almost valid JSON; None if there is more than one way to read it."""
    if len(text) > _MOST_CHARACTERS:
        return None
    tokens = _split(text.strip().removeprefix("\ufeff"))
    if not tokens:
        return None
    while tokens and tokens[-1] == ",":
        tokens.pop()
    kept = [
        token
        for token, following in zip(tokens, [*tokens[1:], ""], strict=False)
        if not (token == "," and following in ("}", "]"))
    ]
    try:
        value: object = orjson.loads("".join(kept))
    except orjson.JSONDecodeError:
        return None
    return value


def _split(text: str) -> list[str] | None:
    """The tokens of `text` in valid JSON; None if some part is not a token."""
    tokens: list[str] = []
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            return None
        at = found.end()
        token = _rewrite(found)
        if token is None:
            return None
        if found.lastgroup == "word" and token.startswith('"'):
            rest = text[at:].lstrip()
            if not rest.startswith(":"):  # an unquoted word may be a key, not a value
                return None
        tokens.append(token)
    return tokens


def _rewrite(found: "re.Match[str]") -> str | None:
    token = found[found.lastgroup or 0]
    if found.lastgroup == "single":
        return _requote(token[1:-1])
    if found.lastgroup == "curly":
        return json.dumps(token[1:-1], ensure_ascii=False)
    if found.lastgroup == "word" and token not in _WORDS:
        return json.dumps(token)
    return token


def _requote(inner: str) -> str | None:
    """The content of a single-quoted string, double-quoted."""
    parts = []
    end = 0
    for found in _ESCAPED.finditer(inner):
        parts.append(inner[end : found.start()].replace('"', r"\""))
        parts.append("'" if found[1] == "'" else found[0])
        end = found.end()
    parts.append(inner[end:].replace('"', r"\""))
    return f'"{"".join(parts)}"'
