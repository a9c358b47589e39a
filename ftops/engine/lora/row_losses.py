"""The loss of each row in each step, as CSV: a spike of the loss names its rows.

The columns are the step, the row (from 1, in the order of the training file) and its loss in nats
per trained token, or per pair.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from ftops.files import write_atomic

HEADER = "step,row,loss\n"


class RowLossFile:
    """The losses up to `last_step`; later lines are dropped, as their steps are repeated."""

    def __init__(self, path: Path, last_step: int) -> None:
        self._path = path
        lines = path.read_text().splitlines(keepends=True)[1:] if path.exists() else []
        kept = [line for line in lines if line.endswith("\n") and _get_step(line) <= last_step]
        write_atomic(path, "".join([HEADER, *kept]).encode())
        self._stream = path.open("a", encoding="utf-8", newline="\n")

    def add(self, step: int, rows: Sequence[int], losses: Sequence[float]) -> None:
        """Append the losses of a step; `rows` count from 0."""
        self._stream.writelines(
            f"{step},{row + 1},{loss:.6g}\n" for row, loss in zip(rows, losses, strict=True)
        )
        self._stream.flush()

    def sync(self) -> None:
        """Flush to the disk: a checkpoint must not be ahead of the file."""
        os.fsync(self._stream.fileno())

    def read(self) -> bytes:
        """The whole file."""
        return self._path.read_bytes()

    def close(self) -> None:
        self._stream.close()


def _get_step(line: str) -> int:
    return int(line.partition(",")[0])
