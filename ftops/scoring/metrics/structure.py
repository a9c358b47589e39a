"""Metrics of form: the share of answers that are as a program needs them."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ftops.errors import ScoringError
from ftops.scoring.answers import Answer, Problem
from ftops.scoring.extras import need
from ftops.scoring.samples import Sample


def json_valid(answer: Answer) -> float:
    """1 where the answer is one JSON value (RFC 8259: NaN and Infinity are none)."""
    return float(_read(answer.given) is not _NOTHING)


def make_json_schema(name: str, path: Path) -> Callable[[Answer], float]:
    """1 where the answer is JSON that the schema in that file allows."""
    jsonschema = need("jsonschema", name)
    try:
        schema = json.loads(path.read_text("utf-8"))
        kind: Any = jsonschema.validators.validator_for(
            schema, default=jsonschema.Draft202012Validator
        )
        kind.check_schema(schema)
    except OSError as error:
        raise ScoringError(f"{path}: the schema cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ScoringError(f"{path}: the schema is not JSON: {error}") from error
    except jsonschema.SchemaError as error:
        raise ScoringError(f"{path}: this is no JSON schema: {error.message}") from error
    validator = kind(schema)

    def score(answer: Answer) -> float:
        value = _read(answer.given)
        return float(value is not _NOTHING and validator.is_valid(value))

    return score


def make_regex(pattern: str) -> Callable[[Answer], float]:
    """1 where the pattern is found in the answer; ValueError when it is none."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"`{pattern}` is no regular expression: {error}") from error
    return lambda answer: float(compiled.search(answer.given) is not None)


def make_max_chars(most: int) -> Callable[[Answer], float]:
    """1 where the answer has at most so many characters."""
    return lambda answer: float(len(answer.given) <= most)


@dataclass(frozen=True, slots=True)
class StopReached:
    """The share of answers that ended by themselves, not at `max_tokens`."""

    name: str

    def measure(self, answers: Sequence[Answer]) -> Sample:
        """None where nobody said how any answer ended; one that failed did not reach its end."""
        if all(one.finish_reason is None for one in answers):
            return Sample.none("nobody said how the answers ended")
        return Sample.of_scores(
            [
                0.0 if one.problem is Problem.FAILED else float(one.finish_reason == "stop")
                for one in answers
            ]
        )


_NOTHING = object()


def _read(text: str) -> object:
    try:
        value: object = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return _NOTHING
    return value


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
