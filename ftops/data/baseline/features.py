"""Texts as counts of their words and of neighbouring pairs of words, in arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ftops.data.screening.words import find_words

Ids = NDArray[np.int64]
Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Counts:
    """Which feature stands in which text, how often: three arrays side by side, text by text.

    `starts` has for each text where its features begin, and the end of the last one.
    """

    starts: Ids
    features: Ids
    times: Numbers

    @property
    def texts(self) -> int:
        """How many texts there are."""
        return len(self.starts) - 1

    def rows(self) -> Ids:
        """The text of each entry."""
        return np.repeat(np.arange(self.texts), np.diff(self.starts))


class Vocabulary:
    """The words and pairs of the training texts; what is not in it is left out of other texts."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._numbers: dict[str, int] = {}
        self.counts = self._count(texts, grow=True)

    @property
    def size(self) -> int:
        """How many different features there are."""
        return len(self._numbers)

    def count(self, texts: Sequence[str]) -> Counts:
        """The known features of other texts."""
        return self._count(texts, grow=False)

    def _count(self, texts: Sequence[str], *, grow: bool) -> Counts:
        numbers = self._numbers
        starts, features, times = [0], list[NDArray[np.int64]](), list[NDArray[np.int64]]()
        for text in texts:
            words = find_words(text)
            names = [*words, *map(" ".join, pairwise(words))]
            if grow:
                found = [numbers.setdefault(name, len(numbers)) for name in names]
            else:
                found = [numbers[name] for name in names if name in numbers]
            unique, count = np.unique(np.array(found, np.int64), return_counts=True)
            features.append(unique)
            times.append(count)
            starts.append(starts[-1] + len(unique))
        return Counts(
            np.array(starts),
            np.concatenate([np.zeros(0, np.int64), *features]),
            np.concatenate([np.zeros(0, np.int64), *times]).astype(np.float64),
        )
