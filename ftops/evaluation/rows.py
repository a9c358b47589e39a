"""The rows of an evaluation: prepared like the training data, checked for leaks, sampled."""

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
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
from ftops.records import Json, Prompt, RowFormat, ToolCall
from ftops.rows.messages import JsonObject
from ftops.rows.tools import CALL_KEYS
from ftops.run_folder import RunFolder
from ftops.spec.evaluate import EvaluateSpec
from ftops.spec.model import JobSpec
from ftops.stage_results import PreparedData

# Tokenizers of small models may work on bytes, so an answer may have as many tokens as bytes.
_SPARE_TOKENS = 8
_MAX_TOKENS = 4096
MAX_SLICES = 50  # different values of a field
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
    slices: Mapping[str, str] = field(default_factory=dict)


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

    def group_by(self, field: str) -> dict[str, list[int]]:
        """The indexes of the rows with each value of a field of `evaluate.slices`, sorted."""
        groups: dict[str, list[int]] = {}
        for index, row in enumerate(self.rows):
            groups.setdefault(row.slices[field], []).append(index)
        return dict(sorted(groups.items()))


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
    paths = RunFolder(folder)
    file = _get_file("evaluate.file", named, find_data)
    if not spec.evaluate.slices:
        paths.evaluation_slices.unlink(missing_ok=True)
        _prepare(file, paths.evaluation_rows, spec, prepared)
        return paths.evaluation_rows, named
    plain = paths.evaluation_rows.with_suffix(".part.jsonl")
    try:
        lines = take_fields(file, plain, spec.evaluate.slices)
        rows = _prepare(plain, paths.evaluation_rows, spec, prepared)
    except DatasetError as error:
        message = error.message.replace(str(plain), str(file))
        raise DatasetError(message, hint=error.hint) from error
    finally:
        plain.unlink(missing_ok=True)
    if rows != len(lines):
        raise DatasetError(
            f"{file}: {rows:,} of {len(lines):,} rows are left after preparing, so their fields are"
            " not known",
            hint="Drop these rows from the file before, or remove evaluate.slices.",
        )
    write_atomic(paths.evaluation_slices, b"".join(orjson.dumps(line) + b"\n" for line in lines))
    return paths.evaluation_rows, named


def prepare_keep_rows(
    spec: JobSpec, named: str, find_data: FindData, prepared: PreparedData, folder: Path
) -> tuple[Path, str]:
    """The prepared rows of `evaluate.keep` in `folder`, and the name of their file."""
    path = RunFolder(folder).keep_rows
    _prepare(_get_file("evaluate.keep.file", named, find_data), path, spec, prepared)
    return path, named


def hash_sources(spec: EvaluateSpec, find_data: FindData) -> str | None:
    """The hash of the local files of the section, which detects a changed one; None without any."""
    paths = [path for name in spec.files.values() if (path := find_data(name)) is not None]
    return "+".join(measure_path(path)[1] for path in paths) or None


def _get_file(field: str, named: str, find_data: FindData) -> Path:
    file = find_data(named)
    if file is None:
        raise DatasetError(f"{field}: {named} is a file at the provider; name a local file")
    return file


def _prepare(file: Path, path: Path, spec: JobSpec, prepared: PreparedData) -> int:
    """Write the prepared rows to `path`; the number of rows."""
    row_format = _choose_format(file, prepared, options_from_plan(spec.prepare.reading))
    return prepare_file(file, path, make_recipe(spec.prepare, row_format, prepared.plan)).rows


def take_fields(source: Path, target: Path, fields: Sequence[str]) -> list[dict[str, str]]:
    """Write the rows of `source` without these fields to `target`; the fields of each row.

    `a.b` is the key `b` of the object `a`, which is left out as a whole. Values that are not text
    are JSON; a missing one is "(none)". DatasetError if the file is not JSON lines, or if a field
    has more than MAX_SLICES different values.
    """
    values: list[dict[str, str]] = []
    with source.open("rb") as lines, target.open("wb") as stream:
        for number, line in enumerate(lines, start=1):
            try:
                row = orjson.loads(line) if line.strip() else None
            except orjson.JSONDecodeError as error:
                raise DatasetError(
                    f"{source}:{number}: not JSON: {error}",
                    hint="evaluate.slices needs a file with a JSON object on each line.",
                ) from error
            if isinstance(row, dict):
                values.append({field: _read_field(row, field.split(".")) for field in fields})
                for field in fields:
                    row.pop(field.split(".")[0], None)
                line = orjson.dumps(row) + b"\n"
            stream.write(line)
    for field in fields:
        count = len({row[field] for row in values})
        if count > MAX_SLICES:
            raise DatasetError(
                f"{source}: {field} has {count:,} different values, and evaluate.slices takes at"
                f" most {MAX_SLICES}",
                hint="Name a field with few values.",
            )
    return values


def _read_field(row: Json, path: Sequence[str]) -> str:
    for key in path:
        row = row.get(key) if isinstance(row, dict) else None
    if row is None:
        return "(none)"
    return row if isinstance(row, str) else orjson.dumps(row).decode()


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
    folder = RunFolder(path.parent)
    content = read_if_there(folder.evaluation_slices) if path == folder.evaluation_rows else None
    slices = [orjson.loads(line) for line in (content or b"").splitlines()] or [{}] * total
    for number, row in enumerate(read_rows(path)):
        if number not in sampled:
            continue
        rows.append(
            EvaluationRow(
                line=row.line,
                prompt=row.prompt,
                expected=prompt_format.parse(row.completion),
                text=prompt_text(row).removesuffix(prompt_format.separator),
                tool_calls=row.tool_calls,
                slices=slices[number],
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
