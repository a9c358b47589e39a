"""Texts that are nearly the same, in one file and in two.

72 bytes a row are kept: a sketch of 64, and a hash that tells rows which are the same altogether.
While they are compared it is about 180 (`benchmarks/screening.py`).
"""

from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Self

from ftops.data.checks.duplicates import Places
from ftops.data.checks.protocol import Check, Facts
from ftops.data.examining.sifting import RowBatch
from ftops.data.examining.survey import Survey
from ftops.data.findings import SHOWN_PLACES, Finding, Rule, Seen, Severity, make_finding
from ftops.records import RowFormat
from ftops.text import to_nfc

if TYPE_CHECKING:
    from ftops.data.screening.sketches import Sketches

NEAR = Rule(
    "near-duplicates", Severity.WARNING, "rows that are nearly the same",
    "Three quarters or more of the runs of five letters (three in scripts without spaces) of a"
    " prompt stand in another one, too; case, blanks and punctuation do not count, nor does what a"
    " quarter of the first prompts hold. Such rows teach little, and when one of them is held out,"
    " its score says how well the other was remembered. It is estimated, within about 0.05.",
    "Keep one of each, or keep them on one side: `ftops data split --group-near`.",
)  # fmt: skip


class Near(Check):
    """Keeps a sketch of each prompt; of the completion where prompts are empty."""

    RULES = (NEAR,)
    ASKED: ClassVar[str] = "near"

    def __init__(self, survey: Survey) -> None:
        self._common = survey.common
        self._sketches = array("B")
        self._texts = array("q")
        self._places = Places()

    def add(self, batch: RowBatch) -> None:
        from ftops.data.screening.sketches import sketch_texts

        if not batch.raws:
            return
        texts = texts_of(batch)
        self._sketches.frombytes(sketch_texts(texts, self._common).tobytes())
        self._texts.extend(map(hash, texts))
        self._places.add(batch.places)

    def merge(self, later: Self, shift: int) -> None:
        self._sketches.extend(later._sketches)
        self._texts.extend(later._texts)
        self._places.merge(later._places, shift)

    def sketches(self) -> "Sketches":
        """A row of 64 bytes for each row of the data."""
        import numpy as np

        from ftops.data.screening.sketches import BINS

        return np.frombuffer(self._sketches, np.uint8).reshape(-1, BINS)

    def findings(self, facts: Facts) -> Iterator[Finding]:
        pairs = self._find_pairs()
        if not pairs:
            return
        late = [place for _, place in pairs[:SHOWN_PLACES]]
        rows = "row is" if len(pairs) == 1 else "rows are"
        text = (
            f"{len(pairs):,} {rows} nearly like an earlier one,"
            f" as {facts.unit} {pairs[0][1]} is like {pairs[0][0]}"
        )
        yield make_finding(NEAR, text, Seen(len(pairs), late))

    def _find_pairs(self) -> list[tuple[int, int]]:
        """Places of the first of a group and of a later one; texts that are the same count once."""
        import numpy as np

        from ftops.data.screening.neighbours import find_groups

        if not self._texts:
            return []
        texts = np.frombuffer(self._texts, np.int64)
        rows = np.sort(np.unique(texts, return_index=True)[1])
        sketches = self.sketches()
        groups = find_groups(sketches if len(rows) == len(sketches) else sketches[rows])
        late = np.flatnonzero(groups != np.arange(len(groups)))
        place = self._places.of
        return [(place(int(rows[groups[one]])), place(int(rows[one]))) for one in late]


def texts_of(batch: RowBatch) -> list[str]:
    """What of each row is compared: its prompt, or what it has instead.

    Of preferences the answers, too, since the same prompt may stand in many.
    """
    columns = batch.prompts_in_nfc(), batch.completions_in_nfc()
    if batch.format is RowFormat.PREFERENCE:
        parts = zip(*columns, map(to_nfc, batch.others), strict=True)
        return ["\n".join(part) for part in parts]
    pairs = zip(*columns, strict=True)
    return [prompt or completion for prompt, completion in pairs]
