"""The user's own function as a metric: `python: checks/my_check.py:score`.

It is called `score(prompt, expected, given)` for each row and returns True, False or a number. To
make the metric, its source is parsed and not run. `load` and `measure` run it, in a process of its
own (`row_process.py`): what it prints goes to stderr, its input is empty, it cannot change or end
the command, and a call that takes too long is ended.
"""

import ast
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ftops.errors import ScoringError
from ftops.metrics import row_process
from ftops.metrics.prediction import Prediction, Problem
from ftops.metrics.row_scorers import FUNCTION_HINT
from ftops.metrics.samples import Sample
from ftops.records import Json, Prompt

ROW_LIMIT_S = 30.0
_MOST_LATE = 3  # rows that take too long or end the process; the others are not tried
_SHOWN = 3  # rows of which the fault is shown
_ARGUMENTS = 3
_BLOCKS = ("body", "handlers", "cases", "orelse", "finalbody")  # of statements around others
_NO_FUNCTION = (
    ast.Constant, ast.JoinedStr, ast.List, ast.Tuple, ast.Dict, ast.Set, ast.ListComp, ast.SetComp,
    ast.DictComp, ast.GeneratorExp,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FunctionMetric:
    """The mean of what the function returns.

    A row on which it raises, or returns something else than a number, has the lowest score that any
    row has, at most 0, and is named by its line. Where every row is so there is no figure.
    """

    name: str
    path: Path
    function: str
    where: str
    limit_s: float = ROW_LIMIT_S

    def load(self) -> None:
        """Run the file once, as `measure` does; ScoringError when it does not load."""
        row_process.load(self._task)

    def measure(self, answers: Sequence[Prediction]) -> Sample:
        """Calls the function once a row, but not for rows that failed, which score lowest."""
        asked = [one for one in answers if one.problem is not Problem.FAILED]
        rows: list[Json] = [[_plain(one.prompt), one.expected, one.predicted] for one in asked]
        outcomes = row_process.score_rows(
            self._task, rows, limit_s=self.limit_s, most_late=_MOST_LATE
        )
        faults = {
            one.line: outcome.fault
            for one, outcome in zip(asked, outcomes, strict=True)
            if outcome.score is None
        }
        notes = self._note(faults, len(answers))
        known = [one.score for one in outcomes if one.score is not None]
        if not known:
            return Sample.none(notes[0] if notes else "every row failed")
        lowest = min(0.0, *known)
        left = iter(outcomes)
        scores = [None if one.problem is Problem.FAILED else next(left).score for one in answers]
        return Sample.of_scores([lowest if one is None else one for one in scores], notes=notes)

    @property
    def _task(self) -> dict[str, str]:
        return {"kind": "python", "path": str(self.path), "function": self.function}

    def _note(self, faults: dict[int, str], rows: int) -> tuple[str, ...]:
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


def make_function(name: str, where: str, folder: Path) -> FunctionMetric:
    """The metric of `file.py:function`, the file below `folder` unless its path is absolute.

    Runs nothing of the file. ScoringError when the file cannot be parsed, or when its source has no
    such function, or one that does not take three arguments.
    """
    file, _, function = where.rpartition(":")
    if not file or not function:
        raise ScoringError(f"`{where}` names no file and function", hint=FUNCTION_HINT)
    path = folder / file
    _check_function(path, _parse(path), function)
    return FunctionMetric(name, path, function, where)


def _parse(path: Path) -> ast.Module:
    try:
        source = path.read_text("utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the user's own source, and shown when it runs
            return ast.parse(source, str(path))
    except SyntaxError as error:
        raise ScoringError(
            f"{path}:{error.lineno or 1}: not Python: {error.msg}", hint=FUNCTION_HINT
        ) from error
    except (RecursionError, MemoryError) as error:
        raise ScoringError(f"{path}: the source is nested too deep", hint=FUNCTION_HINT) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ScoringError(
            f"{path}: the file cannot be read: {reason}", hint=FUNCTION_HINT
        ) from error


def _check_function(path: Path, module: ast.Module, name: str) -> None:
    """ScoringError when the source shows that there is no such function of three arguments.

    What only running it could show, as with a decorator or `import *`, is accepted.
    """
    bound = [value for found, value in _list_bindings(module) if found in (name, "*")]
    last = bound[-1] if bound else None
    if last is None or isinstance(last, _NO_FUNCTION):
        raise ScoringError(f"{path}: there is no function `{name}` in it", hint=FUNCTION_HINT)
    if not isinstance(last, ast.FunctionDef | ast.Lambda):
        return
    if isinstance(last, ast.FunctionDef) and last.decorator_list:
        return
    if not _takes_three(last.args):
        raise ScoringError(
            f"{path}:{last.lineno}: `{name}` must take three arguments: {name}(prompt, expected,"
            " given)",
            hint=FUNCTION_HINT,
        )


def _list_bindings(module: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """The names that the module binds, with what they are bound to; "*" may be any name."""
    left: list[ast.AST] = [*reversed(module.body)]
    while left:
        statement = left.pop()
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield statement.name, statement
            case ast.Import() | ast.ImportFrom():
                for alias in statement.names:
                    yield alias.asname or alias.name.partition(".")[0], statement
            case ast.Assign():
                for target in statement.targets:
                    for node in ast.walk(target):
                        if isinstance(node, ast.Name):
                            yield node.id, statement.value if target is node else statement
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                yield name, value
            case _:
                inner = (getattr(statement, field, ()) for field in _BLOCKS)
                left += reversed([node for block in inner for node in block])


def _takes_three(arguments: ast.arguments) -> bool:
    """Whether a call with three positional arguments fits."""
    positional = [*arguments.posonlyargs, *arguments.args]
    needed = len(positional) - len(arguments.defaults)
    at_most_enough = arguments.vararg is not None or len(positional) >= _ARGUMENTS
    return needed <= _ARGUMENTS and at_most_enough and None not in arguments.kw_defaults


def _plain(prompt: Prompt) -> Json:
    """A text, or a chat as a list of {"role": …, "content": …}."""
    if isinstance(prompt, str):
        return prompt
    return [{"role": one.role, "content": one.content} for one in prompt]


def _shorten(text: str, most: int = 120) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
