"""The table of outcomes, as `docs/conformance.md` shows it."""

from collections.abc import Sequence
from dataclasses import dataclass

_HEAD = """# Conformance

Written by `make conformance`, nothing by hand: each client is the stock one from its registry, in
an environment of its own, and each operation ran against a fresh engine that really trained.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """How one operation went; `problem` None: it passed."""

    operation: str
    problem: str | None


@dataclass(frozen=True, slots=True)
class Table:
    """How one client fared; `absent` says why it could not be tried."""

    title: str
    rows: Sequence[Row] = ()
    absent: str | None = None

    @property
    def passed(self) -> int:
        return sum(row.problem is None for row in self.rows)


def render_report(tables: Sequence[Table]) -> str:
    """The page."""
    summary = ["| client | passed |", "| --- | ---: |"]
    for table in tables:
        score = "not tried" if table.absent else f"{table.passed} of {len(table.rows)}"
        summary.append(f"| {table.title} | {score} |")
    parts = [_HEAD, "\n".join(summary) + "\n"]
    for table in tables:
        parts.append(f"## {table.title}\n")
        if table.absent:
            parts.append(f"Not tried on this machine: {_cell(table.absent)}\n")
            continue
        lines = ["| operation | outcome |", "| --- | --- |"]
        lines += [f"| {_cell(row.operation)} | {_outcome(row)} |" for row in table.rows]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _outcome(row: Row) -> str:
    return "pass" if row.problem is None else f"**fail**: {_cell(row.problem)}"


def _cell(text: str) -> str:
    """On one line, with nothing that would end a cell."""
    return " ".join(text.split()).replace("|", "\\|")
