"""The model that the job made answers rows whose answers are known."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import orjson

from ftops.dataset.plans.asking import find_labels
from ftops.dataset.prepare import find_row_format, prepare_file
from ftops.dataset.reading.options import ReadOptions, from_read
from ftops.dataset.rows import Row, read_rows
from ftops.errors import NotFound
from ftops.files import write_atomic
from ftops.orchestrator.asking.manner import LOADING_PAUSES_S
from ftops.orchestrator.details import Prepared
from ftops.orchestrator.stages.prepare import make_recipe
from ftops.orchestrator.work import Outcome, Work
from ftops.records import Completion, Prompt, RowFormat, Sampling, Stage
from ftops.reporting.evaluation import Answer, render_answers, score
from ftops.spec.load import resolve_data

EVALUATION = "evaluation.json"
ANSWERS = "answers.jsonl"
_BATCH_ROWS = 20
# Tokenizers of small models may be near the level of bytes: no answer has more tokens than bytes.
_SPARE_TOKENS = 8
_MOST_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class _Questions:
    """Rows with known answers, and which file the user knows them by."""

    source: str
    rows: Sequence[Row]
    stop: str | None
    labels: Mapping[str, str]  # what an answer stands for, where numbers stand for labels


def evaluate(work: Work) -> Outcome:
    """Write the evaluation and the answers; leave the figures in the detail."""
    if reason := _reason_to_skip(work):
        return Outcome(skipped=reason)
    work.desk.provider.ensure_ready()
    questions = _read_questions(work)
    answers = list(_ask(work, questions))
    evaluation = score(answers)
    write_atomic(work.folder / ANSWERS, render_answers(answers).encode())
    text = orjson.dumps(evaluation.to_json(), option=orjson.OPT_INDENT_2)
    write_atomic(work.folder / EVALUATION, text + b"\n")
    return Outcome(
        {
            "file": questions.source,
            "rows": evaluation.rows,
            "correct": evaluation.correct,
            "accuracy": evaluation.accuracy,
            "majority": evaluation.majority,
            "majority_accuracy": evaluation.majority_accuracy,
        }
    )


def _reason_to_skip(work: Work) -> str | None:
    if work.run.fine_tuned_model is None:
        return "the job named no model"
    named = work.spec.evaluate.file or work.spec.validation_file
    if named is None:
        return "no validation_file and no evaluate.file"
    if resolve_data(Path(work.run.job_file), named) is None:
        return f"{named} lies at the provider; name a local file with evaluate.file"
    return None


def _read_questions(work: Work) -> _Questions:
    prepared = Prepared.from_json(work.get_detail(Stage.PREPARE))
    named = work.spec.evaluate.file
    path = work.folder / "validation.jsonl"
    source = prepared.validation.source if prepared.validation else ""
    if named is not None:
        given = resolve_data(Path(work.run.job_file), named)
        assert given is not None  # _reason_to_skip has looked
        path, source = work.folder / "evaluate.jsonl", named
        shape = _choose_format(given, prepared, from_read(work.spec.prepare.reading))
        prepare_file(given, path, make_recipe(work.spec, shape, prepared.plan))
    rows = list(islice(read_rows(path), work.spec.evaluate.max_rows))
    return _Questions(source, rows, prepared.stop, find_labels(prepared.plan))


def _choose_format(path: Path, prepared: Prepared, options: ReadOptions) -> RowFormat:
    """The shape of the questions; one that learned of preferences may be asked chats, too."""
    if prepared.row_format is RowFormat.PREFERENCE:
        found = find_row_format(path, options, prepared.plan)
        return found if found is RowFormat.PREFERENCE else RowFormat.CHAT
    return prepared.row_format


def _ask(work: Work, questions: _Questions) -> Iterator[Answer]:
    rows, stop, labels = questions.rows, questions.stop, questions.labels
    sampling = Sampling(
        max_tokens=work.spec.evaluate.max_tokens or _find_longest(rows),
        temperature=0.0,
        stop=(stop,) if stop else (),
    )
    done = 0
    work.desk.observer.progressed(Stage.EVALUATE, 0, len(rows), "rows")
    while batch := rows[done : done + _BATCH_ROWS]:
        completions = _complete(work, [row.prompt for row in batch], sampling)
        for row, completion in zip(batch, completions, strict=True):
            yield Answer(
                line=row.line,
                prompt=row.prompt,
                expected=_name(_trim(row.completion, stop), labels),
                given=_name(_trim(completion.text, stop), labels),
            )
        done += len(batch)
        work.desk.observer.progressed(Stage.EVALUATE, done, len(rows), "rows")


def _complete(work: Work, prompts: Sequence[Prompt], sampling: Sampling) -> list[Completion]:
    model = work.run.fine_tuned_model or ""
    for number, pause_s in enumerate(LOADING_PAUSES_S):
        try:
            return work.desk.provider.complete(model, prompts, sampling)
        except NotFound:
            if number == 0:
                work.desk.observer.noted(f"{model} is not being served yet; waiting for it")
            work.sleep(pause_s)
    return work.desk.provider.complete(model, prompts, sampling)


def _find_longest(rows: Sequence[Row]) -> int:
    longest = max((len(row.completion.encode("utf-8", "replace")) for row in rows), default=0)
    return min(_MOST_TOKENS, longest + _SPARE_TOKENS)


def _trim(text: str, stop: str | None) -> str:
    """What counts of an answer: all before the stop sequence, without outer blanks."""
    return (text.split(stop, 1)[0] if stop else text).strip()


def _name(answer: str, labels: Mapping[str, str]) -> str:
    """The label that an answer stands for; the answer itself where there is none."""
    return labels.get(answer, answer)
