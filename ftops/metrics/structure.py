"""Metrics of form: the share of answers that are as a program needs them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ftops.errors import ScoringError
from ftops.metrics import row_process
from ftops.metrics.prediction import Prediction, Problem
from ftops.metrics.row_scorers import NOTHING, compile_pattern, read_json
from ftops.metrics.samples import Sample

ROW_LIMIT_S = 5.0
TOTAL_LIMIT_S = 300.0  # for all answers of a candidate
SCHEMA_LIMIT_S = 30.0  # to read and check a schema


def json_valid(answer: Prediction) -> float:
    """1 where the answer is one JSON value (RFC 8259: NaN and Infinity are none)."""
    return float(read_json(answer.predicted) is not NOTHING)


@dataclass(frozen=True, slots=True)
class FormMetric:
    """The share of answers that a regular expression or a JSON Schema accepts.

    Both can take unbounded time on one answer, so each has `limit_s`, and all have `total_s`.
    """

    name: str
    task: Mapping[str, str]
    limit_s: float = ROW_LIMIT_S
    total_s: float = TOTAL_LIMIT_S

    def measure(self, answers: Sequence[Prediction]) -> Sample:
        """The share; an answer that failed is not accepted.

        ScoringError with its line when an answer cannot be judged within the limit: a share of the
        other rows would say something else.
        """
        asked = [one for one in answers if one.problem is not Problem.FAILED]
        outcomes = row_process.score_rows(
            self.task,
            [one.predicted for one in asked],
            limit_s=self.limit_s,
            most_late=1,
            total_s=self.total_s,
        )
        for one, outcome in zip(asked, outcomes, strict=True):
            if outcome.score is None:
                raise ScoringError(
                    f"metric {self.name}: row {one.line}: {outcome.fault}, on an answer of"
                    f" {len(one.predicted):,} characters",
                    hint="Change the pattern or schema so that it cannot backtrack without end (as"
                    " `(a+)+` does), or leave the metric out; answers that were given are kept.",
                )
        left = iter(outcomes)
        return Sample.of_scores(
            [0.0 if one.problem is Problem.FAILED else next(left).score for one in answers]
        )


def make_json_schema(name: str, path: Path) -> FormMetric:
    """Whether the answer is JSON that the schema in that file allows.

    ScoringError when there is no such schema, or when it cannot be checked in time.
    """
    task = {"kind": "json_schema", "path": str(path)}
    row_process.load(task, limit_s=SCHEMA_LIMIT_S)
    return FormMetric(name, task)


def make_regex(name: str, pattern: str) -> FormMetric:
    """Whether the pattern is found in the answer; ValueError when it is none."""
    compile_pattern(pattern)
    return FormMetric(name, {"kind": "regex", "pattern": pattern})


def make_max_chars(most: int) -> Callable[[Prediction], float]:
    """1 where the answer has at most so many characters."""
    return lambda answer: float(len(answer.predicted) <= most)


@dataclass(frozen=True, slots=True)
class StopReached:
    """The share of answers that ended by themselves, not at `max_tokens`."""

    name: str

    def measure(self, answers: Sequence[Prediction]) -> Sample:
        """None where nobody said how any answer ended; one that failed did not reach its end."""
        if all(one.finish_reason is None for one in answers):
            return Sample.none("nobody said how the answers ended")
        return Sample.of_scores(
            [
                0.0 if one.problem is Problem.FAILED else float(one.finish_reason == "stop")
                for one in answers
            ]
        )
