"""Previews of rows: selection, segments and token counts."""

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


def test_the_first_rows_or_the_row_of_a_line_are_selected(tmp_path: Path) -> None:
    source = open_source(write(tmp_path))
    selected = select_rows(source, rows=2)
    assert [row.line for row in selected.rows] == [1, 2]
    assert selected.profile.separator == " ->"
    assert [row.line for row in select_rows(source, rows=2, place=10).rows] == [10]


def test_a_line_that_cannot_be_used_is_reported_with_the_reason(tmp_path: Path) -> None:
    source = open_source(write(tmp_path))
    with pytest.raises(DatasetError, match=r"rows\.jsonl:9: not JSON"):
        select_rows(source, rows=1, place=9)
    with pytest.raises(DatasetError, match="there is no row at line 99"):
        select_rows(source, rows=1, place=99)


def test_segments_are_split_into_tokens_if_the_vocabulary_is_available(tmp_path: Path) -> None:
    rows = select_rows(open_source(write(tmp_path)), rows=1).rows
    (preview,) = preview_rows(rows, Vocabulary("bytes", BYTES))
    assert (preview.place, preview.tokens, preview.trained_tokens) == (1, 15, 2)
    assert [segment.parts for segment in preview.segments] == [tuple("question 0 ->"), (" ", "0")]
    (estimated,) = preview_rows(rows, Estimator())
    assert [segment.parts for segment in estimated.segments] == [(), ()]
