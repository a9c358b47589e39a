"""The user's own function as a metric: `python: checks/my_check.py:score`.

Each row is a call `score(prompt, expected, predicted)` that returns True, False or a number.
Creating the metric parses the source and runs nothing. `load` and `measure` run it in a separate
process (`row_process.py`): its output goes to stderr, its standard input is empty, it cannot change
or end the command, and a call that exceeds the time limit is killed.
"""

import ast
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from ftops.errors import ScoringError
from ftops.metrics.metric import MetricContext, MetricSample
from ftops.metrics.prediction import Prediction, Problem
from ftops.metrics.result import Unit
from ftops.metrics.row_process import load, score_rows
from ftops.metrics.row_worker import FUNCTION_HINT
from ftops.records import Json, Prompt

ROW_LIMIT_S = 30.0
_MAX_LATE = 3  # rows that time out or end the process, before the others are skipped
_MAX_SHOWN = 3  # rows whose error is shown
_ARGUMENTS = 3
_BLOCKS = ("body", "handlers", "cases", "orelse", "finalbody")  # of statements that contain others
_NO_FUNCTION = (
    ast.Constant, ast.JoinedStr, ast.List, ast.Tuple, ast.Dict, ast.Set, ast.ListComp, ast.SetComp,
    ast.DictComp, ast.GeneratorExp,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FunctionMetric:
    """The mean of the function's results; a share if it returns only 0, 1, False and True.

    If it raises, or does not return a number, the row gets the lowest score of all rows, at most 0,
    and a note names its line. If no row has a score, there is no value.
    """

    name: str
    path: Path
    function: str
    where: str
    limit_s: float = ROW_LIMIT_S
    unit: Unit = Unit.SCORE

    def load(self) -> None:
        """Run the file once, as `measure` does; ScoringError if it cannot be loaded."""
        load(self._task)

    def measure(self, predictions: Sequence[Prediction]) -> MetricSample:
        """Calls the function once per row, except for failed rows, which get the lowest score."""
        answered = [row for row in predictions if row.problem is not Problem.FAILED]
        rows: list[Json] = [
            [_prompt_to_json(row.prompt), row.expected, row.predicted] for row in answered
        ]
        outcomes = score_rows(self._task, rows, limit_s=self.limit_s, max_late=_MAX_LATE)
        faults = {
            row.line: outcome.fault
            for row, outcome in zip(answered, outcomes, strict=True)
            if outcome.score is None
        }
        notes = self._describe_faults(faults, len(predictions))
        known = [outcome.score for outcome in outcomes if outcome.score is not None]
        if not known:
            return MetricSample.none(notes[0] if notes else "every row failed")
        lowest = min(0.0, *known)
        left = iter(outcomes)
        scores = [
            None if row.problem is Problem.FAILED else next(left).score for row in predictions
        ]
        sample = MetricSample.of_scores(
            [lowest if score is None else score for score in scores], notes=notes
        )
        return sample if sample.correct is None else replace(sample, unit=Unit.SHARE)

    @property
    def _task(self) -> dict[str, str]:
        return {"kind": "python", "path": str(self.path), "function": self.function}

    def _describe_faults(self, faults: dict[int, str], rows: int) -> tuple[str, ...]:
        if not faults:
            return ()
        shown = "; ".join(
            f"line {line}: {_shorten(fault)}" for line, fault in islice(faults.items(), _MAX_SHOWN)
        )
        more = len(faults) - _MAX_SHOWN
        rest = f"; and {more:,} more" if more > 0 else ""
        return (
            f"{self.where} could not score {len(faults):,} of {rows:,} rows, which count as"
            f" wrong: {shown}{rest}",
        )


def create_python_function(name: str, context: MetricContext, function: str) -> FunctionMetric:
    """The metric of `file.py:function`; a relative path is relative to the context's folder.

    Runs no code of the file. ScoringError if the file cannot be parsed, or if its source has no
    such function, or one that does not take three arguments.
    """
    file, _, attribute = function.rpartition(":")
    if not file or not attribute:
        raise ScoringError(f"`{function}` names no file and function", hint=FUNCTION_HINT)
    path = context.folder / file
    _check_function(path, _parse(path), attribute)
    return FunctionMetric(name, path, attribute, function)


def _parse(path: Path) -> ast.Module:
    try:
        source = path.read_text("utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the user's source; they are shown when it runs
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
    """ScoringError if the source shows that there is no such function of three arguments.

    Accepts what only running the code could show, as with a decorator or `import *`.
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
            " predicted)",
            hint=FUNCTION_HINT,
        )


def _list_bindings(module: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """The names that the module binds, with their nodes; "*" may be any name."""
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
    """Whether the function accepts three positional arguments."""
    positional = [*arguments.posonlyargs, *arguments.args]
    needed = len(positional) - len(arguments.defaults)
    at_most_enough = arguments.vararg is not None or len(positional) >= _ARGUMENTS
    return needed <= _ARGUMENTS and at_most_enough and None not in arguments.kw_defaults


def _prompt_to_json(prompt: Prompt) -> Json:
    """A text, or a chat as a list of {"role": …, "content": …}."""
    return prompt if isinstance(prompt, str) else prompt.to_json()["messages"]


def _shorten(text: str, most: int = 120) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
