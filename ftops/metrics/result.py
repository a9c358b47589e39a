"""Results of metrics and comparisons, in the form in which they are stored."""

from dataclasses import dataclass
from enum import StrEnum


class Unit(StrEnum):
    """The unit of a number, which determines its format."""

    SHARE = "share"  # from 0 to 1, shown as a percentage
    SCORE = "score"  # a plain number
    TOKENS = "tokens"
    USD = "USD"
    SECONDS = "seconds"


def format_value(value: float, unit: Unit) -> str:
    """Format the value in its unit: 94.4%, 0.934, 1,200 tokens, $0.42, 1.5 s."""
    match unit:
        case Unit.SHARE:
            return f"{value:.1%}"
        case Unit.TOKENS:
            return f"{value:,.0f} tokens"
        case Unit.USD:
            return f"${value:,.4g}"
        case Unit.SECONDS:
            return f"{value:.3g} s"
    return f"{value:,.3g}"


@dataclass(frozen=True, slots=True)
class MetricResult:
    """One metric of one candidate over `rows` rows; `low` and `high` bound its 95 % interval."""

    value: float
    low: float | None
    high: float | None
    rows: int
    unit: Unit = Unit.SCORE


@dataclass(frozen=True, slots=True)
class ClassResult:
    """The counts of one class: rows that expect it, rows that predict it, rows that do both."""

    label: str
    rows: int
    predicted: int
    correct: int

    @property
    def recall(self) -> float | None:
        """The share of its rows that are predicted correctly; None if it has no rows."""
        return self.correct / self.rows if self.rows else None

    @property
    def precision(self) -> float | None:
        """The share of its predictions that are correct; None if it is never predicted."""
        return self.correct / self.predicted if self.predicted else None

    @property
    def f1(self) -> float | None:
        """The harmonic mean of precision and recall; None if the class does not occur."""
        total = self.rows + self.predicted
        return 2 * self.correct / total if total else None


@dataclass(frozen=True, slots=True)
class Confusion:
    """`counts[i][j]` is the number of rows that expect `labels[i]` and predict `labels[j]`.

    Each row of counts has one more cell, for predictions that are not labels.
    """

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


class Verdict(StrEnum):
    """The outcome of a comparison, from the view of its first candidate."""

    BETTER = "better"
    WORSE = "worse"
    NO_DIFFERENCE = "no difference"  # demonstrated: the difference is within the margin
    TOO_FEW_ROWS = "too few rows to tell"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two candidates on the same rows: the metric of the first minus that of the second.

    `p_value` is the result of `test` (McNemar's exact test or a paired bootstrap); `p_corrected`,
    after Holm's correction for all comparisons of the evaluation, decides the verdict.
    `rows_needed` is the number of rows that would show a difference of this size or, if there is
    none, that would show that there is none.
    """

    first: str
    second: str
    metric: str
    difference: float
    low: float
    high: float
    p_value: float
    test: str
    verdict: Verdict
    rows_needed: int | None = None
    p_corrected: float | None = None
    higher_is_better: bool = True
    unit: Unit = Unit.SCORE
