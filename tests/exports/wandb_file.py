"""Reads W&B's file of an offline run; the library no longer has a reader in Python.

The file is a log of records in LevelDB's format (blocks of 32 KiB; each chunk has a header of
checksum, length and type) after a file header of seven bytes; each record is a W&B message.
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
    """The run as recorded in the file."""

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
    run = OfflineRun()
    for data in _list_records(path.read_bytes()):
        _add_record(run, messages.Record.FromString(data))
    return run


def _add_record(run: OfflineRun, record: Any) -> None:
    match record.WhichOneof("record_type"):
        case "run":
            run.id, run.project = record.run.run_id, record.run.project
            run.name = record.run.display_name
            for item in record.run.config.update:
                run.config[item.key] = json.loads(item.value_json)
        case "history":
            values = {_key(item): json.loads(item.value_json) for item in record.history.item}
            step = record.history.step.num
            for key, value in values.items():
                if key not in _OWN:
                    run.history.setdefault(key, {})[step] = value
        case "summary":
            for item in record.summary.update:
                run.summary[_key(item)] = json.loads(item.value_json)
        case "files":
            run.files += [file.path for file in record.files.files]
        case "exit":
            run.exit_code = record.exit.exit_code


def _key(item: Any) -> str:
    return item.key or ".".join(item.nested_key)


def _list_records(content: bytes) -> Iterator[bytes]:
    assert content[:4] == b":W&B"
    offset, parts = _HEAD, b""
    while offset < len(content):
        remaining = _BLOCK - offset % _BLOCK
        if remaining < _HEAD:  # too small for a header: filled up
            offset += remaining
            continue
        _, length, kind = struct.unpack("<IHB", content[offset : offset + _HEAD])
        chunk = content[offset + _HEAD : offset + _HEAD + length]
        offset += _HEAD + length
        parts = chunk if kind in (_FULL, _FIRST) else parts + chunk
        if kind in (_FULL, _LAST):
            yield parts
