"""Differences of two texts by words."""

import re
from collections import Counter
from dataclasses import dataclass
from difflib import SequenceMatcher

_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
_MOST_WORDS = 600  # of one text; comparing takes the square of it


@dataclass(frozen=True, slots=True)
class DiffSegment:
    """Consecutive words that are, or are not, in the other text."""

    text: str
    differs: bool


def diff_words(expected: str, given: str) -> tuple[list[DiffSegment], list[DiffSegment]]:
    """Both texts in segments; very long texts differ as a whole."""
    first, second = _WORDS.findall(expected), _WORDS.findall(given)
    if max(len(first), len(second)) > _MOST_WORDS:
        same = expected == given
        return [DiffSegment(expected, not same)], [DiffSegment(given, not same)]
    blocks = SequenceMatcher(None, first, second, autojunk=False).get_opcodes()
    left = [DiffSegment("".join(first[a:b]), tag != "equal") for tag, a, b, _, _ in blocks if b > a]
    right = [
        DiffSegment("".join(second[a:b]), tag != "equal") for tag, _, _, a, b in blocks if b > a
    ]
    return left, right


def get_similarity(expected: str, given: str) -> float:
    """The similarity of two texts, from 0 to 1: the share of common words."""
    first, second = _split(expected), _split(given)
    if not first and not second:
        return 1.0
    common = (Counter(first) & Counter(second)).total()
    return 2 * common / (len(first) + len(second))


def _split(text: str) -> list[str]:
    return [word for word in _WORDS.findall(text)[:_MOST_WORDS] if not word.isspace()]
