"""BLEU and chrF by sacrebleu, with its defaults, from 0 to 1: one figure of all rows together.

Its counts of each row are kept, so that a resample adds counts up and reads no text again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ftops.metrics.extras import need
from ftops.metrics.prediction import Prediction, Problem
from ftops.metrics.samples import Floats, Sample
from ftops.text import to_nfc

_PERCENT = 100.0


@dataclass(frozen=True, slots=True)
class CorpusMetric:
    """`scorer` is a metric of sacrebleu."""

    name: str
    scorer: Any

    def measure(self, answers: Sequence[Prediction]) -> Sample:
        """The figure of all rows; one that failed counts as an empty answer."""
        texts = [
            ("" if one.problem is Problem.FAILED else to_nfc(one.predicted), to_nfc(one.expected))
            for one in answers
        ]
        different = {pair: number for number, pair in enumerate(dict.fromkeys(texts))}
        if not different:
            return Sample.none("there are no rows")
        given, expected = (list(column) for column in zip(*different, strict=True))
        stats = np.array(self.scorer._extract_corpus_statistics(given, [expected]), np.float64)

        def score(counts: Floats) -> Floats:
            sums = (counts @ stats).round().astype(np.int64).tolist()
            made = [self.scorer._compute_score_from_stats(one).score for one in sums]
            return np.array(made) / _PERCENT

        kinds = np.array([different[pair] for pair in texts], np.int64)
        return Sample.of_kinds(kinds, len(different), score)


def make_bleu(name: str) -> CorpusMetric:
    """BLEU of word sequences up to four. Source: K. Papineni and others (2002)."""
    return CorpusMetric(name, need("sacrebleu.metrics", name).BLEU())


def make_chrf(name: str) -> CorpusMetric:
    """F2 of character sequences up to six, chrF2. Source: M. Popović (2015)."""
    return CorpusMetric(name, need("sacrebleu.metrics", name).CHRF())
