"""Whether prompts are written as models have read texts."""

from collections.abc import Iterator
from typing import Self

from ftops.data.checks.protocol import OPEN_ENDED, Check, Facts
from ftops.data.examining.sifting import RowBatch
from ftops.data.examining.survey import Survey
from ftops.data.findings import Finding, Rule, Severity, make_finding

FIELDS = Rule(
    "field-list-prompts", Severity.WARNING, "prompts that are lists of fields",
    "Half or more of the first prompts are names with short values, such as"
    " `Product:laptop.Brand:Dell`. Models have read sentences, and learn from them sooner.",
    "Write them as sentences, from the same columns:"
    " --prompt 'A {product} made by {brand}, with …'.",
)  # fmt: skip
_SHARE = 0.5


class Style(Check):
    """Judges by the rows of the survey, so that it costs nothing a row."""

    RULES = (FIELDS,)

    def __init__(self, survey: Survey) -> None:
        self._share = survey.field_lists

    def add(self, batch: RowBatch) -> None:
        pass

    def merge(self, later: Self, shift: int) -> None:
        pass

    def findings(self, facts: Facts) -> Iterator[Finding]:
        if facts.task != OPEN_ENDED and self._share >= _SHARE:
            yield make_finding(
                FIELDS, f"{self._share:.0%} of the first prompts are lists of fields"
            )
