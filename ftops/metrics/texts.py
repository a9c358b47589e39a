"""Metrics of free text, row by row, each from 0 to 1."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from ftops.metrics.extras import need
from ftops.metrics.prediction import Prediction
from ftops.metrics.words import find_words


def is_right(answer: Prediction) -> float:
    """1 where the answer is what was expected, but for white space at both ends."""
    return float(answer.correct)


def token_f1(answer: Prediction) -> float:
    """The harmonic mean of the shares of words, in either text, that the other has too.

    Words are counted as often as they stand there; case and punctuation do not count. Source:
    P. Rajpurkar and others, SQuAD (2016), but articles are words here.
    """
    given, expected = find_words(answer.predicted), find_words(answer.expected)
    if not given or not expected:
        return is_right(answer)
    left, shared = Counter(expected), 0
    for word in given:
        if left.get(word, 0):
            left[word] -= 1
            shared += 1
    return 2 * shared / (len(given) + len(expected))


def make_rouge_l(name: str) -> Callable[[Prediction], float]:
    """ROUGE-L: F1 of the longest common subsequence of words. Source: C.-Y. Lin, ROUGE (2004)."""
    longest: Any = need("rapidfuzz.distance", name).LCSseq.similarity

    def score(answer: Prediction) -> float:
        given, expected = find_words(answer.predicted), find_words(answer.expected)
        if not given or not expected:
            return is_right(answer)
        return 2 * float(longest(given, expected)) / (len(given) + len(expected))

    return score


def make_edit_distance(name: str) -> Callable[[Prediction], float]:
    """Levenshtein distance in characters over the length of the longer text: 0 is the same."""
    distance: Any = need("rapidfuzz.distance", name).Levenshtein.normalized_distance

    def score(answer: Prediction) -> float:
        return float(distance(answer.predicted_label, answer.expected_label))

    return score
