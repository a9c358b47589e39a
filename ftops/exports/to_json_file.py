"""Writes a run as one JSON document."""

from collections.abc import Mapping
from pathlib import Path

import orjson

from ftops.exports.run_data import RunData
from ftops.files import write_atomic

_FOLDER = "exports/"


def write(run: RunData, settings: Mapping[str, str], folder: Path) -> str:
    """Put the document at the file that is named, in place of what stood there."""
    named = settings.get("file", _FOLDER)
    path = folder / named
    if named.endswith("/") or path.is_dir():
        path /= f"{run.id}.json"
    # Figures that are no numbers become null: JSON has none.
    text = orjson.dumps(run.to_json(), option=orjson.OPT_INDENT_2)
    write_atomic(path, text + b"\n", mode=0o644)
    return str(path)
