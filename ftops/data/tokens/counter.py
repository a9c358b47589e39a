"""Token counters: exact with a vocabulary, else estimated from the characters."""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ftops.data.profile import TokenLimit
from ftops.data.summary import CharCounts, DataSummary, count_chars
from ftops.data.tokens.vocabulary import find_vocabulary

TOKENS_A_MESSAGE = 3
TOKENS_A_CHAT = 3
METHOD = "estimated from the letters"
_LATIN_ERROR, _OTHER_ERROR = 0.25, 0.5


@dataclass(frozen=True, slots=True)
class _Share:
    """Characters per token: Latin, other alphabets, and Chinese, Japanese and Korean."""

    latin: float
    alphabet: float
    dense: float


_NEWEST = _Share(4.2, 4.3, 1.55)
_SHARES: Mapping[str, _Share] = {
    "r50k_base": _Share(4.1, 0.85, 0.5),
    "p50k_base": _Share(4.1, 0.85, 0.5),
    "cl100k_base": _Share(4.1, 1.6, 0.9),
    "o200k_base": _NEWEST,
    "engine": _Share(2.8, 0.8, 0.5),  # of 2.6 to 3.2 on the first three of these texts
}


class VocabularyCounter(Protocol):
    """Counts tokens by one vocabulary.

    `method` is a description; `error` is the relative error of a sum, 0 when it is exact.
    """

    @property
    def vocabulary(self) -> str: ...

    @property
    def method(self) -> str: ...

    @property
    def error(self) -> float: ...

    def count(self, texts: Iterable[str]) -> list[int]:
        """The tokens of each text."""


class Estimator:
    """Estimates the tokens of texts for a vocabulary; "" for an unknown one."""

    def __init__(self, vocabulary: str = "") -> None:
        self.vocabulary = vocabulary
        self.method = METHOD
        self.error = _OTHER_ERROR
        self._share = _SHARES.get(vocabulary, _NEWEST)

    def count(self, texts: Iterable[str]) -> list[int]:
        """The tokens of each text, at least one unless it is empty."""
        return [self._count_one(text) for text in texts]

    def _count_one(self, text: str) -> int:
        if not text:
            return 0
        return max(1, round(self.convert(count_chars(text))))

    def convert(self, letters: CharCounts) -> float:
        """The tokens for character counts."""
        share = self._share
        return (
            letters.latin / share.latin
            + letters.alphabet / share.alphabet
            + letters.dense / share.dense
        )


@dataclass(frozen=True, slots=True)
class CounterFactory:
    """Opens counters; `folders` may hold vocabularies. Nothing is downloaded."""

    folders: tuple[Path, ...] = ()

    def open(self, vocabulary: str) -> VocabularyCounter:
        """An exact counter if the vocabulary is on disk, else one that estimates."""
        return find_vocabulary(vocabulary, self.folders) or Estimator(vocabulary)


def open_counter(token_limit: TokenLimit) -> VocabularyCounter:
    """The counter for a token limit."""
    return _open(token_limit.vocabulary, token_limit.folders)


@functools.lru_cache(maxsize=4)  # a vocabulary takes half a second to load
def _open(vocabulary: str, folders: tuple[str, ...]) -> VocabularyCounter:
    return CounterFactory(tuple(map(Path, folders))).open(vocabulary)


@dataclass(frozen=True, slots=True)
class FileTokenEstimate:
    """Tokens of one epoch; `error` is the relative error."""

    tokens: int
    method: str
    error: float


def estimate_tokens(summary: DataSummary, vocabulary: str = "") -> FileTokenEstimate:
    """Estimate the tokens of one epoch of a file."""
    tokens = Estimator(vocabulary).convert(summary.letters)
    if summary.messages:
        tokens += TOKENS_A_MESSAGE * summary.messages + TOKENS_A_CHAT * summary.rows
    return FileTokenEstimate(
        tokens=max(summary.rows, round(tokens)),
        method=METHOD,
        error=estimate_error(summary.letters),
    )


def format_method(method: str, error: float) -> str:
    """Describe the method of counting and its error."""
    return f"{method}, within {error:.0%} for ordinary text" if error else method


def estimate_error(letters: CharCounts) -> float:
    """The relative error of the estimate for character counts."""
    total = letters.latin + letters.alphabet + letters.dense
    other = (total - letters.latin) / total if total else 0.0
    return round(_LATIN_ERROR + (_OTHER_ERROR - _LATIN_ERROR) * other, 2)
