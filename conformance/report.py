"""Renders `docs/conformance.md`."""

from collections.abc import Sequence
from dataclasses import dataclass

_HEAD = """# Conformance

`make conformance` generates this page. Each client is the unmodified release from its registry, in
its own environment. The clients of OpenAI's API run against a new engine that really trains. The
SDK of another provider runs against the stand-in for its server on which the tests of the adapter
rely (`tests/contract/`): this proves that the stand-in answers as the SDK expects, not what the
service does.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """The outcome of one operation; `problem` is None if it passed."""

    operation: str
    problem: str | None


@dataclass(frozen=True, slots=True)
class Table:
    """The outcomes of one client; `absent` is the reason if it could not run."""

    title: str
    rows: Sequence[Row] = ()
    absent: str | None = None

    @property
    def passed(self) -> int:
        return sum(row.problem is None for row in self.rows)


def render_report(tables: Sequence[Table]) -> str:
    """The page as Markdown."""
    summary = ["| client | passed |", "| --- | ---: |"]
    for table in tables:
        score = "not run" if table.absent else f"{table.passed} of {len(table.rows)}"
        summary.append(f"| {table.title} | {score} |")
    parts = [_HEAD, "\n".join(summary) + "\n"]
    for table in tables:
        parts.append(f"## {table.title}\n")
        if table.absent:
            parts.append(f"Not run on this machine: {_cell(table.absent)}\n")
            continue
        lines = ["| operation | outcome |", "| --- | --- |"]
        lines += [f"| {_cell(row.operation)} | {_outcome(row)} |" for row in table.rows]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _outcome(row: Row) -> str:
    return "pass" if row.problem is None else f"**fail**: {_cell(row.problem)}"


def _cell(text: str) -> str:
    """The text on one line, with escaped pipes."""
    return " ".join(text.split()).replace("|", "\\|")
