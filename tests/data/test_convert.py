"""Conversions between formats of rows and files lose nothing."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ftops.data.convert import Conversion, convert, convert_row
from ftops.data.reading.options import Format, ReadOptions
from ftops.data.reading.source import open_source
from ftops.data.rows import Row
from ftops.records import RowFormat
from ftops.rows.messages import InvalidRow
from tests.data.data_files import chat, message_list, pair, preference, tool, write_rows

TRICKY = [
    " leading", "trailing ", "\n", "\t\n ", "a\r\nb", "a\rb", 'say "yes", or ""', "<p>x</p>", "#",
    "a,b;c|d\te", "1.10", "007", "null", "NaN", "true", "=1+1", "\ufeffmark", "e\u0301", "\u2028",
    "\u202e", "\x07", "\U0001f600", "'", "\\n", "\\", "{}", "[1]", "prompt,completion", "--", " ->",
    "\n\n###\n\n",
]  # fmt: skip
TEXTS = st.one_of(
    st.sampled_from(TRICKY),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30),
).filter(lambda text: "<image" not in text)
ANSWERS = TEXTS.filter(bool)
SLOW = settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])


def convert_file(
    path: Path, target: Path, row_format: RowFormat | None = None, **more: Any
) -> Path:
    """Convert a file as the command does without options."""
    with target.open("wb") as stream:
        convert(
            open_source(path),
            stream,
            Conversion(row_format, **more),
            as_csv=target.suffix == ".csv",
        )
    return target


def read(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line]


@SLOW
@given(st.lists(st.tuples(TEXTS, ANSWERS), min_size=1, max_size=8))
def test_pairs_round_trip_through_every_file_format(tmp_path: Path, pairs: list[Any]) -> None:
    rows = [pair(*texts) for texts in pairs]
    path = write_rows(tmp_path / "a.jsonl", rows)
    table = convert_file(path, tmp_path / "a.csv")
    document = tmp_path / "a.json"
    document.write_text(json.dumps(rows), encoding="utf-8")
    tabs = tmp_path / "a.tsv"
    convert_to_tabs(table, tabs)
    for source in (table, document, tabs):
        assert read(convert_file(source, tmp_path / "back.jsonl")) == rows, source.suffix


def convert_to_tabs(table: Path, tabs: Path) -> None:
    import csv

    with (
        table.open(encoding="utf-8", newline="") as source,
        tabs.open("w", encoding="utf-8", newline="") as target,
    ):
        csv.writer(target, delimiter="\t").writerows(csv.reader(source))


@SLOW
@given(st.lists(st.tuples(ANSWERS, ANSWERS), min_size=1, max_size=8))
def test_chats_round_trip_through_tables(tmp_path: Path, pairs: list[Any]) -> None:
    rows = [chat(*texts) for texts in pairs]
    path = write_rows(tmp_path / "a.jsonl", rows)
    table = convert_file(path, tmp_path / "a.csv", RowFormat.COMPLETION)
    assert read(convert_file(table, tmp_path / "back.jsonl", RowFormat.CHAT)) == rows


def test_pairs_are_read_from_parquet(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    rows = [pair(text, text) for text in TRICKY]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert read(convert_file(tmp_path / "a.parquet", tmp_path / "back.jsonl")) == rows


@pytest.mark.parametrize(
    ("row", "dropped"),
    [
        (
            {
                "messages": [
                    *message_list("s", "system"),
                    *message_list("a", "user"),
                    *message_list("b"),
                ]
            },
            "system",
        ),
        (chat("a", "b") | {"tools": [tool()]}, "tools"),
        ({"messages": [*message_list("a", "user", name="ann"), *message_list("b")]}, "name"),
        ({"messages": [*message_list("a", "user"), *message_list("b", weight=1)]}, "weight"),
        (preference(), "non_preferred_output"),
    ],
)
def test_a_lossy_conversion_is_refused_unless_the_dropped_keys_are_named(
    row: dict[str, Any], dropped: str
) -> None:
    row_format = RowFormat.PREFERENCE if "input" in row else RowFormat.CHAT
    source_row = Row(1, row_format, row)
    with pytest.raises(InvalidRow, match=dropped):
        convert_row(source_row, Conversion(RowFormat.COMPLETION))
    converted = convert_row(source_row, Conversion(RowFormat.COMPLETION, dropped={dropped}))
    assert set(converted) == {"prompt", "completion"}


def test_a_chat_of_several_questions_cannot_become_a_pair() -> None:
    row = Row(1, RowFormat.CHAT, chat("a", "b", "c", "d"))  # type: ignore[arg-type]
    with pytest.raises(InvalidRow, match="only a chat of one question"):
        convert_row(row, Conversion(RowFormat.COMPLETION))


def test_only_the_named_separator_and_stop_are_removed(tmp_path: Path) -> None:
    rows = [pair("  if x: ->", "     return 1\n\n"), pair("y", " no mark")]
    path = write_rows(tmp_path / "a.jsonl", rows)
    converted = convert_file(path, tmp_path / "b.jsonl", RowFormat.CHAT, separator=" ->", stop="\n")
    assert read(converted) == [chat("  if x:", "    return 1\n"), chat("y", "no mark")]
    plain = convert_file(path, tmp_path / "c.jsonl", RowFormat.CHAT)
    assert read(plain) == [chat(str(row["prompt"]), str(row["completion"])) for row in rows]


def test_a_refused_row_is_an_error_with_its_line(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", [chat("a", "b")])
    stream = io.BytesIO()
    with pytest.raises(Exception, match=r"a\.jsonl:1: a chat row, and CSV has columns"):
        convert(open_source(path, ReadOptions(Format.JSONL)), stream, Conversion(), as_csv=True)
