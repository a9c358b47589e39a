"""Runs all checks over a source, in this process or in several that each read a range of bytes.

Worker processes are started, not forked, with one hash seed, so that equal rows have equal hashes
in all of them. They exchange JSON, never code: only the types in `_TYPES` can be sent, each as an
object with one key, its type.
"""

import os
import subprocess
import sys
from array import array
from base64 import b64decode, b64encode
from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, cast

import orjson

from ftops.data.check_set import CheckSet, check_batches, read_profile
from ftops.data.checks.affixes import Capitals, CommonEnding, CommonPrefix, MarkerFinder
from ftops.data.checks.duplicates import RowPlaces
from ftops.data.checks.registry import CHECKS
from ftops.data.findings import Occurrences
from ftops.data.profile import NO_TOKEN_LIMIT, DatasetProfile, TokenLimit
from ftops.data.reading.decoding import PIECE_BYTES, Pieces
from ftops.data.reading.lines import read_json_lines
from ftops.data.reading.source import Source
from ftops.data.screening.word_list import NO_WORDS, WordList
from ftops.errors import DatasetError
from ftops.records import RowFormat

_LEAST_BYTES = 96 << 20  # for smaller files, starting processes does not pay off
_BOM = b"\xef\xbb\xbf"
_MOST_PROCESSES = 4


_TYPES: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        *CHECKS,
        CheckSet,
        DatasetProfile,
        TokenLimit,
        WordList,
        RowPlaces,
        Occurrences,
        CommonEnding,
        CommonPrefix,
        Capitals,
        MarkerFinder,
    )
}


def run_checks(
    source: Source,
    *,
    asked: Collection[str] = (),
    like: DatasetProfile | None = None,
    processes: int | None = None,
    environ: Mapping[str, str] | None = None,
    token_limit: TokenLimit = NO_TOKEN_LIMIT,
    words: WordList = NO_WORDS,
) -> CheckSet:
    """Read the source once and run all checks over it, and the optional checks in `asked`.

    `like` is the profile of the data to compare with; `words` is the list of the word-list check.

    With `environ` (the environment of worker processes), several processes read a large file if the
    machine is idle; `processes` sets their number. The result is the same. DatasetError if the
    source cannot be read to its end.
    """
    batches = source.batches()
    first, profile = read_profile(batches, source.unit, asked, like)
    profile = replace(profile, token_limit=token_limit, words=words)
    if source.plain is not None and environ is not None:
        wanted = choose_processes(source.plain, processes)
        if wanted > 1:
            getattr(batches, "close", lambda: None)()
            return check_in_processes(source.plain, profile, wanted, environ, asked)
    return check_batches(chain(first, batches), profile, source.unit, asked)


def choose_processes(path: Path, wanted: int | None) -> int:
    """The number of processes to use: `wanted`, else the number of idle processors."""
    if wanted is not None:
        return wanted
    if path.stat().st_size < _LEAST_BYTES:
        return 1
    affinity = getattr(os, "sched_getaffinity", None)
    processors = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min(_MOST_PROCESSES, round(processors - _count_busy())))


def _count_busy() -> float:
    """The number of busy processors; a large number if it is unknown.

    On Linux, it is the number of runnable threads besides this one. Elsewhere, it is the load
    average of the last minute.
    """
    try:
        running = Path("/proc/loadavg").read_text(encoding="ascii").split()[3]
        return int(running.partition("/")[0]) - 1
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return _MOST_PROCESSES


def split_ranges(path: Path, parts: int) -> list[tuple[int, int]]:
    """Byte ranges that cover the file; each ends after a line that is not blank.

    Therefore only the last range can end with blank lines.
    """
    size = path.stat().st_size
    bounds = [0]
    with path.open("rb") as stream:
        for part in range(1, parts):
            stream.seek(max(size * part // parts, bounds[-1]))
            _pass_line(stream)  # the line that the boundary falls into
            while _pass_line(stream):
                pass
            if bounds[-1] < stream.tell() < size:
                bounds.append(stream.tell())
    return list(zip(bounds, [*bounds[1:], size], strict=True))


def _pass_line(stream: BinaryIO) -> bool:
    """Read to the end of a line; True if the line is blank and not the end of the file."""
    blank, first = True, True
    while piece := stream.readline(PIECE_BYTES):
        blank = blank and not piece.strip()
        first = False
        if piece.endswith(b"\n"):
            break
    return blank and not first


def read_range(path: Path, start: int, end: int) -> Pieces:
    """The bytes of a range, without the byte order mark of the file."""
    with path.open("rb") as stream:
        stream.seek(start)
        left = end - start
        while left > 0 and (piece := stream.read(min(left, PIECE_BYTES))):
            left -= len(piece)
            yield piece.removeprefix(_BOM) if start == 0 and left + len(piece) == end else piece


def check_in_processes(
    path: Path,
    profile: DatasetProfile,
    processes: int,
    environ: Mapping[str, str],
    asked: Collection[str] = (),
) -> CheckSet:
    """Check the JSON Lines at `path` with several processes; DatasetError if one fails."""
    seed = str(int.from_bytes(os.urandom(4)))
    command = [sys.executable, "-P", "-m", "ftops.data.check_runner"]
    seeded = {**environ, "PYTHONHASHSEED": seed}
    workers = []
    try:
        for start, end in split_ranges(path, processes):
            worker = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=seeded,
            )
            workers.append(worker)
            assert worker.stdin is not None
            with worker.stdin as stream:
                stream.write(serialize((str(path), start, end, profile, list(asked))))
        parts = list(_collect(path, workers))
    finally:
        for worker in workers:
            worker.kill()
            with worker:
                pass
    first, *others = parts
    for other in others:
        first.merge(other)
    return first


def _collect(path: Path, workers: list[subprocess.Popen[bytes]]) -> Iterator[CheckSet]:
    for worker in workers:
        assert worker.stdout is not None
        data = worker.stdout.read()
        if worker.wait() != 0:
            raise DatasetError(
                f"{path}: a process that checked a part of it exited with code {worker.returncode}",
                hint="Run the command again, or with `--processes 1`.",
            )
        yield cast(CheckSet, deserialize(data))


def serialize(value: object) -> bytes:
    """`value` as JSON; TypeError if it has a type that cannot be sent."""
    return orjson.dumps(_pack(value))


def deserialize(data: bytes) -> Any:
    """The value that was serialized; KeyError for a type that cannot be sent."""
    return _unpack(orjson.loads(data))


def _pack(value: object) -> object:
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) is RowFormat:
        return {"format": value.value}
    if type(value) is array:
        return {"array": [value.typecode, b64encode(value.tobytes()).decode("ascii")]}
    if type(value) is dict:
        return {"dict": [[_pack(key), _pack(item)] for key, item in value.items()]}
    for name, kind in (("list", list), ("tuple", tuple), ("set", set)):
        if type(value) is kind:
            return {name: [_pack(item) for item in value]}
    kind_name = type(value).__name__
    if _TYPES.get(kind_name) is not type(value):
        raise TypeError(f"{kind_name} cannot be sent to another process")
    names = [item.name for item in fields(value)] if is_dataclass(value) else list(vars(value))
    return {kind_name: {name: _pack(getattr(value, name)) for name in names}}


def _unpack(packed: Any) -> Any:
    if not isinstance(packed, dict):
        return packed
    ((name, content),) = packed.items()
    if name == "format":
        return RowFormat(content)
    if name == "array":
        values: array[int] = array(content[0])
        values.frombytes(b64decode(content[1]))
        return values
    if name == "dict":
        return {_unpack(key): _unpack(item) for key, item in content}
    if name in ("list", "tuple", "set"):
        make = {"list": list, "tuple": tuple, "set": set}[name]
        return make(map(_unpack, content))
    value: Any = object.__new__(_TYPES[name])
    for field, item in content.items():
        object.__setattr__(value, field, _unpack(item))
    return value


def main() -> None:
    """Check the range that standard input names; write the checks to standard output."""
    name, start, end, profile, asked = deserialize(sys.stdin.buffer.read())
    pieces = read_range(Path(name), start, end)
    examination = check_batches(read_json_lines(pieces), profile, "line", asked)
    sys.stdout.buffer.write(serialize(examination))


if __name__ == "__main__":
    main()
