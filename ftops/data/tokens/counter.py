"""Who counts tokens: the seam between all that asks and the vocabularies, which may be missing."""

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ftops.data.profile import Gauge
from ftops.data.tokens.estimate import Estimator


class Counter(Protocol):
    """Counts tokens by one vocabulary.

    `method` says how, for people; `error` is the share by which a sum may be off, 0 where it is
    exact.
    """

    @property
    def vocabulary(self) -> str: ...

    @property
    def method(self) -> str: ...

    @property
    def error(self) -> float: ...

    def count(self, texts: Iterable[str]) -> list[int]:
        """The tokens of each text."""


def open_counter(gauge: Gauge) -> Counter:
    """The counter for rows that are measured so."""
    return _open(gauge.vocabulary, gauge.folders)


@functools.lru_cache(maxsize=4)  # a vocabulary takes half a second to load
def _open(vocabulary: str, folders: tuple[str, ...]) -> Counter:
    return Counting(tuple(map(Path, folders))).open(vocabulary)


@dataclass(frozen=True, slots=True)
class Counting:
    """Where counters come from: `folders` may hold vocabularies. Nothing is fetched."""

    folders: tuple[Path, ...] = ()

    def open(self, vocabulary: str) -> Counter:
        """An exact counter for that vocabulary where it is at hand, else one that estimates."""
        from ftops.data.tokens.vocabulary import find_vocabulary

        return find_vocabulary(vocabulary, self.folders) or Estimator(vocabulary)
