"""Rows as a model sees them: chosen, cut and counted."""

from pathlib import Path

import pytest
import tiktoken

from ftops.data.preview import preview_rows, select_rows
from ftops.data.reading.source import open_source
from ftops.data.tokens.counter import Estimator
from ftops.data.tokens.vocabulary import Vocabulary
from ftops.errors import DatasetError
from tests.data.data_files import pair, write_rows

BYTES = tiktoken.Encoding(
    "bytes",
    pat_str=r"\S+|\s",
    mergeable_ranks={bytes([byte]): byte for byte in range(256)},
    special_tokens={},
)


def write(folder: Path) -> Path:
    rows = [pair(f"question {n} ->", f" {n}") for n in range(8)]
    return write_rows(folder / "rows.jsonl", [*rows, "nonsense", *rows])


def test_the_first_rows_are_chosen_or_the_one_of_a_line(tmp_path: Path) -> None:
    source = open_source(write(tmp_path))
    chosen = select_rows(source, rows=2)
    assert [row.line for row in chosen.rows] == [1, 2]
    assert chosen.profile.separator == " ->"
    assert [row.line for row in select_rows(source, rows=2, place=10).rows] == [10]


def test_a_line_that_cannot_be_used_is_told_with_the_reason(tmp_path: Path) -> None:
    source = open_source(write(tmp_path))
    with pytest.raises(DatasetError, match=r"rows\.jsonl:9: not JSON"):
        select_rows(source, rows=1, place=9)
    with pytest.raises(DatasetError, match="there is no row at line 99"):
        select_rows(source, rows=1, place=99)


def test_pieces_are_split_into_tokens_where_the_vocabulary_is_at_hand(tmp_path: Path) -> None:
    rows = select_rows(open_source(write(tmp_path)), rows=1).rows
    (seen,) = preview_rows(rows, Vocabulary("bytes", BYTES))
    assert (seen.place, seen.tokens, seen.trained_tokens) == (1, 15, 2)
    assert [piece.parts for piece in seen.segments] == [tuple("question 0 ->"), (" ", "0")]
    (about,) = preview_rows(rows, Estimator())
    assert [piece.parts for piece in about.segments] == [(), ()]
