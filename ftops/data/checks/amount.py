"""Whether there are enough rows."""

from collections.abc import Iterator
from typing import Self

from ftops.data.checks.protocol import Aim, Check, Facts
from ftops.data.examining.sifting import RowBatch
from ftops.data.examining.survey import Survey
from ftops.data.findings import Finding, Rule, Severity, make_finding, say_rows
from ftops.records import RowFormat

NO_ROWS = Rule(
    "no-rows", Severity.ERROR, "no rows", "The source holds no row that could be used.",
    "One JSON object a line is a row; in a table, each row below the header is one.",
)  # fmt: skip
TOO_FEW = Rule(
    "too-few-rows", Severity.ERROR, "too few rows",
    "Fewer rows than the provider takes: under 10, most refuse the job.", "Add rows.",
)  # fmt: skip
FEW = Rule(
    "few-rows", Severity.WARNING, "few rows",
    "A few hundred rows are where fine-tuning begins to pay; each doubling of good rows makes about"
    " the same step forward.",
    "Add rows: twice as many is the step that shows.",
)  # fmt: skip
WRONG_SHAPE = Rule(
    "wrong-shape", Severity.WARNING, "not the shape that the model wants",
    "Chat models are trained on chats, the others on prompt and completion. `ftops run` turns pairs"
    " into chats; chats cannot be turned into pairs without guessing.",
    "Convert the rows, or name a model that takes them.",
)  # fmt: skip
_ENOUGH = 200


def judge_amount(rows: int, aim: Aim) -> Iterator[Finding]:
    """What there is to say of so many rows."""
    if not rows:
        yield make_finding(NO_ROWS, "no row can be used")
    elif rows < aim.min_rows:
        text = f"{say_rows(rows)}, and {aim.provider} wants {aim.min_rows} or more"
        text = text.replace("most providers wants", "most providers want")
        yield make_finding(TOO_FEW, text)
    elif rows < _ENOUGH:
        yield make_finding(FEW, f"{say_rows(rows)}; from {_ENOUGH} on it begins to pay")


AMOUNTS = frozenset({NO_ROWS.code, TOO_FEW.code, FEW.code})


class Amount(Check):
    """Counts good rows."""

    RULES = (NO_ROWS, TOO_FEW, FEW, WRONG_SHAPE)

    def __init__(self, survey: Survey) -> None:
        self._rows = 0

    def add(self, batch: RowBatch) -> None:
        self._rows += len(batch.raws)

    def merge(self, later: Self, shift: int) -> None:
        self._rows += later._rows

    def findings(self, facts: Facts) -> Iterator[Finding]:
        yield from judge_amount(self._rows, facts.aim)
        if not self._rows:
            return
        wanted, found = facts.aim.row_format, facts.survey.format
        taken = (wanted, RowFormat.PREFERENCE) if wanted is RowFormat.CHAT else (wanted,)
        if wanted is not None and found is not None and found not in taken:
            model = facts.aim.model or facts.aim.provider
            yield make_finding(WRONG_SHAPE, f"{found} rows, and {model} takes {wanted} rows")
