"""A look-up: the label of the training text that has most in common with a text (TF-IDF)."""

from collections.abc import Iterator, Sequence

import numpy as np

from ftops.data.baseline.features import Counts, Numbers, Vocabulary

_COMMON = 0.2  # features of more texts than that tell nothing, and take most of the time
_FEW = 20


class Nearest:
    """Keeps, for each word and pair, the texts that hold it."""

    name = "nearest neighbour"

    def __init__(self, texts: Sequence[str], labels: Sequence[str]) -> None:
        self._labels = list(labels)
        self._vocabulary = Vocabulary(texts)
        counts = self._vocabulary.counts
        holding = np.bincount(counts.features, minlength=self._vocabulary.size)
        self._rarity: Numbers = np.log((1 + counts.texts) / (1 + holding)) + 1
        self._rarity[holding > max(_FEW, _COMMON * counts.texts)] = 0
        weights, rows = self._weigh(counts), counts.rows()
        order = np.argsort(counts.features, kind="stable")
        self._rows, self._weights = rows[order], weights[order]
        self._starts = np.concatenate([[0], np.cumsum(holding)])

    def predict(self, texts: Sequence[str]) -> list[str]:
        """The label of each text's nearest; of the first training text where none is near."""
        counts = self._vocabulary.count(texts)
        weights = self._weigh(counts)
        return [self._labels[self._find(counts, weights, row)] for row in range(counts.texts)]

    def rank(self, texts: Sequence[str], most: int) -> Iterator[list[int]]:
        """For each text the numbers of the training texts most like it, the nearest first."""
        counts = self._vocabulary.count(texts)
        weights = self._weigh(counts)
        for row in range(counts.texts):
            likeness = self._compare(counts, weights, row)
            order = np.argsort(-likeness, kind="stable")[:most]
            yield [int(number) for number in order]

    def _weigh(self, counts: Counts) -> Numbers:
        weights = (1 + np.log(counts.times)) * self._rarity[counts.features]
        rows = counts.rows()
        lengths = np.sqrt(np.bincount(rows, weights**2, minlength=counts.texts))
        return weights / np.maximum(lengths, 1e-12)[rows]

    def _find(self, counts: Counts, weights: Numbers, row: int) -> int:
        return int(np.argmax(self._compare(counts, weights, row)))

    def _compare(self, counts: Counts, weights: Numbers, row: int) -> Numbers:
        """How much each training text has in common with that row's text."""
        likeness = np.zeros(len(self._labels))
        for entry in range(counts.starts[row], counts.starts[row + 1]):
            feature = counts.features[entry]
            if weights[entry]:
                held = slice(self._starts[feature], self._starts[feature + 1])
                likeness[self._rows[held]] += weights[entry] * self._weights[held]
        return likeness
