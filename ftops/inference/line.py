"""What is still to be asked, in portions, for several threads that take from it."""

import threading
from collections import deque
from collections.abc import Sequence
from typing import TypeAlias

Chunk: TypeAlias = tuple[str, ...]  # the keys of questions that go in one request


class WorkQueue:
    """Portions that wait. Whoever took one says when it is done, or puts parts of it back."""

    def __init__(self, portions: Sequence[Chunk]) -> None:
        self._waiting = deque(portions)
        self._changed = threading.Condition()
        self._under_way = 0
        self._is_closed = False

    def take(self) -> Chunk | None:
        """The next portion; None when all are done, or no more are given out.

        While others work on the last ones, it waits: they may put something back.
        """
        with self._changed:
            while not self._waiting and self._under_way and not self._is_closed:
                self._changed.wait()
            if self._is_closed or not self._waiting:
                return None
            self._under_way += 1
            return self._waiting.popleft()

    def put_back(self, portions: Sequence[Chunk]) -> None:
        """These are to be asked next; call it before `done`."""
        with self._changed:
            self._waiting.extendleft(reversed(portions))
            self._changed.notify_all()

    def done(self) -> None:
        """A portion that was taken needs no more work."""
        with self._changed:
            self._under_way -= 1
            self._changed.notify_all()

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    def close(self) -> None:
        """Give out nothing more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
