"""Parts of a file on their way: read piece by piece, and counted when they have really gone."""

import io
import threading
from collections.abc import Callable
from pathlib import Path

from ftops.providers.provider import OnBytes


class Stopped(BaseException):
    """Nobody waits for these bytes any more.

    Not an Exception, because the HTTP client would take that for a lost connection and try again.
    """


class Progress:
    """How many bytes of a file have gone, over all of its parts and whatever threads send them.

    A part that is sent again does not count twice: what is told stays where it was until the
    repetition has come further.
    """

    def __init__(self, size: int, on_bytes: OnBytes) -> None:
        self._size = size
        self._on_bytes = on_bytes
        self._lock = threading.Lock()
        self._gone: dict[int, int] = {}
        self._told = -1
        self._stopped = False

    def move(self, part: int, gone: int) -> None:
        """`gone` bytes of that part are out; raises Stopped when sending is to end."""
        with self._lock:
            self.check()
            self._gone[part] = gone
            total = sum(self._gone.values())
            if total > self._told:
                self._told = total
                self._on_bytes(total, self._size)

    def begin_again(self) -> None:
        """Nothing that has gone is of use any more."""
        with self._lock:
            self._gone.clear()

    def stop(self) -> None:
        """Let every thread that still sends come to its end; nothing is told any more."""
        with self._lock:
            self._stopped = True

    def check(self) -> None:
        """Raises Stopped when sending is to end."""
        if self._stopped:
            raise Stopped


class FileSlice(io.RawIOBase):
    """`length` bytes of a file from `start` on, as a file; tells `on_sent` how many of them went.

    The HTTP client asks for a piece only when it has handed the one before to the socket, so what
    counts as sent is what was read before.
    """

    def __init__(self, path: Path, start: int, length: int, on_sent: Callable[[int], None]) -> None:
        super().__init__()
        self._stream = path.open("rb", buffering=0)
        self._start = start
        self._length = length
        self._position = 0
        self._on_sent = on_sent

    @property
    def is_read(self) -> bool:
        """Whether all of it has been read, so that somebody may have received it."""
        return self._position >= self._length

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._length}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1) -> bytes:
        self._on_sent(self._position)
        left = max(0, self._length - self._position)
        self._stream.seek(self._start + self._position)
        piece = self._stream.read(left if size < 0 else min(size, left)) or b""
        self._position += len(piece)
        return piece

    def close(self) -> None:
        if hasattr(self, "_stream"):  # not when the file could not be opened
            self._stream.close()
        super().close()
