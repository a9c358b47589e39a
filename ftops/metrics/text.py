"""Metrics of text, from 0 to 1: per row, or BLEU and chrF over all rows together."""

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ftops.metrics.metric import Floats, MetricContext, MetricSample, RowMetric
from ftops.metrics.optional_imports import load_optional
from ftops.metrics.prediction import Prediction, Problem
from ftops.metrics.result import Unit
from ftops.text import to_nfc

_PERCENT = 100.0
# In scripts without spaces between words, each character counts as a word.
_ALONE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_PLAIN = re.compile(r"[a-z0-9]+")  # gives the same for ASCII, in half the time
_WORD = re.compile(rf"[{_ALONE}]|[^\W_{_ALONE}]+")
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def split_words(text: str) -> list[str]:
    """Sequences of letters and digits in lower case, in order.

    For English, these are the words of the rouge-score package without its stemmer.
    """
    return (_PLAIN if text.isascii() else _WORD).findall(to_nfc(text).lower())


def normalize_squad(text: str) -> str:
    """The text in lower case, without punctuation, articles and repeated white space.

    Source: the official evaluation script of SQuAD 1.1, P. Rajpurkar and others (2016).
    """
    return " ".join(_ARTICLES.sub(" ", to_nfc(text).lower().translate(_PUNCTUATION)).split())


def is_exact(prediction: Prediction) -> float:
    """1 if the prediction is correct, ignoring white space at both ends."""
    return float(prediction.correct)


def create_exact_match(name: str, _context: MetricContext, normalize: str = "none") -> RowMetric:
    """The share of exact matches; with `normalize` "squad", after SQuAD's normalisation."""
    if normalize == "none":
        return RowMetric(name, is_exact)
    if normalize != "squad":
        raise ValueError(f"`normalize` must be none or squad, not {normalize!r}")

    def score(prediction: Prediction) -> float:
        return float(normalize_squad(prediction.predicted) == normalize_squad(prediction.expected))

    return RowMetric(name, score)


def token_f1(prediction: Prediction) -> float:
    """The harmonic mean of precision and recall of words.

    Repeated words count each time; case and punctuation are ignored. Source: P. Rajpurkar and
    others, SQuAD (2016), but articles count as words here.
    """
    predicted, expected = split_words(prediction.predicted), split_words(prediction.expected)
    if not predicted or not expected:
        return is_exact(prediction)
    left, shared = Counter(expected), 0
    for word in predicted:
        if left.get(word, 0):
            left[word] -= 1
            shared += 1
    return 2 * shared / (len(predicted) + len(expected))


def create_token_f1(name: str, _context: MetricContext) -> RowMetric:
    """The mean F1 of words."""
    return RowMetric(name, token_f1)


def create_rouge_l(name: str, _context: MetricContext) -> RowMetric:
    """ROUGE-L: F1 of the longest common subsequence of words. Source: C.-Y. Lin, ROUGE (2004)."""
    longest: Any = load_optional("rapidfuzz.distance", name).LCSseq.similarity

    def score(prediction: Prediction) -> float:
        predicted, expected = split_words(prediction.predicted), split_words(prediction.expected)
        if not predicted or not expected:
            return is_exact(prediction)
        return 2 * float(longest(predicted, expected)) / (len(predicted) + len(expected))

    return RowMetric(name, score)


def create_edit_distance(name: str, _context: MetricContext) -> RowMetric:
    """Levenshtein distance in characters, divided by the length of the longer text: 0 is equal."""
    distance: Any = load_optional("rapidfuzz.distance", name).Levenshtein.normalized_distance

    def score(prediction: Prediction) -> float:
        return float(distance(prediction.predicted_label, prediction.expected_label))

    return RowMetric(name, score, worst=1.0, higher_is_better=False)


@dataclass(frozen=True, slots=True)
class CorpusMetric:
    """BLEU or chrF by `scorer`, a metric of sacrebleu.

    Its statistics of each row are kept, so that a resample only adds counts and reads no text.
    """

    name: str
    scorer: Any
    unit: Unit = Unit.SCORE

    def measure(self, predictions: Sequence[Prediction]) -> MetricSample:
        """The metric of all rows; a failed one counts as an empty prediction."""
        texts = [
            ("" if row.problem is Problem.FAILED else to_nfc(row.predicted), to_nfc(row.expected))
            for row in predictions
        ]
        different = {pair: number for number, pair in enumerate(dict.fromkeys(texts))}
        if not different:
            return MetricSample.none("there are no rows")
        predicted, expected = (list(column) for column in zip(*different, strict=True))
        statistics = np.array(
            self.scorer._extract_corpus_statistics(predicted, [expected]), np.float64
        )

        def score(counts: Floats) -> Floats:
            sums = (counts @ statistics).round().astype(np.int64).tolist()
            scores = [self.scorer._compute_score_from_stats(line).score for line in sums]
            return np.array(scores) / _PERCENT

        categories = np.array([different[pair] for pair in texts], np.int64)
        return MetricSample.of_categories(categories, len(different), score)


def create_bleu(name: str, _context: MetricContext) -> CorpusMetric:
    """BLEU of word sequences up to four. Source: K. Papineni and others (2002)."""
    return CorpusMetric(name, load_optional("sacrebleu.metrics", name).BLEU())


def create_chrf(name: str, _context: MetricContext) -> CorpusMetric:
    """F2 of character sequences up to six, chrF2. Source: M. Popović (2015)."""
    return CorpusMetric(name, load_optional("sacrebleu.metrics", name).CHRF())
