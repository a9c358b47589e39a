"""Records that are no rows: mended where that is certain, otherwise left out by choice."""

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
    TITLE = "mend what is nearly JSON"
    ABOUT = (
        "Puts quotes around keys, makes double quotes of single and curly ones, and takes away"
        " commas that are too many. A line of which the end is missing is not mended."
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
    ABOUT = "Keys that are `prompt` and `completion` but for case and outer blanks become these."
    CODES = ("missing-key",)

    def repair(self, record: object) -> object | None:
        if not isinstance(record, dict):
            return None
        names = [str(key).strip().lower() for key in record]
        if any(names.count(key) != 1 for key in PAIR_KEYS):
            return None
        renamed = zip(names, record.items(), strict=True)
        return {(name if name in PAIR_KEYS else key): value for name, (key, value) in renamed}


class WriteNumbers(RecordFix):
    CODE = "stringify-numbers"
    TITLE = "write numbers, true and false as text"
    ABOUT = (
        "A prompt or completion that is a number, or true or false, becomes the text that stands in"
        " the file: `1.10` stays `1.10`. Whole numbers may stand among texts; fractions and true"
        " and false are only proposed where all values of the column are such. What a table keeps"
        " as a floating point number too large for its digits stays refused."
    )
    CODES = ("not-text",)
    PARAMS: ClassVar = {
        "kinds": FixParam(
            "texts", "what is written beside whole numbers", required=False, of=(NUMBER, BOOLEAN)
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


class WriteArguments(RecordFix):
    CODE = "stringify-arguments"
    TITLE = "write the arguments of calls as JSON text"
    ABOUT = (
        "Arguments of a tool's call that are an object become the JSON of it, as text; an empty"
        " text becomes `{}`. What is text already, and no JSON, stays."
    )
    CODES = ("bad-call",)

    def repair(self, record: object) -> object | None:
        too_deep = count_strings(record) is None
        return None if too_deep else _write_arguments(cast(Json, record))


def _write_arguments(record: Json) -> Json:
    """The record with the arguments of all calls in it as text."""
    if isinstance(record, list):
        return [_write_arguments(one) for one in record]
    if not isinstance(record, dict):
        return record
    row = {key: one if key in TOOL_KEYS else _write_arguments(one) for key, one in record.items()}
    given = row.get("arguments")
    if "name" in row and (isinstance(given, dict) or given == ""):
        row["arguments"] = orjson.dumps(given or {}).decode()
    return row


class DropExtraKeys(RecordFix):
    CODE = "drop-extra-keys"
    TITLE = "leave out keys that only describe the row"
    ABOUT = (
        "Leaves the named keys out. Only ids, sources, dates and the like are proposed, each by its"
        " name. A key that may carry something to learn from is left out when a plan or `--drop`"
        " names it, and never otherwise. Without names it is about all that only describe."
    )
    CODES = ("extra-key", "unknown-key", "unsupported-key")
    PARAMS: ClassVar = {"keys": FixParam("texts", "the keys that are left out", required=False)}

    def repair(self, record: object) -> object | None:
        if not isinstance(record, dict):
            return None
        names = self.texts("keys") or filter(is_metadata, list_keys(record))
        return without_keys(record, set(names) - ROW_KEYS)


class RemoveNul(RecordFix):
    CODE = "remove-nul"
    TITLE = "take the character U+0000 out"
    ABOUT = "No text needs it, and many programs cut text there."
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


class DropBadRows(Fix):
    """Says which row errors may be left out; what is mended before does not come here."""

    CODE = "drop-invalid-rows"
    TITLE = "leave out rows that cannot be used"
    ABOUT = (
        "Leaves out the rows that fail the named checks, each check its own choice. A row that"
        " fails another one still stops the preparation."
    )
    PARAMS: ClassVar = {"codes": FixParam("texts", "the checks whose rows are left out")}


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
    """The value that `text` was meant to be; None when that is not certain."""
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
    """The tokens of `text` as JSON writes them; None when something in it is no token."""
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
            if not rest.startswith(":"):  # a word alone is a key, never a value
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
    """What stood between single quotes, between double ones."""
    parts = []
    end = 0
    for found in _ESCAPED.finditer(inner):
        parts.append(inner[end : found.start()].replace('"', r"\""))
        parts.append("'" if found[1] == "'" else found[0])
        end = found.end()
    parts.append(inner[end:].replace('"', r"\""))
    return f'"{"".join(parts)}"'
