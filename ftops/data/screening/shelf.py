"""Small numbers by 64-bit keys, at 12 bytes each: a dict takes ten times as much.

Two of a million texts share a key once in 37 million times.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FRESH = 1 << 16  # kept in a dict until they are this many


class Shelf:
    """Keeps the last number that was put there for each key."""

    def __init__(self, fresh: int = _FRESH) -> None:
        import numpy as np

        self._most_fresh = fresh
        self._fresh: dict[int, int] = {}
        self._keys: NDArray[np.uint64] = np.empty(0, np.uint64)
        self._numbers: NDArray[np.uint32] = np.empty(0, np.uint32)

    def put(self, key: int, number: int) -> None:
        """Keep a number from 0 to 4,294,967,295."""
        self._fresh[key] = number
        if len(self._fresh) >= self._most_fresh:
            self._settle()

    def find(self, key: int) -> int | None:
        """The number of that key, None when there is none."""
        if key in self._fresh:
            return self._fresh[key]
        import numpy as np

        wanted = np.uint64(key)
        place = int(np.searchsorted(self._keys, wanted))
        if place < len(self._keys) and self._keys[place] == wanted:
            return int(self._numbers[place])
        return None

    def _settle(self) -> None:
        """Sort what is fresh in; of two numbers of one key the later one stays."""
        import numpy as np

        count = len(self._fresh)
        keys = np.concatenate([np.fromiter(self._fresh.keys(), np.uint64, count), self._keys])
        numbers = np.concatenate(
            [np.fromiter(self._fresh.values(), np.uint32, count), self._numbers]
        )
        self._keys, first = np.unique(keys, return_index=True)
        self._numbers = numbers[first]
        self._fresh.clear()
