"""A memory-efficient index of 64-bit hashes."""

import numpy as np
from numpy.typing import NDArray

_MAX_PENDING = 1 << 16  # entries kept in a dict before they are merged


class HashIndex:
    """A map from 64-bit keys to numbers in 12 bytes per entry; the last number of a key counts."""

    def __init__(self, max_pending: int = _MAX_PENDING) -> None:
        self._max_pending = max_pending
        self._pending: dict[int, int] = {}
        self._keys: NDArray[np.uint64] = np.empty(0, np.uint64)
        self._numbers: NDArray[np.uint32] = np.empty(0, np.uint32)

    def put(self, key: int, number: int) -> None:
        """Store a number from 0 to 4,294,967,295."""
        self._pending[key] = number
        if len(self._pending) >= self._max_pending:
            self._merge_pending()

    def find(self, key: int) -> int | None:
        """The number of a key; None if the key is missing."""
        if key in self._pending:
            return self._pending[key]
        wanted = np.uint64(key)
        place = int(np.searchsorted(self._keys, wanted))
        if place < len(self._keys) and self._keys[place] == wanted:
            return int(self._numbers[place])
        return None

    def _merge_pending(self) -> None:
        """Merge the new entries into the sorted arrays; the later number of a key counts."""
        count = len(self._pending)
        keys = np.concatenate([np.fromiter(self._pending.keys(), np.uint64, count), self._keys])
        numbers = np.concatenate(
            [np.fromiter(self._pending.values(), np.uint32, count), self._numbers]
        )
        self._keys, first = np.unique(keys, return_index=True)
        self._numbers = numbers[first]
        self._pending.clear()
