"""Multinomial naive Bayes: the label whose texts use the words of a text most."""

from collections.abc import Sequence

import numpy as np

from ftops.data.baseline.features import Counts, Numbers, Vocabulary

_SMOOTHING = 0.1  # added to each count, so that a word which a class lacks does not rule it out


class NaiveBayes:
    """Counts words and pairs of words by class."""

    name = "naive Bayes"

    def __init__(self, texts: Sequence[str], labels: Sequence[str]) -> None:
        self._labels = sorted(set(labels))
        number = {label: index for index, label in enumerate(self._labels)}
        classes = np.array([number[label] for label in labels])
        self._vocabulary = Vocabulary(texts)
        counts = self._vocabulary.counts
        size, kinds = self._vocabulary.size, len(self._labels)
        table = np.full((kinds, size), _SMOOTHING)
        np.add.at(table, (classes[counts.rows()], counts.features), counts.times)
        self._weights: Numbers = np.log(table) - np.log(table.sum(axis=1, keepdims=True))
        self._before: Numbers = np.log(np.bincount(classes, minlength=kinds) / len(labels))

    def predict(self, texts: Sequence[str]) -> list[str]:
        """The most probable label of each text; of equal ones the first in the alphabet."""
        counts = self._vocabulary.count(texts)
        best = [self._score(counts, row) for row in range(counts.texts)]
        return [self._labels[index] for index in best]

    def _score(self, counts: Counts, row: int) -> int:
        part = slice(counts.starts[row], counts.starts[row + 1])
        scores = self._weights[:, counts.features[part]] @ counts.times[part]
        return int(np.argmax(scores + self._before))
