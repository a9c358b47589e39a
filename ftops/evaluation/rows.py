"""The rows of an evaluation: prepared like the training data, checked for leaks, sampled."""

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, cast

import orjson

from ftops.data.baselines import MOST_CHARS, MOST_TRAINING
from ftops.data.batch_parser import RowBatch
from ftops.data.leakage import LeakedRows, LeakIndex, detect_leaked_rows
from ftops.data.prepare import get_row_format, make_recipe, prepare_file
from ftops.data.reading.options import ReadOptions, options_from_plan
from ftops.data.reading.source import open_source
from ftops.data.rows import prompt_text, read_batches, read_rows
from ftops.errors import DatasetError
from ftops.evaluation.prompt_format import PromptFormat
from ftops.files import measure_path, read_if_there, write_atomic
from ftops.records import Prompt, RowFormat, ToolCall
from ftops.rows.messages import JsonObject
from ftops.rows.tools import CALL_KEYS
from ftops.run_folder import RunFolder
from ftops.spec.evaluate import EvaluateSpec
from ftops.spec.model import JobSpec
from ftops.stage_results import PreparedData

# Tokenizers of small models may work on bytes, so an answer may have as many tokens as bytes.
_SPARE_TOKENS = 8
_MAX_TOKENS = 4096
# The path of a data file in the job file; None for the id of an uploaded file.
FindData: TypeAlias = Callable[[str], Path | None]


@dataclass(frozen=True, slots=True)
class EvaluationRow:
    """One row of the evaluation file: its prepared prompt and its expected answer as a label.

    `tool_calls` are those of the expected answer, which are part of `expected` too. `text` is the
    prompt without the separator and roles, for baselines.
    """

    line: int
    prompt: Prompt
    expected: str
    text: str
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class EvaluationRows:
    """The evaluation rows; `source` is the file name from the user.

    `max_answer_tokens` is an upper limit for the tokens of an expected answer with its stop
    sequence. `total` is the number of rows in the file before sampling.
    """

    source: str
    sha256: str
    rows: Sequence[EvaluationRow]
    prompt_format: PromptFormat
    max_answer_tokens: int
    total: int

    @property
    def prompts(self) -> list[Prompt]:
        """The prepared prompts."""
        return [row.prompt for row in self.rows]


def prepare_rows(
    spec: JobSpec, find_data: FindData, prepared: PreparedData, folder: Path
) -> tuple[Path, str]:
    """The prepared rows in `folder`, and the name of their file in the job file.

    The validation file is already prepared; an `evaluate.file` is prepared here in the same way.
    """
    named = spec.evaluate.file
    if named is None:
        source = prepared.validation.source if prepared.validation else ""
        return RunFolder(folder).validation_rows, source
    file = find_data(named)
    if file is None:
        raise DatasetError(f"evaluate.file: {named} is a file at the provider; name a local file")
    row_format = _choose_format(file, prepared, options_from_plan(spec.prepare.reading))
    path = RunFolder(folder).evaluation_rows
    prepare_file(file, path, make_recipe(spec.prepare, row_format, prepared.plan))
    return path, named


def _choose_format(path: Path, prepared: PreparedData, options: ReadOptions) -> RowFormat:
    """The format of the rows; a model trained on preferences can also be evaluated on chats."""
    if prepared.row_format is RowFormat.PREFERENCE:
        row_format = get_row_format(path, options, prepared.plan)
        return row_format if row_format is RowFormat.PREFERENCE else RowFormat.CHAT
    return prepared.row_format


@dataclass(frozen=True, slots=True)
class TrainingExample:
    """A prepared training row as text, and its answer as a message if that calls tools."""

    prompt: str
    completion: str
    calling: JsonObject | None = None


class TrainingIndex:
    """What evaluations need of the training rows, which are added a batch at a time."""

    def __init__(self) -> None:
        self.leaks = LeakIndex()
        self.examples: list[TrainingExample] = []
        self._chars = 0

    @classmethod
    def read(cls, path: Path) -> "TrainingIndex":
        """The index of prepared training rows."""
        index = cls()
        for batch in read_batches(open_source(path)):
            index.add(batch)
        return index

    def add(self, batch: RowBatch) -> None:
        self.leaks.add(batch)
        columns = zip(batch.prompts, batch.completions, batch.raws, strict=True)
        for prompt, completion, raw in columns:
            self._chars += len(prompt)
            if len(self.examples) >= MOST_TRAINING or (self._chars > MOST_CHARS and self.examples):
                return
            calling = None
            if batch.format is RowFormat.CHAT:
                answer = cast("list[JsonObject]", raw["messages"])[-1]
                calling = answer if any(answer.get(key) for key in CALL_KEYS) else None
            self.examples.append(TrainingExample(prompt, completion, calling))


@dataclass(frozen=True, slots=True)
class TrainingExtract:
    """What the evaluation on rows with this hash needs of the training rows.

    `examples` are the first rows, as many as baselines learn from.
    """

    rows_sha256: str
    leak: LeakedRows
    examples: Sequence[TrainingExample]

    def check_leak(self, source: str, spec: EvaluateSpec) -> None:
        """DatasetError if rows leak and `evaluate.overlap` refuses them."""
        if self.leak.lines and spec.refuses_overlap:
            raise DatasetError(
                self.leak.say(source),
                hint="Split again with `ftops data split --group-near`, or allow it with"
                " `evaluate: {overlap: allow}` (`ftops eval --force`); the results then carry a"
                " note.",
            )


def extract_training(index: TrainingIndex, rows: Path) -> TrainingExtract:
    """Find the prepared evaluation rows that are training rows."""
    leak = detect_leaked_rows(index.leaks, rows)
    return TrainingExtract(measure_path(rows)[1], leak, index.examples)


def write_extract(folder: Path, extract: TrainingExtract) -> None:
    """Keep the extract in the run's folder, so that no later stage reads the training rows."""
    document = {
        "rows_sha256": extract.rows_sha256,
        "leaked_lines": sorted(extract.leak.lines),
        "leaks": extract.leak.sentences,
        "examples": extract.examples,
    }
    write_atomic(RunFolder(folder).training_extract, orjson.dumps(document))


def load_extract(training: Path | None, rows: Path) -> TrainingExtract | None:
    """The extract in the folder of the training rows if it is for `rows`, else a new one.

    None without training rows.
    """
    if training is None:
        return None
    kept = read_if_there(RunFolder(training.parent).training_extract)
    if kept is not None:
        document = orjson.loads(kept)
        if document["rows_sha256"] == measure_path(rows)[1]:
            leak = LeakedRows(frozenset(document["leaked_lines"]), tuple(document["leaks"]))
            examples = [TrainingExample(**example) for example in document["examples"]]
            return TrainingExtract(document["rows_sha256"], leak, examples)
    return extract_training(TrainingIndex.read(training), rows)


def read_evaluation_rows(
    path: Path, source: str, prompt_format: PromptFormat, max_rows: int, seed: int
) -> EvaluationRows:
    """The rows of a prepared file, in order; DatasetError if it has none.

    A file with more than `max_rows` rows is sampled at random, because files are often sorted by
    class. With the same seed, a larger sample contains every smaller one.
    """
    rows, longest = [], 0
    total = sum(1 for _ in read_rows(path))
    sampled = _sample(total, max_rows, seed)
    for row in (row for number, row in enumerate(read_rows(path)) if number in sampled):
        rows.append(
            EvaluationRow(
                line=row.line,
                prompt=row.prompt,
                expected=prompt_format.parse(row.completion),
                text=prompt_text(row).removesuffix(prompt_format.separator),
                tool_calls=row.tool_calls,
            )
        )
        label = rows[-1].expected.encode("utf-8", "replace")
        longest = max(longest, len(row.completion.encode("utf-8", "replace")), len(label))
    max_answer_tokens = min(_MAX_TOKENS, longest + _SPARE_TOKENS)
    sha256 = measure_path(path)[1]
    return EvaluationRows(source, sha256, rows, prompt_format, max_answer_tokens, total)


def _sample(total: int, size: int, seed: int) -> Collection[int]:
    """The indexes of the sampled rows."""
    if total <= size:
        return range(total)
    generator = random.Random(seed)
    order = [generator.random() for _ in range(total)]
    return set(sorted(range(total), key=order.__getitem__)[:size])
