"""Problems of a job file, with their locations, and their output format.

A `Problem` has a location, exact to the character. Its text is one line `file:line:column: reason`,
the source line with carets under the location, and a suggestion if there is one. Lines and columns
count from 1; columns count characters.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from ftops.errors import SpecError, UsageError
from ftops.spec.secret import mask_secrets

KeyPath = tuple[str | int, ...]
_LINE_BREAK = re.compile(r"\r\n|\r|\n")
_SHOWN_WIDTH = 96  # a longer line is cut around the caret
_SHOWN_PROBLEMS = 50


@dataclass(frozen=True, eq=False)
class SourceText:
    """A source text: the job file, or the value of a `--set`."""

    name: str
    text: str
    override: bool = False

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *(match.end() for match in _LINE_BREAK.finditer(self.text))]

    def locate(self, offset: int) -> tuple[int, int]:
        """Line and column, from 1, of the character at `offset`."""
        line = bisect_right(self._starts, max(offset, 0)) - 1
        return line + 1, offset - self._starts[line] + 1

    def line_at(self, offset: int) -> tuple[int, str]:
        """The start offset and the text, without line break, of the line that contains `offset`."""
        start = self._starts[bisect_right(self._starts, max(offset, 0)) - 1]
        end = _LINE_BREAK.search(self.text, start)
        return start, self.text[start : end.start() if end else len(self.text)]


@dataclass(frozen=True, slots=True)
class Span:
    """A location in a source: the characters from `start` to `end`."""

    source: SourceText
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class SpecProblem:
    """A problem, its location, and a suggestion."""

    span: Span
    message: str
    suggestion: str = ""

    @property
    def line(self) -> int:
        return self.span.source.locate(self.span.start)[0]

    @property
    def column(self) -> int:
        return self.span.source.locate(self.span.start)[1]


@dataclass(slots=True)
class ProblemReport:
    """The problems found so far, and the locations whose text is hidden."""

    problems: list[SpecProblem] = field(default_factory=list)
    hidden: list[Span] = field(default_factory=list)

    def add(self, span: Span, message: str, suggestion: str = "") -> None:
        self.problems.append(SpecProblem(span, message, suggestion))

    def error(self) -> SpecError | UsageError:
        """All problems as one error: those of the file in file order, then those of overrides.

        It is a UsageError if all problems are in overrides.
        """
        ordered = sorted(
            enumerate(self.problems),
            key=lambda item: (
                item[1].span.source.override,
                item[0] if item[1].span.source.override else item[1].span.start,
            ),
        )
        shown = [problem for _, problem in ordered[:_SHOWN_PROBLEMS]]
        texts = [render_problem(problem, hidden=self.hidden) for problem in shown]
        if len(ordered) > len(shown):
            texts.append(f"… and {len(ordered) - len(shown)} more problems")
        sources = [problem.span.source for problem in self.problems]
        options = dict.fromkeys(source.name.split()[0] for source in sources if source.override)
        if options and all(source.override for source in sources):
            return UsageError("\n".join(texts), hint=f"Correct the option {' and '.join(options)}.")
        return SpecError("\n".join(texts))


def quoted(text: str) -> str:
    """`text` in single quotes for a message: escaped, without secrets, at most 40 characters."""
    shown = mask_secrets(text)
    return repr(shown if len(shown) <= 40 else shown[:39] + "…")


def render_problem(problem: SpecProblem, *, hidden: Iterable[Span] = ()) -> str:
    """The problem as text; characters inside the `hidden` spans become asterisks."""
    source = problem.span.source
    message = mask_secrets(problem.message)
    suggestion = f"\n    {mask_secrets(problem.suggestion)}" if problem.suggestion else ""
    if source.override:
        return f"{source.name}: {message}{suggestion}"
    head = f"{source.name}:{problem.line}:{problem.column}: {message}"
    return f"{head}{_excerpt(problem.span, hidden)}{suggestion}"


def _excerpt(span: Span, hidden: Iterable[Span]) -> str:
    """The line of `span` with carets under it, in the form that follows the message."""
    start, line = span.source.line_at(span.start)
    if not line.strip():
        return ""
    line = mask_secrets(_hide(line, start, span.source, hidden))
    first = min(span.start - start, len(line))
    last = max(first + 1, min(span.end - start, len(line)))
    left = max(0, min(first - _SHOWN_WIDTH // 3, len(line) - _SHOWN_WIDTH))
    right = left + _SHOWN_WIDTH
    before, marked, after = line[left:first], line[first : min(last, right)], line[last:right]
    lead = "…" if left else ""
    tail = "…" if right < len(line) else ""
    text = f"{lead}{_printable(before + marked + after)}{tail}"
    indent = " " * (len(lead) + _width(before))
    return f"\n    {text}\n    {indent}{'^' * max(1, _width(marked))}"


def _hide(line: str, start: int, source: SourceText, hidden: Iterable[Span]) -> str:
    """`line`, which starts at `start`, with the characters of hidden spans as asterisks."""
    for span in hidden:
        first, last = max(span.start - start, 0), min(span.end - start, len(line))
        if span.source is source and first < last:
            line = line[:first] + "*" * (last - first) + line[last:]
    return line


def _printable(text: str) -> str:
    """`text` with each character that could move a terminal's cursor replaced by another one."""
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if character == "\t":
        return " "
    return "\ufffd" if unicodedata.category(character) in _UNSHOWN else character


_UNSHOWN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def _width(text: str) -> int:
    """The number of terminal columns of `text`."""
    width = 0
    for character in _printable(text):
        if unicodedata.category(character) in ("Mn", "Me"):
            continue
        width += 2 if unicodedata.east_asian_width(character) in "WF" else 1
    return width
