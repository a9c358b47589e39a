"""Compares two versions of a data set, regardless of the order of rows.

Both are read twice. Each row needs about 30 bytes, and each row that is only in one version 64
more. Rows are equal if `RowBatch.row_hashes` are.
"""

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ftops.data.profile import are_labels, may_be_labels
from ftops.data.reading.options import ReadOptions
from ftops.data.reading.source import open_source
from ftops.data.review import SampledRow, read_parts
from ftops.data.rows import Row, prompt_text, read_batches, read_rows, row_id
from ftops.data.screening.minhash import BINS, sketch_texts
from ftops.data.screening.near_duplicates import match_near_duplicates

_SKETCHED_AT_ONCE = 512
_EMPTY = np.zeros(0, np.intp)

Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class DatasetDiff:
    """Counts of rows, and the first rows of each kind.

    `answered` are rows with the same prompt and another completion, `edited` are near-duplicates;
    neither counts as added or removed. `shown` has pairs of (old, new), with None for a missing
    row. `classes` are the rows of each label in both versions; None if completions are not labels.
    """

    old_rows: int
    new_rows: int
    same: int
    added: int
    removed: int
    answered: int
    edited: int
    classes: Mapping[str, tuple[int, int]] | None
    shown: Mapping[str, Sequence[tuple[SampledRow | None, SampledRow | None]]]


@dataclass(slots=True)
class _Side:
    """The hashes of the rows of one version."""

    path: Path
    options: ReadOptions
    rows: "array[int]" = field(default_factory=lambda: array("q"))
    prompts: "array[int]" = field(default_factory=lambda: array("q"))
    labels: Counter[str] | None = field(default_factory=Counter)

    def read(self) -> "_Side":
        for batch in read_batches(open_source(self.path, self.options)):
            self.rows.extend(batch.row_hashes())
            self.prompts.extend(map(hash, batch.prompts_in_nfc()))
            if self.labels is not None:
                self.labels.update(batch.completions_in_nfc())
                if self.labels and not may_be_labels(self.labels):
                    self.labels = None
        return self

    def sketch(self, wanted: Rows) -> NDArray[np.uint8]:
        """Sketches of the `wanted` rows, in their order."""
        chosen = set(wanted.tolist())
        parts, texts = [np.zeros((0, BINS), np.uint8)], list[str]()
        for number, row in enumerate(read_rows(self.path, self.options) if chosen else ()):
            if number in chosen:
                texts.append(f"{prompt_text(row)}\n{row.completion}")
            if len(texts) == _SKETCHED_AT_ONCE:
                parts.append(sketch_texts(texts))
                texts = []
        return np.concatenate([*parts, sketch_texts(texts)])

    def show(self, wanted: set[int]) -> dict[int, SampledRow]:
        """The `wanted` rows by index, with their texts."""
        return {
            number: _show(row)
            for number, row in enumerate(read_rows(self.path, self.options) if wanted else ())
            if number in wanted
        }


def diff_files(
    old: Path, new: Path, options: ReadOptions, *, shown: int = 3, edits: bool = True
) -> DatasetDiff:
    """Compare two versions; DatasetError if one of them has invalid rows.

    Keeps up to `shown` rows of each kind as examples. Without `edits`, near-duplicate rows count as
    removed and added.
    """
    one, other = _Side(old, options).read(), _Side(new, options).read()
    before, after = (np.frombuffer(side.rows, np.int64) for side in (one, other))
    removed, added = _only_in(before, after), _only_in(after, before)
    asked = [np.frombuffer(side.prompts, np.int64) for side in (one, other)]
    answered = _pair(removed, added, asked[0], asked[1])
    removed, added = _without(removed, answered[0]), _without(added, answered[1])
    edited = _pair_alike(one, other, removed, added) if edits else (_EMPTY, _EMPTY)
    removed, added = _without(removed, edited[0]), _without(added, edited[1])
    return DatasetDiff(
        old_rows=len(before),
        new_rows=len(after),
        same=len(before) - len(removed) - len(answered[0]) - len(edited[0]),
        added=len(added),
        removed=len(removed),
        answered=len(answered[0]),
        edited=len(edited[0]),
        classes=_compare_classes(one, other),
        shown=_show_first(
            one, other, shown,
            {"added": (None, added), "removed": (removed, None), "answered": answered,
             "edited": edited},
        ),
    )  # fmt: skip


def _only_in(values: NDArray[np.int64], others: NDArray[np.int64]) -> Rows:
    """Rows that the other version lacks; if a row occurs more often here, its last occurrences."""
    known, counts = np.unique(others, return_counts=True)
    at = np.minimum(np.searchsorted(known, values), max(len(known) - 1, 0))
    there = np.where(known[at] == values, counts[at], 0) if len(known) else np.zeros(len(values))
    return np.flatnonzero(_count_before(values) >= there)


def _count_before(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often each value occurs earlier."""
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    fresh = np.concatenate([[True], ranked[1:] != ranked[:-1]])[: len(values)]
    at = np.arange(len(values))
    before = np.zeros(len(values), np.int64)
    before[order] = at - np.maximum.accumulate(np.where(fresh, at, 0))
    return before


def _pair(
    removed: Rows, added: Rows, old: NDArray[np.int64], new: NDArray[np.int64]
) -> tuple[Rows, Rows]:
    """Pairs of a removed and an added row with the same question, matched in order."""
    keys = [
        list(zip(asked[rows].tolist(), _count_before(asked[rows]).tolist(), strict=True))
        for asked, rows in ((old, removed), (new, added))
    ]
    where = dict(zip(keys[0], removed.tolist(), strict=True))
    found = [(where[key], row) for key, row in zip(keys[1], added.tolist(), strict=True)
             if key in where]  # fmt: skip
    return _columns(found)


def _pair_alike(one: _Side, other: _Side, removed: Rows, added: Rows) -> tuple[Rows, Rows]:
    """Pairs of near-duplicate rows; each row is in at most one pair."""
    if not len(removed) or not len(added):
        return _EMPTY, _EMPTY
    near_duplicates = match_near_duplicates(one.sketch(removed), other.sketch(added))
    taken: dict[int, int] = {}
    for late, early in sorted(near_duplicates.items()):
        taken.setdefault(early, late)
    pairs = [(int(removed[early]), int(added[late])) for early, late in taken.items()]
    return _columns(sorted(pairs, key=lambda pair: pair[1]))


def _columns(pairs: Sequence[tuple[int, int]]) -> tuple[Rows, Rows]:
    table = np.array(pairs, np.intp).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _without(rows: Rows, others: Rows) -> Rows:
    return rows[~np.isin(rows, others)]


def _compare_classes(one: _Side, other: _Side) -> Mapping[str, tuple[int, int]] | None:
    before, after = one.labels, other.labels
    if before is None or after is None:
        return None
    labels = sorted(set(before) | set(after))
    if not are_labels(labels, max(before.total(), after.total())):
        return None
    return {label: (before[label], after[label]) for label in labels}


def _show_first(
    one: _Side, other: _Side, count: int, kinds: Mapping[str, tuple[Rows | None, Rows | None]]
) -> dict[str, list[tuple[SampledRow | None, SampledRow | None]]]:
    firsts = {kind: [_first(rows, count) for rows in pair] for kind, pair in kinds.items()}
    old, new = (
        side.show({row for pair in firsts.values() for row in pair[index] if row is not None})
        for index, side in enumerate((one, other))
    )
    return {
        kind: [
            (None if early is None else old[early], None if late is None else new[late])
            for early, late in zip_longest(*pair)
        ]
        for kind, pair in firsts.items()
    }


def _first(rows: Rows | None, count: int) -> list[int]:
    return [] if rows is None else [int(row) for row in rows[:count]]


def _show(row: Row) -> SampledRow:
    return SampledRow(row_id(row), row.line, read_parts(row))
