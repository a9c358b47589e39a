"""The user's own function as a metric: `python: checks/my_check.py:score`.

It is called `score(prompt, expected, given)` for each row and gives True, False or a number. It
runs in this process, and yet must not spoil what ftops prints, nor end or hold the command: what it
prints goes to stderr, its input is empty, and a call that takes too long is broken off.
"""

import contextlib
import io
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

from ftops.errors import ScoringError
from ftops.records import Json, Prompt
from ftops.scoring.answers import Answer, Problem
from ftops.scoring.metrics.time_limit import TookTooLong, limit_time
from ftops.scoring.samples import Sample

ROW_LIMIT_S = 30.0
_MOST_TIMEOUTS = 3  # of so many rows in all; the others are not tried, but told of
_LARGEST = 1e15  # sums of squares of so large scores are still numbers
_SHOWN = 3  # rows of which the fault is told in full
_HINT = "Write `python: checks/my_check.py:score`, with a function score(prompt, expected, given)."


@dataclass(frozen=True, slots=True)
class FunctionMetric:
    """The mean of what the function gives.

    A row on which it raises, or gives something else than a number, has the lowest score that any
    row has, at most 0, and is told of by its line. Where every row is so there is no figure.
    """

    name: str
    function: Callable[..., Any]
    where: str
    limit_s: float = ROW_LIMIT_S

    def measure(self, answers: Sequence[Answer]) -> Sample:
        """Calls the function once a row, but not for rows that failed, which score lowest."""
        faults: dict[int, str] = {}
        scores: list[float | None] = []
        late = 0
        for one in answers:
            if one.problem is Problem.FAILED:
                scores.append(None)
                continue
            if late < _MOST_TIMEOUTS:
                scored, fault = self._call(one)
                late += isinstance(fault, _Late)
            else:
                scored, fault = None, "not tried, since calls before it took too long"
            scores.append(scored)
            if fault:
                faults[one.line] = fault
        known = [one for one in scores if one is not None]
        notes = self._tell(faults, len(answers))
        if not known:
            return Sample.none(notes[0] if notes else "every row failed")
        lowest = min(0.0, *known)
        return Sample.of_scores([lowest if one is None else one for one in scores], notes=notes)

    def _call(self, answer: Answer) -> tuple[float | None, str]:
        """The score, or None and what is wrong."""
        try:
            with _kept_apart(), limit_time(self.limit_s):
                given = self.function(_plain(answer.prompt), answer.expected, answer.given)
                score = _read_score(given)
                told = "" if abs(score) <= _LARGEST else _shorten(_show(given, repr))
        except TookTooLong:
            return None, _Late(f"it took more than {self.limit_s:g} s")
        except (Exception, SystemExit) as error:
            return None, f"{type(error).__name__}: {_show(error, str)}"
        if told or math.isnan(score):
            return None, f"it gave {told}, which is neither True, False nor a number to count with"
        return score, ""

    def _tell(self, faults: dict[int, str], rows: int) -> tuple[str, ...]:
        if not faults:
            return ()
        shown = "; ".join(
            f"line {line}: {_shorten(fault)}" for line, fault in islice(faults.items(), _SHOWN)
        )
        more = len(faults) - _SHOWN
        rest = f"; and {more:,} more" if more > 0 else ""
        return (
            f"{self.where} could not score {len(faults):,} of {rows:,} rows, which count as"
            f" wrong: {shown}{rest}",
        )


class _Late(str):
    """The fault of a call that was broken off."""

    __slots__ = ()


@contextlib.contextmanager
def _kept_apart() -> Iterator[None]:
    """What is printed in here goes to stderr; there is nothing to be read."""
    before, sys.stdin = sys.stdin, io.StringIO()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        sys.stdin = before


def _read_score(given: Any) -> float:
    """What it gave as a number; NaN where it is none."""
    try:
        return math.nan if isinstance(given, str | bytes) else float(given)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _show(given: object, render: Callable[[object], str]) -> str:
    """The user's value as text, also where its own class cannot tell."""
    try:
        return render(given)
    except Exception:
        return f"a {type(given).__name__}"


def make_function(name: str, told: str, folder: Path) -> FunctionMetric:
    """Load `file.py:function`, the file below `folder` unless its path is absolute.

    ScoringError when there is no such file or function, or the file does not load.
    """
    file, _, function = told.rpartition(":")
    if not file or not function:
        raise ScoringError(f"`{told}` names no file and function", hint=_HINT)
    path = folder / file
    found = getattr(_load(path), function, None)
    if not callable(found):
        raise ScoringError(f"{path}: there is no function `{function}` in it", hint=_HINT)
    return FunctionMetric(name, found, told)


def _load(path: Path) -> ModuleType:
    """The file as a module of its own; modules beside it can be imported while it loads."""
    try:
        source = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ScoringError(f"{path}: the file cannot be read: {reason}", hint=_HINT) from error
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    beside = str(path.resolve().parent)
    sys.path.insert(0, beside)
    try:
        with _kept_apart():
            exec(compile(source, str(path), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        raise ScoringError(
            f"{path}: the file does not load: {type(error).__name__}: {error}", hint=_HINT
        ) from error
    finally:
        if beside in sys.path:
            sys.path.remove(beside)
    return module


def _plain(prompt: Prompt) -> Json:
    """A text, or a chat as a list of {"role": …, "content": …}."""
    if isinstance(prompt, str):
        return prompt
    return [{"role": one.role, "content": one.content} for one in prompt]


def _shorten(text: str, most: int = 120) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
