"""Reads the file that W&B keeps of an offline run; the library has no reader in Python any more.

The file is a log of records in LevelDB's format (blocks of 32 KiB; each piece has a header of
checksum, length and kind) after a head of seven bytes; each record is one of W&B's own messages.
"""

import importlib
import json
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_BLOCK = 32 * 1024
_HEAD = 7
_OWN = frozenset({"_step", "_runtime", "_timestamp"})
_FULL, _FIRST, _LAST = 1, 2, 4


@dataclass
class OfflineRun:
    """What the file says of the run."""

    id: str = ""
    name: str = ""
    project: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    history: dict[str, dict[int, float]] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    exit_code: int | None = None


def read_offline_run(folder: Path) -> OfflineRun:
    """The run in the one `.wandb` file of the folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        messages: Any = importlib.import_module("wandb.proto.wandb_internal_pb2")
    (path,) = folder.glob("*.wandb")
    found = OfflineRun()
    for data in _list_records(path.read_bytes()):
        _take(found, messages.Record.FromString(data))
    return found


def _take(found: OfflineRun, record: Any) -> None:
    match record.WhichOneof("record_type"):
        case "run":
            found.id, found.project = record.run.run_id, record.run.project
            found.name = record.run.display_name
            for item in record.run.config.update:
                found.config[item.key] = json.loads(item.value_json)
        case "history":
            values = {_key(item): json.loads(item.value_json) for item in record.history.item}
            step = record.history.step.num
            for key, value in values.items():
                if key not in _OWN:
                    found.history.setdefault(key, {})[step] = value
        case "summary":
            for item in record.summary.update:
                found.summary[_key(item)] = json.loads(item.value_json)
        case "files":
            found.files += [one.path for one in record.files.files]
        case "exit":
            found.exit_code = record.exit.exit_code


def _key(item: Any) -> str:
    return item.key or ".".join(item.nested_key)


def _list_records(content: bytes) -> Iterator[bytes]:
    assert content[:4] == b":W&B"
    at, parts = _HEAD, b""
    while at < len(content):
        left = _BLOCK - at % _BLOCK
        if left < _HEAD:  # too small for a header: filled up
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", content[at : at + _HEAD])
        piece = content[at + _HEAD : at + _HEAD + length]
        at += _HEAD + length
        parts = piece if kind in (_FULL, _FIRST) else parts + piece
        if kind in (_FULL, _LAST):
            yield parts
