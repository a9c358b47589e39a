"""The colours of charts: names that the page's style sheet gives values to, or those of paper."""

from collections.abc import Sequence
from dataclasses import dataclass

SERIES = 10  # colours in a row; the eleventh run has the first one's again


@dataclass(frozen=True, slots=True)
class Palette:
    """What is drawn in which colour; `text` and `lines` are the sizes of one kind of chart."""

    ink: str
    faint: str
    grid: str
    accent: str
    series: Sequence[str]
    heat: str
    miss: str
    background: str | None

    def choose(self, index: int) -> str:
        """The colour of the series of that number, from 0."""
        return self.series[index % len(self.series)]


PAGE = Palette(
    ink="var(--ink)",
    faint="var(--faint)",
    grid="var(--grid)",
    accent="var(--s0)",
    series=tuple(f"var(--s{number})" for number in range(SERIES)),
    heat="var(--heat)",
    miss="var(--miss)",
    background=None,
)
PAPER = Palette(
    ink="#1b2129",
    faint="#59636f",
    grid="#e3e7ec",
    accent="#0b5fa5",
    series=(
        "#0b5fa5", "#b3500a", "#15753a", "#a3195b", "#6a3fc0",
        "#0a6c80", "#7c3a12", "#4f6f0a", "#b3202c", "#51606f",
    ),
    heat="#0b5fa5",
    miss="#b3500a",
    background="#ffffff",
)  # fmt: skip
