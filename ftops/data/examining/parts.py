"""A large file examined by several processes, each over a range of bytes.

They are processes of their own rather than forks, started with one hash seed, so that the hashes
of equal rows are equal in all of them.
"""

import os
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from ftops.data.examining.examination import Examination, examine_batches
from ftops.data.examining.parcels import read_parcel, write_parcel
from ftops.data.examining.survey import Survey
from ftops.data.reading.lines import read_json_lines
from ftops.data.reading.streams import PIECE_BYTES, Pieces
from ftops.errors import DatasetError

if TYPE_CHECKING:
    import subprocess

_LEAST_BYTES = 96 << 20  # starting processes pays from here on
_BOM = b"\xef\xbb\xbf"
_MOST_PROCESSES = 4


def choose_processes(path: Path, wanted: int | None) -> int:
    """How many processes to use: as many as `wanted`, else as there are idle processors."""
    if wanted is not None:
        return wanted
    if path.stat().st_size < _LEAST_BYTES:
        return 1
    affinity = getattr(os, "sched_getaffinity", None)
    processors = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min(_MOST_PROCESSES, round(processors - _count_busy())))


def _count_busy() -> float:
    """How many processors others keep busy; many, where nobody knows.

    Linux tells how many threads would run just now, this one included. Elsewhere it is the average
    of the last minute, which still counts what ended long ago.
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


def find_ranges(path: Path, parts: int) -> list[tuple[int, int]]:
    """Byte ranges that together are the file; each ends behind a line that is not blank.

    So blank lines at the end of a range are at the end of the file.
    """
    size = path.stat().st_size
    bounds = [0]
    with path.open("rb") as stream:
        for part in range(1, parts):
            stream.seek(max(size * part // parts, bounds[-1]))
            _pass_line(stream)  # the one that the range would begin within
            while _pass_line(stream):
                pass
            if bounds[-1] < stream.tell() < size:
                bounds.append(stream.tell())
    return list(zip(bounds, [*bounds[1:], size], strict=True))


def _pass_line(stream: BinaryIO) -> bool:
    """Read to the end of a line, however long; whether it was blank, and not the file's end."""
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


def examine_parts(
    path: Path,
    survey: Survey,
    processes: int,
    environ: Mapping[str, str],
    asked: Collection[str] = (),
) -> Examination:
    """Examine the JSON lines at `path` with several processes; DatasetError when one dies."""
    import secrets  # these two are not needed by the processes that are started, which count each
    import subprocess  # hundredth of a second

    seed = str(secrets.randbelow(2**32 - 1) + 1)
    command = [sys.executable, "-P", "-m", "ftops.data.examining.parts"]
    seeded = {**environ, "PYTHONHASHSEED": seed}
    workers = []
    try:
        for start, end in find_ranges(path, processes):
            worker = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=seeded,
            )
            workers.append(worker)
            assert worker.stdin is not None
            with worker.stdin as stream:
                stream.write(write_parcel((str(path), start, end, survey, list(asked))))
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


def _collect(path: Path, workers: list["subprocess.Popen[bytes]"]) -> Iterator[Examination]:
    for worker in workers:
        assert worker.stdout is not None
        data = worker.stdout.read()
        if worker.wait() != 0:
            raise DatasetError(
                f"{path}: a process that read a part of it ended with code {worker.returncode}",
                hint="Give the same command again; --processes 1 reads the file in one.",
            )
        yield cast(Examination, read_parcel(data))


def main() -> None:
    """Examine the range that standard input names; leave the outcome on standard output."""
    name, start, end, survey, asked = read_parcel(sys.stdin.buffer.read())
    pieces = read_range(Path(name), start, end)
    examination = examine_batches(read_json_lines(pieces), survey, "line", asked)
    sys.stdout.buffer.write(write_parcel(examination))


if __name__ == "__main__":
    main()
