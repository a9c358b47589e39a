"""How many tokens a text has, about, where no vocabulary is at hand: its letters decide.

What a token holds depends on the script and on the vocabulary: newer ones spend fewer on letters
that are not Latin. The shares were measured with tiktoken 0.14. Characters a token, for r50k_base
(as p50k_base) / cl100k_base / o200k_base:

    English sentences of 16 relations, 2.1 million characters   4.04 / 4.06 / 4.18
    answers about households, 23 thousand                       4.18 / 4.22 / 4.25
    news sentences, 61 thousand                                 5.04 / 4.76 / 4.79
    documents in Markdown, 78 thousand                          3.55 / 3.84 / 3.87
    German 2.61 / 3.94 / 5.74       Russian 0.93 / 2.38 / 5.06      Arabic 0.99 / 1.45 / 4.22
    Hindi 0.65 / 1.02 / 4.10        Chinese 0.45 / 0.85 / 1.55      Japanese 0.65 / 0.89 / 1.39
    Korean 0.45 / 1.01 / 1.90       (of these languages single paragraphs)

So the figure for a file of English text was within 20 % of the exact one, and is said to be within
25 %; of other scripts within 50 %. That is text as people write it: of random letters, such as keys
and codes, there are twice as many tokens.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ftops.data.summary import CharCounts, DataSummary, count_chars

TOKENS_A_MESSAGE = 3
TOKENS_A_CHAT = 3
METHOD = "estimated from the letters"
_LATIN_ERROR, _OTHER_ERROR = 0.25, 0.5


@dataclass(frozen=True, slots=True)
class _Share:
    """Characters a token: of Latin text, of other alphabets, of Chinese, Japanese and Korean."""

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


@dataclass(frozen=True, slots=True)
class TokenEstimate:
    """Tokens of one pass over a file (one epoch); `error` is the share it may be off by."""

    tokens: int
    method: str
    error: float


class Estimator:
    """Estimates the tokens of texts for a vocabulary; "" is for one that is not known."""

    def __init__(self, vocabulary: str = "") -> None:
        self.vocabulary = vocabulary
        self.method = METHOD
        self.error = _OTHER_ERROR
        self._share = _SHARES.get(vocabulary, _NEWEST)

    def count(self, texts: Iterable[str]) -> list[int]:
        """The tokens of each text; at least one unless it is empty."""
        return [self._count_one(text) for text in texts]

    def _count_one(self, text: str) -> int:
        if not text:
            return 0
        return max(1, round(self.convert(count_chars(text))))

    def convert(self, letters: CharCounts) -> float:
        """The tokens that so many letters are."""
        share = self._share
        return (
            letters.latin / share.latin
            + letters.alphabet / share.alphabet
            + letters.dense / share.dense
        )


def estimate_tokens(summary: DataSummary, vocabulary: str = "") -> TokenEstimate:
    """Estimate the tokens of the file that `summary` is of, counted once."""
    tokens = Estimator(vocabulary).convert(summary.letters)
    if summary.messages:
        tokens += TOKENS_A_MESSAGE * summary.messages + TOKENS_A_CHAT * summary.rows
    return TokenEstimate(
        tokens=max(summary.rows, round(tokens)),
        method=METHOD,
        error=estimate_error(summary.letters),
    )


def say_method(method: str, error: float) -> str:
    """How tokens were counted, with how far that may be off, for people."""
    return f"{method}, within {error:.0%} for ordinary text" if error else method


def estimate_error(letters: CharCounts) -> float:
    """The share by which the estimate for so many letters may be off."""
    total = letters.latin + letters.alphabet + letters.dense
    other = (total - letters.latin) / total if total else 0.0
    return round(_LATIN_ERROR + (_OTHER_ERROR - _LATIN_ERROR) * other, 2)
