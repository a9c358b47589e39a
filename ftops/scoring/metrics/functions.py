"""The user's own function as a metric: `python: checks/my_check.py:score`.

It is called `score(prompt, expected, given)` for each row and gives True, False or a number.
"""

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

from ftops.errors import ScoringError
from ftops.records import Json, Prompt
from ftops.scoring.answers import Answer, Problem
from ftops.scoring.samples import Sample

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

    def measure(self, answers: Sequence[Answer]) -> Sample:
        """Calls the function once a row, but not for rows that failed, which score lowest."""
        faults: dict[int, str] = {}
        scores: list[float | None] = []
        for one in answers:
            scored, fault = (None, "") if one.problem is Problem.FAILED else self._call(one)
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
            given = self.function(_plain(answer.prompt), answer.expected, answer.given)
        except Exception as error:
            return None, f"{type(error).__name__}: {error}"
        try:
            score = float(given) if not isinstance(given, str | bytes) else math.nan
        except (TypeError, ValueError, OverflowError):
            score = math.nan
        if not math.isfinite(score):
            return (
                None,
                f"it gave {_shorten(repr(given))}, which is neither True, False nor a number",
            )
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
        raise ScoringError(f"{path}: the file cannot be read: {error}", hint=_HINT) from error
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    beside = str(path.resolve().parent)
    sys.path.insert(0, beside)
    try:
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
