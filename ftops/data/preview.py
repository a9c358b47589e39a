"""Rows as the model sees them, with the parts that are trained on."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from ftops.data.batch_parser import BatchParser, RowBatch
from ftops.data.check_set import read_profile
from ftops.data.profile import DatasetProfile
from ftops.data.reading.batch import RowError
from ftops.data.reading.source import Source
from ftops.data.rows import Row
from ftops.data.tokens.counter import VocabularyCounter
from ftops.data.tokens.segments import count_segments, sum_trained
from ftops.data.tokens.vocabulary import Vocabulary
from ftops.errors import DatasetError


@dataclass(frozen=True, slots=True)
class PreviewSegment:
    """A text with its role and number of tokens; `parts` are the texts of the tokens, if known."""

    role: str
    text: str
    trained: bool
    tokens: int
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PreviewRow:
    """A row: its line or row in the source, its segments, its tokens and the tokens trained on."""

    place: int
    segments: tuple[PreviewSegment, ...]
    tokens: int
    trained_tokens: int


@dataclass(frozen=True, slots=True)
class SelectedRows:
    """Rows of a source, with the profile of its first rows."""

    rows: tuple[Row, ...]
    profile: DatasetProfile


def select_rows(source: Source, *, rows: int, place: int | None = None) -> SelectedRows:
    """The first valid rows, or the row at `place`.

    DatasetError if there is no valid row, with the reason if the record at `place` is invalid.
    """
    batches = source.batches()
    first, profile = read_profile(batches, source.unit)
    parser = BatchParser(profile.format, source.unit)
    found: list[Row] = []
    for batch in map(parser.parse, chain(first, batches)):
        if place is not None:
            _check_place(source, batch, place)
        placed = zip(batch.places, batch.raws, strict=True)
        some = (Row(at, batch.format, raw) for at, raw in placed)
        found += [row for row in some if place in (None, row.line)]
        if len(found) >= (rows if place is None else 1):
            break
    if not found:
        where = "" if place is None else f" at {source.unit} {place}"
        raise DatasetError(
            f"{source.name}: there is no row{where} that could be used",
            hint=f"`ftops data check {source.name}` tells what is wrong.",
        )
    return SelectedRows(tuple(found[:rows] if place is None else found), profile)


def _check_place(source: Source, batch: RowBatch, place: int) -> None:
    for row_error in batch.row_errors:
        if _covers(row_error, place):
            raise DatasetError(f"{source.name}:{place}: {row_error.reason}")


def _covers(row_error: RowError, place: int) -> bool:
    return row_error.place <= place < row_error.place + row_error.count


def preview_rows(rows: Iterable[Row], counter: VocabularyCounter) -> Iterator[PreviewRow]:
    """The rows with their token counts, split into tokens if the vocabulary is on disk."""
    for row, segments, counts in count_segments(rows, counter):
        shown = tuple(
            PreviewSegment(
                segment.role,
                segment.text,
                segment.trained,
                count,
                tuple(counter.split(segment.text)) if isinstance(counter, Vocabulary) else (),
            )
            for segment, count in zip(segments, counts, strict=True)
        )
        yield PreviewRow(row.line, shown, sum(counts), sum_trained(segments, counts))
