"""What makes rows the same: what they ask, and all that they say, whatever the file and its order.

The ids stand in files that outlive a command (marks of `ftops data sample`): they must not change.
"""

from hashlib import sha256

import orjson

from ftops.data.rows import Row
from ftops.rows.formats import COMPLETION
from ftops.rows.messages import JsonObject
from ftops.rows.tools import answer_text

_ID_CHARS = 16


def prompt_text(row: Row) -> str:
    """The text that the model is given: the prompt, or all messages but the answer."""
    if row.format is COMPLETION:
        return str(row.raw["prompt"])
    return "\n".join(map(answer_text, row.messages[:-1]))


def row_id(row: Row) -> str:
    """64 bits of the SHA-256 of the row's JSON with its keys in order, as 16 hex digits."""
    return raw_id(row.raw)


def raw_id(raw: JsonObject) -> str:
    """The same of a row's JSON object alone."""
    return sha256(orjson.dumps(raw, option=orjson.OPT_SORT_KEYS)).hexdigest()[:_ID_CHARS]
