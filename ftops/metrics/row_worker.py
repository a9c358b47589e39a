"""Scorers of one row, and the process that runs them (`python -m`).

A regular expression, a JSON Schema and a user's function can each run forever, and none of them can
be interrupted from inside on every platform. So they run in a process that its parent can kill
(`row_process.py`). Both sides exchange lines of JSON: the task, then the rows; the reply to the
task, then one outcome per row. The module imports little, since it is started often.
"""

import faulthandler
import json
import math
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn, TextIO

from ftops.errors import ScoringError
from ftops.metrics.optional_imports import load_optional

Scorer = Callable[[Any], float]
NOTHING = object()  # what `read_json` returns for a text that is not JSON

_LARGEST = 1e15  # the sum of squares of such scores is still finite
_MAX_SCHEMA_BYTES = 4 << 20
_GRACE_S = 10.0  # the parent kills a late process; this ends one whose parent is gone
FUNCTION_HINT = (
    "Write `python: checks/my_check.py:score`, with a function score(prompt, expected, predicted)."
)


class NoScore(Exception):
    """The row has no score; the message is the reason."""


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """The compiled pattern; ValueError if it is invalid."""
    try:
        return re.compile(pattern)
    except (re.error, OverflowError) as error:
        raise ValueError(f"`{pattern}` is not a regular expression: {error}") from error
    except RecursionError as error:
        raise ValueError("the regular expression is nested too deep") from error


def read_json(text: str) -> object:
    """The JSON value of `text` (RFC 8259: no NaN), or NOTHING if it is not JSON."""
    try:
        value: object = _DECODER.decode(text)
    except (ValueError, RecursionError):
        return NOTHING
    return value


def load_scorer(task: dict[str, str]) -> Scorer:
    """The scorer of the task; ScoringError or ValueError if it cannot be loaded."""
    match task["kind"]:
        case "regex":
            search = compile_pattern(task["pattern"]).search
            return lambda predicted: float(search(predicted) is not None)
        case "json_schema":
            return _load_schema(Path(task["path"]))
        case _:
            return _load_function(Path(task["path"]), task["function"])


def _load_schema(path: Path) -> Scorer:
    """A scorer that gives 1 if the prediction is JSON that the schema in the file accepts."""
    jsonschema = load_optional("jsonschema", "json_schema")
    referencing = load_optional("referencing", "json_schema")
    try:
        with path.open("rb") as stream:
            content = stream.read(_MAX_SCHEMA_BYTES + 1)
        if len(content) > _MAX_SCHEMA_BYTES:
            raise ScoringError(
                f"{path}: the schema is larger than {_MAX_SCHEMA_BYTES >> 20} MiB",
                hint="Remove from it what the predictions do not need.",
            )
        schema = json.loads(content)
        kind: Any = jsonschema.validators.validator_for(
            schema, default=jsonschema.Draft202012Validator
        )
        kind.check_schema(schema)
    except OverflowError as error:  # from a pattern such as a{99999999999}
        raise ScoringError(f"{path}: this is not a JSON Schema: {error}") from error
    except OSError as error:
        raise ScoringError(f"{path}: the schema cannot be read: {error.strerror}") from error
    except RecursionError as error:
        raise ScoringError(f"{path}: the schema is nested too deep") from error
    except ValueError as error:
        raise ScoringError(f"{path}: the schema is not JSON: {error}") from error
    except jsonschema.SchemaError as error:
        raise ScoringError(f"{path}: this is not a JSON Schema: {error.message}") from error
    validator = kind(schema, registry=referencing.Registry())  # an empty registry downloads nothing

    def score(predicted: str) -> float:
        value = read_json(predicted)
        try:
            return float(value is not NOTHING and validator.is_valid(value))
        except referencing.exceptions.Unresolvable as error:
            raise ScoringError(
                f"{path}: the schema names another, which is not in this file: {error.ref}",
                hint="Put it into the same file, below `$defs`.",
            ) from error
        except RecursionError as error:
            raise NoScore("the schema refers to itself without end") from error

    return score


def _load_function(path: Path, name: str) -> Scorer:
    """The function in the file; it can import modules next to the file."""
    try:
        source = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ScoringError(
            f"{path}: the file cannot be read: {reason}", hint=FUNCTION_HINT
        ) from error
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    sys.path.insert(0, str(path.resolve().parent))
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        raise ScoringError(
            f"{path}: the file does not load: {type(error).__name__}: {_show(error, str)}",
            hint=FUNCTION_HINT,
        ) from error
    function = getattr(module, name, None)
    if not callable(function):
        raise ScoringError(f"{path}: there is no function `{name}` in it", hint=FUNCTION_HINT)

    def score(row: list[Any]) -> float:
        try:
            value = function(*row)
            number = _read_number(value)
        except (Exception, SystemExit) as error:
            raise NoScore(f"{type(error).__name__}: {_show(error, str)}") from error
        if math.isnan(number) or abs(number) > _LARGEST:
            raise NoScore(
                f"it gave {_shorten(_show(value, repr))}, which is neither True, False nor a number"
                " to count with"
            )
        return number

    return score


def _read_number(value: Any) -> float:
    """The value as a number; NaN if it is not one."""
    try:
        return math.nan if isinstance(value, str | bytes) else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _show(value: object, render: Callable[[object], str]) -> str:
    """The user's value as text, even if its own class cannot render it."""
    try:
        return render(value)
    except Exception:
        return f"a {type(value).__name__}"


def _shorten(text: str, most: int = 120) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def main() -> None:
    """Score the rows on standard input.

    The output of the user's function goes to stderr, and its standard input is empty.
    """
    rows = os.fdopen(os.dup(0), encoding="utf-8")
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with open(os.devnull, encoding="utf-8") as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    task = json.loads(rows.readline())
    with open(os.devnull, "w", encoding="utf-8") as silent:  # noqa: PTH123

        def guard(limit_s: float) -> None:
            faulthandler.dump_traceback_later(limit_s + _GRACE_S, exit=True, file=silent)

        guard(task["load_limit_s"])
        try:
            score = load_scorer(task)
        except (ScoringError, ValueError) as error:
            _write(out, {"error": str(error), "hint": getattr(error, "hint", "")})
            return
        _write(out, {})
        for line in rows:
            guard(task["limit_s"])
            _write(out, _score(score, json.loads(line)))


def _score(score: Scorer, row: Any) -> dict[str, object]:
    try:
        return {"score": score(row)}
    except ScoringError as error:
        return {"error": error.message, "hint": error.hint}
    except NoScore as error:
        return {"fault": str(error)}


def _write(out: TextIO, document: dict[str, object]) -> None:
    out.write(json.dumps(document) + "\n")
    out.flush()


if __name__ == "__main__":
    main()
