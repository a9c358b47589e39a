"""Splits data into training, validation and test files, stratified and without shared prompts.

Rows with the same prompt are in the same file, and so are rows of a group: equal values of a
column, or near-duplicate prompts. Hashes of the seed and the prompts select the file, so the same
rows and seed give the same bytes, and adding rows moves few others. About 150 bytes are held per
row, and 64 more with near-duplicates.
"""

import contextlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import orjson

from ftops.data.batch_parser import digest_text
from ftops.data.findings import format_rows
from ftops.data.profile import PROFILED_ROWS, are_labels, may_be_labels
from ftops.data.reading.options import ReadOptions
from ftops.data.rows import prompt_text, read_rows
from ftops.data.screening.minhash import BINS, list_common_shingles, sketch_texts
from ftops.data.screening.near_duplicates import group_near_duplicates
from ftops.errors import DatasetError, UsageError
from ftops.files import open_atomic
from ftops.rows.formats import ROW_KEYS
from ftops.text import to_nfc

VALIDATION, TEST = "validation", "test"
_KEPT_CHARS = 65  # of a completion: one more than a label has
_DATA_MODE = 0o644


@dataclass(frozen=True, slots=True)
class SplitSize:
    """A number of rows, or a share of all rows."""

    rows: int = 0
    share: float = 0.0

    def of(self, total: int) -> int:
        """The number of rows."""
        return self.rows or round(total * self.share)


@dataclass(frozen=True, slots=True)
class SplitOptions:
    """The options of a split; `column` and `near` keep groups of rows together."""

    validation: SplitSize
    test: SplitSize | None = None
    seed: int = 42
    column: str | None = None
    near: bool = False
    stratify: bool | None = None  # None: only if completions look like labels


@dataclass(frozen=True, slots=True)
class SplitResult:
    """The part of each row, and what the split found.

    `classes` are the rows of each class in each part; None if completions are not labels. `groups`
    are the sets of rows that stay together, including single rows.
    """

    parts: tuple[str, ...]
    sides: Sequence[str]
    classes: Mapping[str, Mapping[str, int]] | None
    groups: int

    def rows(self, part: str) -> int:
        """The number of rows of a part."""
        return sum(side == part for side in self.sides)


def parse_split_size(text: str) -> SplitSize:
    """ "20%", "0.2" or "500" rows; UsageError for other texts."""
    try:
        if text.endswith("%"):
            share = float(text[:-1]) / 100
        elif text.isdecimal() and int(text) > 0:
            return SplitSize(rows=int(text))
        else:
            share = float(text)
    except ValueError:
        share = math.nan
    if not 0 < share < 1:
        raise UsageError(
            f"{text!r} is not a number or share of rows", hint="For example 20%, 0.2 or 500."
        )
    return SplitSize(share=share)


def keep_group_column(options: ReadOptions, column: str | None) -> ReadOptions:
    """`options` for rows that keep `column` besides the columns they are read from."""
    if column is None or column in ROW_KEYS:
        return options
    return replace(options, drop=(*options.drop, column))


def assign_rows(path: Path, options: ReadOptions, wish: SplitOptions) -> SplitResult:
    """Assign each row to a part. Raises DatasetError for invalid or too few rows."""
    questions: list[int] = []
    answers: list[str] = []
    sketches = _Sketches() if wish.near else None
    for row in read_rows(path, options):
        answer = to_nfc(row.completion)
        question = to_nfc(prompt_text(row)) or answer  # open-ended rows have no prompt
        questions.append(hash_to_int(0, question))
        answers.append(answer[:_KEPT_CHARS])
        if sketches is not None:
            sketches.add(question)
    links: list[Sequence[int]] = [questions]
    if wish.column is not None:
        links.append(_read_groups(path, options, wish.column, len(questions)))
    if sketches is not None:
        links.append(sketches.list_groups())
    groups = _join(links)
    labels = answers if _are_classes(answers, wish.stratify) else None
    parts = [(VALIDATION, wish.validation)] + ([(TEST, wish.test)] if wish.test else [])
    wanted = {name: amount.of(len(questions)) for name, amount in parts}
    _check_wanted(path, wanted, len(questions))
    sides = assign_splits(groups, labels, questions, wanted, wish.seed)
    counts = None
    if labels is not None:
        counts = {label: Counter[str]() for label in sorted(set(labels))}
        for label, side in zip(labels, sides, strict=True):
            counts[label][side] += 1
    names = (TRAIN, *(name for name, _ in parts))
    division = SplitResult(names, sides, counts, len(set(groups)))
    _check_parts(path, division)
    return division


def _check_wanted(path: Path, wanted: Mapping[str, int], rows: int) -> None:
    """Raise DatasetError if a part would have no rows."""
    fewest = len(wanted) + 1
    if rows < fewest:
        raise DatasetError(
            f"{path}: {format_rows(rows)} cannot be split into {fewest} files",
            hint="Add rows: ten times as many are few.",
        )
    empty = [name for name, count in wanted.items() if not count]
    if empty:
        raise DatasetError(
            f"{path}: {format_rows(rows)} cannot be split: the share for {' and '.join(empty)} is"
            " less than half a row",
            hint=f"Ask for a number of rows, such as --{empty[0]} 1, or for a larger share.",
        )
    if sum(wanted.values()) >= rows:
        asked = " and ".join(f"{count:,} for {name}" for name, count in wanted.items())
        raise DatasetError(
            f"{path}: {format_rows(rows)} cannot be split: {asked} would leave none for training",
            hint="Ask for fewer rows.",
        )


def _check_parts(path: Path, division: SplitResult) -> None:
    """Raise DatasetError if grouping leaves a part without rows."""
    empty = [part for part in division.parts if not division.rows(part)]
    if empty:
        groups = "1 group" if division.groups == 1 else f"{division.groups:,} groups"
        raise DatasetError(
            f"{path}: there would be no rows in {' and '.join(empty)}: rows with the same prompt"
            f" stay together, and these are {groups}",
            hint="Add rows with other prompts, or ask for a larger share. --group and --group-near"
            " keep more rows together.",
        )


def write_splits(
    path: Path, options: ReadOptions, division: SplitResult, targets: Mapping[str, Path]
) -> None:
    """Write each part to its target, atomically and in the order of the source."""
    with contextlib.ExitStack() as stack:
        streams = {
            part: stack.enter_context(open_atomic(target, mode=_DATA_MODE))
            for part, target in targets.items()
        }
        rows = read_rows(path, options)
        for row, side in zip(rows, division.sides, strict=True):
            streams[side].write(orjson.dumps(row.raw) + b"\n")


def _read_groups(path: Path, options: ReadOptions, column: str, rows: int) -> list[int]:
    """A hash of the column's value in each row."""
    named = "{" + column + "}"
    asked = replace(options, prompt=f"value {named}", completion=f"value {named}", layout=None)
    found = [hash_to_int(1, to_nfc(row.completion)) for row in read_rows(path, asked)]
    if len(found) != rows:
        raise DatasetError(
            f"{path}: {rows:,} rows, and {len(found):,} with a value of {column}",
            hint="Fill the column in every row, or drop the rows without one.",
        )
    return found


class _Sketches:
    """Sketches of prompts, computed a few hundred at a time."""

    def __init__(self) -> None:
        self._pending: list[str] = []
        self._common: tuple[int, ...] | None = None
        self._sketches = bytearray()

    def add(self, text: str) -> None:
        self._pending.append(text)
        if len(self._pending) >= PROFILED_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._common is None:
            self._common = list_common_shingles(self._pending)
        self._sketches += sketch_texts(self._pending, self._common).tobytes()
        self._pending.clear()

    def list_groups(self) -> list[int]:
        """The index of the first row of each row's group."""
        self._flush()
        sketches = np.frombuffer(bytes(self._sketches), np.uint8).reshape(-1, BINS)
        return [int(first) for first in group_near_duplicates(sketches)]


def _join(links: Sequence[Sequence[int]]) -> list[int]:
    """The first row of each row's group; rows that share a value in any of `links` are grouped."""
    parents = list(range(len(links[0])))

    def find(row: int) -> int:
        while parents[row] != row:
            parents[row] = parents[parents[row]]
            row = parents[row]
        return row

    for values in links:
        first: dict[int, int] = {}
        for row, value in enumerate(values):
            one, other = find(first.setdefault(value, row)), find(row)
            parents[max(one, other)] = min(one, other)
    return [find(row) for row in range(len(parents))]


def _are_classes(answers: Sequence[str], asked: bool | None) -> bool:
    """Whether completions are labels; `asked` accepts labels that do not repeat."""
    distinct = set(answers)
    if asked and not may_be_labels(distinct):
        raise DatasetError(
            "the completions are not classes: too many distinct ones, or too long",
            hint="Omit --stratify.",
        )
    return asked or (asked is None and are_labels(distinct, len(answers)))


def list_missing_classes(division: SplitResult) -> Iterator[str]:
    """Messages about classes that are missing from a part."""
    for label, counts in (division.classes or {}).items():
        absent = [part for part in division.parts if not counts.get(part)]
        if absent:
            yield f"the class {label!r} has no rows in {' and '.join(absent)}"


TRAIN = "train"


def hash_to_int(seed: int, text: str) -> int:
    """A 64-bit hash, the same on every machine."""
    return int.from_bytes(digest_text(f"{seed}\n{text}"))


def assign_splits(
    groups: Sequence[int],
    labels: Sequence[str] | None,
    questions: Sequence[int],
    wanted: Mapping[str, int],
    seed: int,
) -> list[str]:
    """The part of each row; groups are assigned class by class, in a random order of the seed."""
    members: dict[int, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    strata: dict[str, list[int]] = {}
    for group, rows in members.items():
        label = ""
        if labels is not None:
            counted = Counter(labels[row] for row in rows)
            label = min(counted, key=lambda one: (-counted[one], one))
        strata.setdefault(label, []).append(group)
    sides = [TRAIN] * len(groups)
    sizes = {label: sum(len(members[group]) for group in strata[label]) for label in strata}
    targets = {part: _share_out(sizes, count) for part, count in wanted.items()}
    for label, found in strata.items():
        drawn = {
            one: hash_to_int(seed, str(min(questions[row] for row in members[one])))
            for one in found
        }
        left = iter(sorted(found, key=lambda one: (drawn[one], one)))
        _fill(left, len(found), {part: targets[part][label] for part in wanted}, members, sides)
    return sides


def _fill(
    groups: Iterator[int],
    count: int,
    targets: Mapping[str, int],
    members: Mapping[int, Sequence[int]],
    sides: list[str],
) -> None:
    """Assign groups until each part has its rows; at least one group stays for training."""
    spare = count - 1
    left = dict(targets)
    for group in groups:
        rows = members[group]
        part = next((name for name, missing in left.items() if len(rows) < 2 * missing), None)
        if part is None or not spare:
            continue
        spare -= 1
        left[part] -= len(rows)
        for row in rows:
            sides[row] = part


def _share_out(sizes: Mapping[str, int], wanted: int) -> dict[str, int]:
    """Distribute `wanted` rows over the classes by size, with the largest remainder method."""
    total = sum(sizes.values())
    shares = {label: divmod(wanted * size, total) for label, size in sizes.items()}
    given = {label: whole for label, (whole, _) in shares.items()}
    odd = wanted - sum(given.values())
    for label in sorted(shares, key=lambda one: (-shares[one][1], one))[:odd]:
        given[label] += 1
    for label in given:
        given[label] = max(given[label], 1 if sizes[label] > 1 else 0)
    return given
