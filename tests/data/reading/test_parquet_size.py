"""Parquet files that decompress to a huge size are refused before they fill memory."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ftops.data.reading.source import open_source
from ftops.data.rows import read_rows
from ftops.errors import DatasetError

LONG = "y" * (1 << 18)
ROWS = 20_000


def make_repeated_texts(rows: int) -> pa.DictionaryArray:
    """A long text that is stored once and occurs in every row."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([LONG]))


def write_dictionary(path: Path) -> None:
    table = pa.table({"prompt": make_repeated_texts(ROWS), "completion": ["a"] * ROWS})
    pq.write_table(table, path, compression="zstd")


def write_nested(path: Path) -> None:
    roles = pa.array(["user", "assistant"] * (ROWS // 2))
    messages = pa.StructArray.from_arrays([roles, make_repeated_texts(ROWS)], ["role", "content"])
    one_row = pa.ListArray.from_arrays(pa.array([0, ROWS], pa.int32()), messages)
    pq.write_table(pa.table({"messages": one_row}), path, compression="zstd")


def write_plain(path: Path) -> None:
    table = pa.table({"prompt": [f"{LONG}{n}" for n in range(400)], "completion": ["a"] * 400})
    pq.write_table(table, path, compression="zstd", use_dictionary=False)


def write_prefixes(path: Path) -> None:
    table = pa.table({"prompt": [f"{LONG}{n}" for n in range(400)], "completion": ["a"] * 400})
    encodings = {"prompt": "DELTA_BYTE_ARRAY", "completion": "PLAIN"}
    pq.write_table(table, path, use_dictionary=False, column_encoding=encodings)


@pytest.mark.parametrize("write", [write_dictionary, write_nested, write_plain, write_prefixes])
@pytest.mark.parametrize("folder", [False, True])
def test_a_small_file_of_huge_texts_is_refused(
    tmp_path: Path, write: Callable[[Path], None], folder: bool
) -> None:
    path = tmp_path / "data" / "train.parquet"
    path.parent.mkdir()
    write(path)
    assert path.stat().st_size < 1 << 20
    before = pa.total_allocated_bytes()
    with pytest.raises(
        DatasetError, match="decompresses to more than 200 times its size"
    ) as caught:
        list(open_source(path.parent if folder else path).batches())
    assert str(path.parent if folder else path) in caught.value.message
    assert pa.total_allocated_bytes() - before < 200 << 20


def test_labels_and_a_long_system_message_in_every_row_are_read(tmp_path: Path) -> None:
    count = 700
    questions = [
        f"question {n} " + "".join(chr(97 + (n * k) % 26) for k in range(300)) for n in range(count)
    ]
    texts = [text for question in questions for text in ("Be brief. " * 40, question, "fine")]
    roles = ["system", "user", "assistant"] * count
    messages = pa.StructArray.from_arrays([pa.array(roles), pa.array(texts)], ["role", "content"])
    rows = pa.ListArray.from_arrays(pa.array(range(0, 3 * count + 1, 3), pa.int32()), messages)
    pq.write_table(pa.table({"messages": rows}), tmp_path / "a.parquet", row_group_size=300)
    parsed_rows = list(read_rows(tmp_path / "a.parquet"))
    assert [row.messages[1]["content"] for row in parsed_rows] == questions
    assert {row.completion for row in parsed_rows} == {"fine"}
