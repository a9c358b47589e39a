"""Records that are no rows: mended where that is certain, otherwise left out by choice."""

from typing import ClassVar, cast

import orjson

from ftops.dataset.calls import TOOL_KEYS
from ftops.dataset.fixes.json_mending import mend_json
from ftops.dataset.fixes.protocol import Fix, RecordFix, Value
from ftops.dataset.messages import Raw
from ftops.dataset.reading.json_text import count_strings
from ftops.dataset.shapes import CHAT_KEYS, INPUT_KEYS, PREFERENCE_KEYS, is_preference
from ftops.records import Json

_PAIR_KEYS = ("prompt", "completion")


class MendJson(RecordFix):
    CODE = "mend-json"
    TITLE = "mend what is nearly JSON"
    ABOUT = (
        "Puts quotes around keys, makes double quotes of single and curly ones, and takes away"
        " commas that are too many. A line of which the end is missing is not mended."
    )
    CODES = ("not-json",)

    def mend(self, record: object) -> object | None:
        if not isinstance(record, bytes):
            return None
        try:
            return mend_json(record.decode("utf-8"))
        except UnicodeDecodeError:
            return None


class RenameKeys(RecordFix):
    CODE = "rename-keys"
    TITLE = "rename keys to prompt and completion"
    ABOUT = "Keys that are `prompt` and `completion` but for case and outer blanks become these."
    CODES = ("missing-key",)

    def mend(self, record: object) -> object | None:
        if not isinstance(record, dict):
            return None
        names = [str(key).strip().lower() for key in record]
        if any(names.count(key) != 1 for key in _PAIR_KEYS):
            return None
        renamed = zip(names, record.items(), strict=True)
        return {(name if name in _PAIR_KEYS else key): value for name, (key, value) in renamed}


class WriteNumbers(RecordFix):
    CODE = "write-numbers"
    TITLE = "write whole numbers as text"
    ABOUT = "A prompt or completion that is a whole number becomes its digits."
    CODES = ("not-text",)

    def mend(self, record: object) -> object | None:
        if not isinstance(record, dict):
            return None
        return {
            key: str(value) if key in _PAIR_KEYS and type(value) is int else value
            for key, value in record.items()
        }


class WriteArguments(RecordFix):
    CODE = "write-arguments"
    TITLE = "write the arguments of calls as JSON text"
    ABOUT = (
        "Arguments of a tool's call that are an object become the JSON of it, as text; an empty"
        " text becomes `{}`. What is text already, and no JSON, stays."
    )
    CODES = ("bad-call",)

    def mend(self, record: object) -> object | None:
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
    TITLE = "leave out keys that no provider takes"
    ABOUT = "Keeps what rows are made of, and leaves out ids, comments and other columns."
    CODES = ("extra-key",)

    def mend(self, record: object) -> object | None:
        if not isinstance(record, dict):
            return None
        row = cast(Raw, record)
        if "messages" in row:
            return {key: value for key, value in row.items() if key in CHAT_KEYS}
        if not is_preference(row):
            return {key: row[key] for key in _PAIR_KEYS if key in row}
        kept = {key: row[key] for key in PREFERENCE_KEYS if key in row}
        asked = kept.get("input")
        if isinstance(asked, dict):
            kept["input"] = {key: value for key, value in asked.items() if key in INPUT_KEYS}
        return kept


class RemoveNul(RecordFix):
    CODE = "remove-nul"
    TITLE = "take the character U+0000 out"
    ABOUT = "No text needs it, and many programs cut text there."
    CODES = ("nul-character",)

    def mend(self, record: object) -> object | None:
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
    """Says which faults may be left out; what is mended before does not come here."""

    CODE = "drop-bad-rows"
    TITLE = "leave out rows that cannot be used"
    ABOUT = (
        "Leaves out the rows that fail the named checks, each check its own choice. A row that"
        " fails another one still stops the preparation."
    )
    VALUES: ClassVar = {"codes": Value("texts", "the checks whose rows are left out")}
