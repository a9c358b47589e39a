"""The rows that candidates answer, and the rows that some of them learn of."""

import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ftops.data.row_hash import prompt_text
from ftops.data.rows import Row, read_rows
from ftops.evaluation.examples import Example
from ftops.evaluation.ways import Way
from ftops.files import measure_path
from ftops.records import Prompt

# Tokenizers of small models may be near the level of bytes: no answer has more tokens than bytes.
_SPARE_TOKENS = 8
_MOST_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class Question:
    """One row of the evaluation file: its prompt as it was prepared, what is expected as a label.

    `text` is the prompt's words without the separator, for those who ask no model.
    """

    line: int
    prompt: Prompt
    expected: str
    text: str


@dataclass(frozen=True, slots=True)
class Questions:
    """All rows that are asked; `source` is the file as the user knows it.

    `longest` bounds the tokens of the longest expected answer, the stop sequence included. `total`
    is how many rows the file has, of which these were drawn.
    """

    source: str
    sha256: str
    rows: Sequence[Question]
    way: Way
    longest: int
    total: int

    @property
    def notes(self) -> list[str]:
        """That others were not asked, where that is so."""
        if self.total == len(self.rows):
            return []
        return [f"{len(self.rows):,} of {self.total:,} rows were asked, drawn by lot (max_rows)"]

    @property
    def prompts(self) -> list[Prompt]:
        """What is asked, as it was prepared."""
        return [row.prompt for row in self.rows]


def read_questions(path: Path, source: str, way: Way, max_rows: int, seed: int) -> Questions:
    """The rows of a prepared file, in their order; DatasetError when it holds none.

    Of more than `max_rows` so many by lot: files are often sorted, and their first rows of one
    class. More rows of the same draw hold the fewer.
    """
    rows, longest = [], 0
    total = sum(1 for _ in read_rows(path))
    drawn = _draw(total, max_rows, seed)
    for row in (row for number, row in enumerate(read_rows(path)) if number in drawn):
        rows.append(
            Question(
                line=row.line,
                prompt=row.prompt,
                expected=way.read(row.completion),
                text=prompt_text(row).removesuffix(way.separator),
            )
        )
        label = rows[-1].expected.encode("utf-8", "replace")
        longest = max(longest, len(row.completion.encode("utf-8", "replace")), len(label))
    return Questions(
        source,
        measure_path(path)[1],
        rows,
        way,
        min(_MOST_TOKENS, longest + _SPARE_TOKENS),
        total,
    )


def _draw(total: int, most: int, seed: int) -> Collection[int]:
    """The numbers of the rows that are asked, from 0."""
    if total <= most:
        return range(total)
    chance = random.Random(seed)
    lots = [chance.random() for _ in range(total)]
    return set(sorted(range(total), key=lots.__getitem__)[:most])


def read_examples(path: Path, way: Way) -> list[Example]:
    """The training rows, with answers as labels."""
    return [Example(row.prompt, way.read(row.completion)) for row in read_rows(path)]


def read_known(path: Path, way: Way, most: int) -> Iterator[tuple[str, str]]:
    """Words and answer of each of the first training rows, for models that only count words."""
    for row in islice(read_rows(path), most):
        yield prompt_text(row).removesuffix(way.separator), _answer(row, way)


def _answer(row: Row, way: Way) -> str:
    return way.read(row.completion)


def find_expected(questions: Questions) -> Mapping[str, int]:
    """How many rows expect which answer."""
    found: dict[str, int] = {}
    for row in questions.rows:
        found[row.expected] = found.get(row.expected, 0) + 1
    return found
