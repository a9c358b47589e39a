"""What an evaluation leaves in its folder: the document, and every answer of every candidate."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson

from ftops.files import read_if_there, write_atomic
from ftops.metrics.evaluation import Evaluation
from ftops.metrics.prediction import Prediction
from ftops.records import Json, Prompt
from ftops.reports.report.kept import make_slugs, parse_answers, parse_evaluation

EVALUATION = "evaluation.json"
ANSWERS = "answers"


def keep_evaluation(
    folder: Path, evaluation: Evaluation, answers: Mapping[str, Sequence[Prediction]]
) -> None:
    """Write the answers of each candidate, then the document; each file whole or not at all."""
    kept = folder / ANSWERS
    names = make_slugs(list(answers))
    for candidate, given in answers.items():
        write_atomic(kept / f"{names[candidate]}.jsonl", render_answers(given).encode())
    _remove_others(kept, {f"{name}.jsonl" for name in names.values()})
    text = orjson.dumps(evaluation.to_json(), option=orjson.OPT_INDENT_2)
    write_atomic(folder / EVALUATION, text + b"\n")


def read_evaluation(folder: Path) -> Evaluation | None:
    """The document in that folder; None where there is none."""
    content = read_if_there(folder / EVALUATION)
    if content is None:
        return None
    # As they lay there before there were candidates.
    earlier = read_if_there(folder / f"{ANSWERS}.jsonl")
    return parse_evaluation(content, parse_answers(earlier or b""))


def read_first_answers(folder: Path, evaluation: Evaluation) -> list[Prediction] | None:
    """What the evaluated model answered; None where its answers were not kept."""
    names = make_slugs([one.name for one in evaluation.candidates[:1]])
    if not names:
        return None
    content = read_if_there(folder / ANSWERS / f"{next(iter(names.values()))}.jsonl")
    return None if content is None else parse_answers(content)


def render_answers(answers: Sequence[Prediction]) -> str:
    """The answers as JSON lines."""
    return "".join(f"{json.dumps(_to_json(one), ensure_ascii=False)}\n" for one in answers)


def _to_json(answer: Prediction) -> dict[str, Json]:
    return {
        "line": answer.line,
        "prompt": _prompt_to_json(answer.prompt),
        "expected": answer.expected,
        "predicted": answer.predicted,
        "correct": answer.correct,
        "finish_reason": answer.finish_reason,
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "seconds": answer.seconds,
        "probabilities": dict(answer.probabilities),
        "problem": answer.problem.value if answer.problem else None,
        "note": answer.note,
    }


def _prompt_to_json(prompt: Prompt) -> Json:
    if isinstance(prompt, str):
        return prompt
    return [{"role": message.role, "content": message.content} for message in prompt]


def _remove_others(folder: Path, wanted: set[str]) -> None:
    """Answers of candidates that an earlier evaluation had, and this one has not."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.name not in wanted:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
