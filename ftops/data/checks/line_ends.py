"""Line ends of Windows inside texts."""

from collections.abc import Iterator
from typing import Self

from ftops.data.checks.protocol import Check, Facts
from ftops.data.examining.sifting import RowBatch
from ftops.data.examining.survey import Survey
from ftops.data.findings import Finding, Rule, Seen, Severity, make_finding, say_rows

CARRIAGE_RETURN = Rule(
    "carriage-return", Severity.ADVICE, "line ends of Windows",
    "Lines inside of texts end with a carriage return and a line feed, as Windows writes them. The"
    " two are other tokens than the line feed alone that models have read most.",
    "End lines with a line feed alone, here and when you ask.", "normalize-newlines",
)  # fmt: skip


class LineEnds(Check):
    """Counts rows that hold a carriage return."""

    RULES = (CARRIAGE_RETURN,)

    def __init__(self, survey: Survey) -> None:
        self._seen = Seen()

    def add(self, batch: RowBatch) -> None:
        if not batch.raws:
            return
        columns = (
            (batch.prompt_text(), batch.prompts),
            (batch.completion_text(), batch.completions),
        )
        found: set[int] = set()
        for joined, column in columns:
            if "\r" in joined:
                found.update(index for index, text in enumerate(column) if "\r" in text)
        for index in sorted(found):
            self._seen.add(batch.places[index])

    def merge(self, later: Self, shift: int) -> None:
        self._seen.merge(later._seen, shift)

    def findings(self, facts: Facts) -> Iterator[Finding]:
        if self._seen.count:
            text = f"{say_rows(self._seen.count)} with carriage returns"
            yield make_finding(CARRIAGE_RETURN, text, self._seen, remedy={})
