"""The same two rows from every format of source."""

import csv
import gzip
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ftops.data.reading.options import Format, ReadOptions
from ftops.data.reading.source import Source, open_source
from ftops.data.rows import read_rows
from ftops.errors import DatasetError
from tests.data.data_files import pair
from tests.data.workbooks import make_workbook

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ROWS = [pair("Who, me?", " you"), pair("世界 é", ' say "yes"\nor 1.50')]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)


def make_csv(delimiter: str) -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\r\n")
    writer.writerow(["prompt", "completion"])
    writer.writerows([row["prompt"], row["completion"]] for row in ROWS)
    return text.getvalue()


def make_parquet() -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), stream)
    return stream.getvalue()


COLUMNS = {key: [row[key] for row in ROWS] for key in ("prompt", "completion")}
CONTENTS: dict[str, tuple[Format, bytes]] = {
    "jsonl": (Format.JSONL, LINES.encode()),
    "array": (Format.JSON, json.dumps(ROWS, indent=1).encode()),
    "minified array": (Format.JSON, json.dumps(ROWS).encode()),
    "columns": (Format.JSON, json.dumps(COLUMNS).encode()),
    "numbered columns": (
        Format.JSON,
        json.dumps(
            {key: dict(enumerate(cells)) for key, cells in COLUMNS.items()}, indent=2
        ).encode(),
    ),
    "csv": (Format.CSV, make_csv(",").encode()),
    "csv with semicolons": (Format.CSV, make_csv(";").encode()),
    "tsv": (Format.TSV, make_csv("\t").encode()),
    "utf-8 with a mark": (Format.CSV, make_csv(",").encode("utf-8-sig")),
    "utf-16": (Format.CSV, make_csv(",").encode("utf-16")),
    "xlsx": (
        Format.XLSX,
        make_workbook({"one": [list(COLUMNS), *([*row.values()] for row in ROWS)]}),
    ),
    "parquet": (Format.PARQUET, make_parquet()),
}
COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "zstd": zstd.compress,
}


def read(source: Source) -> list[object]:
    values: list[object] = []
    for batch in source.batches():
        assert batch.row_errors == []
        values += batch.values
    return values


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("content", CONTENTS)
def test_the_format_is_detected_by_content(tmp_path: Path, content: str, compression: str) -> None:
    expected_format, data = CONTENTS[content]
    path = tmp_path / "rows.data"
    path.write_bytes(COMPRESSIONS[compression](data))
    source = open_source(path)
    assert source.format is expected_format
    assert read(source) == ROWS
    assert f"format {expected_format}" in source.inferred
    assert (f"compressed with {compression}" in source.inferred) == (compression != "plain")
    assert [row.raw for row in read_rows(path)] == ROWS


@pytest.mark.parametrize("content", CONTENTS)
def test_standard_input_is_read_like_a_file(content: str) -> None:
    expected_format, data = CONTENTS[content]
    source = open_source(None, stdin=io.BytesIO(data))
    assert (source.name, source.format) == ("standard input", expected_format)
    assert read(source) == ROWS


def test_a_single_object_is_a_row_on_one_or_more_lines(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    for indent in (None, 2):
        path.write_text(json.dumps(ROWS[0], indent=indent))
        assert read(open_source(path)) == ROWS[:1]


def test_each_line_of_a_text_is_a_completion(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_bytes(b"one\r\ntwo\n\n")
    source = open_source(path)
    assert read(source) == [pair("", "one"), pair("", "two")]
    assert "each line is a completion with an empty prompt" in source.inferred


def test_other_encodings_are_read_on_request_and_suggested_in_the_error(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes("prompt,completion\nÉté,é\n".encode("cp1252"))
    with pytest.raises(DatasetError, match=r"rows\.csv:2: not UTF-8") as caught:
        read(open_source(path))
    assert "--encoding cp1252" in caught.value.hint
    assert read(open_source(path, ReadOptions(encoding="cp1252"))) == [pair("Été", "é")]
    with pytest.raises(DatasetError, match="unknown encoding 'cp12'"):
        open_source(path, ReadOptions(encoding="cp12"))


def test_templates_and_columns_become_pairs(tmp_path: Path) -> None:
    path = tmp_path / "facts.csv"
    path.write_text("sentence,head,tail,relation\nA b c,a,c,1.50\n")
    options = ReadOptions(
        prompt=r"{sentence}\nHow is {head} related to {tail}? {{}}", completion="relation"
    )
    assert read(open_source(path, options)) == [
        pair("A b c\nHow is a related to c? {}", "1.50")  # the number as in the file
    ]


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        (ReadOptions(prompt="{sentense}", completion="relation"), "'sentense'", "'sentence'"),
        (ReadOptions(prompt="sentence", completion="Relation"), "'Relation'", "'relation'"),
        (ReadOptions(prompt="{sentence", completion="relation"), "brace", "{{"),
        (ReadOptions(prompt="sentence"), "no column for the completion", "--completion"),
        (ReadOptions(delimiter="ab"), "one character", ";"),
        (ReadOptions(format=Format.XLSX), "not a xlsx file", ""),
    ],
)
def test_missing_columns_are_reported_with_the_nearest_name(
    tmp_path: Path, options: ReadOptions, message: str, hint: str
) -> None:
    path = tmp_path / "facts.csv"
    path.write_text("sentence,relation\nA,b\n")
    with pytest.raises(DatasetError) as caught:
        open_source(path, options)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_column_names_ignore_case_and_unused_columns_are_listed(
    tmp_path: Path,
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id,Prompt,COMPLETION\n1,a,NA\n2,None,null\n")
    source = open_source(path)
    assert read(source) == [pair("a", "NA"), pair("None", "null")]
    assert "the prompt is the column Prompt" in source.inferred
    assert "not used: the column id" in source.inferred


def test_cells_that_are_not_text_never_become_none_or_nan(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    values = [1.5, None, float("nan"), 3.0]
    pq.write_table(pa.table({"prompt": ["a", None, "c", "d"], "completion": values}), path)
    (batch,) = open_source(path).batches()
    assert batch.values == []
    assert [(row_error.place, row_error.code) for row_error in batch.row_errors] == [
        (1, "not-text"), (2, "null-value"), (3, "not-text"), (4, "not-text"),
    ]  # fmt: skip


def test_the_error_about_a_sheet_without_the_columns_lists_the_others(tmp_path: Path) -> None:
    path = tmp_path / "book.xlsx"
    path.write_bytes(
        make_workbook({"Notes": [["hello"], ["x"]], "Rows": [["prompt", "completion"], ["a", "b"]]})
    )
    with pytest.raises(DatasetError) as caught:
        open_source(path)
    assert "This is sheet Notes, of Notes, Rows; --sheet names another." in caught.value.hint


def test_numbers_of_a_sheet_are_read_as_displayed(tmp_path: Path) -> None:
    path = tmp_path / "rows.xlsx"
    rows: list[list[object]] = [["prompt", "completion"], [3, 0.5], ["a", True]]
    path.write_bytes(make_workbook({"first": [["x"]], "labels": rows}))
    assert read(open_source(path, ReadOptions(sheet="labels"))) == [
        pair("3", "0.5"),
        pair("a", "TRUE"),
    ]
    with pytest.raises(DatasetError, match="no sheet 'label'; there are first, labels") as caught:
        open_source(path, ReadOptions(sheet="label"))
    assert caught.value.hint == "Did you mean 'labels'?"


def test_a_datasets_folder_is_read_by_split(tmp_path: Path) -> None:
    for split in ("train", "test"):
        folder = tmp_path / split
        folder.mkdir()
        table = pa.Table.from_pylist(ROWS if split == "train" else ROWS[:1])
        with pa.ipc.new_stream(folder / "data-00000-of-00001.arrow", table.schema) as writer:
            writer.write_table(table)
        files = [{"filename": "data-00000-of-00001.arrow"}]
        (folder / "state.json").write_text(json.dumps({"_data_files": files}))
    source = open_source(tmp_path)
    assert source.inferred == ("format dataset", "split train, of test, train")
    assert read(source) == ROWS
    assert read(open_source(tmp_path, ReadOptions(sheet="test"))) == ROWS[:1]
    assert read(open_source(tmp_path / "train")) == ROWS


def test_without_pyarrow_the_error_names_the_extra(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    path.write_bytes(make_parquet())
    program = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from pathlib import Path\n"
        "from ftops.errors import DatasetError\n"
        "from ftops.data.reading.source import open_source\n"
        f"try: open_source(Path({str(path)!r}))\n"
        "except DatasetError as error: print(error.hint)"
    )
    process = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "ftops[parquet]" in process.stdout
