"""Rows come back from other shapes and other kinds of file to the letter."""

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
from tests.data.data_files import chat, pair, preference, said, tool, write_rows

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


def turn(path: Path, target: Path, wanted: RowFormat | None = None, **more: Any) -> Path:
    """Convert a file as the command does where nothing is named."""
    with target.open("wb") as stream:
        convert(
            open_source(path), stream, Conversion(wanted, **more), as_csv=target.suffix == ".csv"
        )
    return target


def read(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line]


@SLOW
@given(st.lists(st.tuples(TEXTS, ANSWERS), min_size=1, max_size=8))
def test_pairs_come_back_from_every_kind_of_file(tmp_path: Path, pairs: list[Any]) -> None:
    rows = [pair(*one) for one in pairs]
    path = write_rows(tmp_path / "a.jsonl", rows)
    table = turn(path, tmp_path / "a.csv")
    document = tmp_path / "a.json"
    document.write_text(json.dumps(rows), encoding="utf-8")
    tabs = tmp_path / "a.tsv"
    turn_to_tabs(table, tabs)
    for other in (table, document, tabs):
        assert read(turn(other, tmp_path / "back.jsonl")) == rows, other.suffix


def turn_to_tabs(table: Path, tabs: Path) -> None:
    import csv

    with (
        table.open(encoding="utf-8", newline="") as source,
        tabs.open("w", encoding="utf-8", newline="") as target,
    ):
        csv.writer(target, delimiter="\t").writerows(csv.reader(source))


@SLOW
@given(st.lists(st.tuples(ANSWERS, ANSWERS), min_size=1, max_size=8))
def test_chats_come_back_from_tables(tmp_path: Path, pairs: list[Any]) -> None:
    rows = [chat(*one) for one in pairs]
    path = write_rows(tmp_path / "a.jsonl", rows)
    table = turn(path, tmp_path / "a.csv", RowFormat.COMPLETION)
    assert read(turn(table, tmp_path / "back.jsonl", RowFormat.CHAT)) == rows


def test_pairs_come_back_from_parquet_and_workbooks(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    rows = [pair(text, text) for text in TRICKY]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert read(turn(tmp_path / "a.parquet", tmp_path / "back.jsonl")) == rows


@pytest.mark.parametrize(
    ("row", "dropped"),
    [
        ({"messages": [*said("s", "system"), *said("a", "user"), *said("b")]}, "system"),
        (chat("a", "b") | {"tools": [tool()]}, "tools"),
        ({"messages": [*said("a", "user", name="ann"), *said("b")]}, "name"),
        ({"messages": [*said("a", "user"), *said("b", weight=1)]}, "weight"),
        (preference(), "non_preferred_output"),
    ],
)  # fmt: skip
def test_what_a_pair_cannot_hold_is_refused_until_it_is_named(
    row: dict[str, Any], dropped: str
) -> None:
    shape = RowFormat.PREFERENCE if "input" in row else RowFormat.CHAT
    given_row = Row(1, shape, row)
    with pytest.raises(InvalidRow, match=dropped):
        convert_row(given_row, Conversion(RowFormat.COMPLETION))
    made = convert_row(given_row, Conversion(RowFormat.COMPLETION, dropped={dropped}))
    assert set(made) == {"prompt", "completion"}


def test_turns_cannot_be_given_up() -> None:
    row = Row(1, RowFormat.CHAT, chat("a", "b", "c", "d"))  # type: ignore[arg-type]
    with pytest.raises(InvalidRow, match="only a chat of one question"):
        convert_row(row, Conversion(RowFormat.COMPLETION))


def test_marks_that_are_named_go_and_all_else_stays(tmp_path: Path) -> None:
    rows = [pair("  if x: ->", "     return 1\n\n"), pair("y", " no mark")]
    path = write_rows(tmp_path / "a.jsonl", rows)
    made = turn(path, tmp_path / "b.jsonl", RowFormat.CHAT, separator=" ->", stop="\n")
    assert read(made) == [chat("  if x:", "    return 1\n"), chat("y", "no mark")]
    plain = turn(path, tmp_path / "c.jsonl", RowFormat.CHAT)
    assert read(plain) == [chat(str(row["prompt"]), str(row["completion"])) for row in rows]


def test_a_refused_row_leaves_nothing_written(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", [chat("a", "b")])
    stream = io.BytesIO()
    with pytest.raises(Exception, match=r"a\.jsonl:1: a chat row, and CSV has columns"):
        convert(open_source(path, ReadOptions(Format.JSONL)), stream, Conversion(), as_csv=True)
