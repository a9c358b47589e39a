"""Damaged and malicious files: a clear error that names the file, and nothing else."""

import bz2
import gzip
import io
import json
import pickle
import sys
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ftops.data.check_runner import run_checks
from ftops.data.check_set import CheckResult
from ftops.data.checks.check import DataTarget
from ftops.data.reading.options import MAX_LINE_BYTES, Format, ReadOptions
from ftops.data.reading.source import open_source
from ftops.errors import DatasetError
from tests.data.data_files import pair
from tests.data.workbooks import make_workbook

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

GOOD = json.dumps(pair()).encode() + b"\n"


def check_path(path: Path, options: ReadOptions | None = None) -> CheckResult:
    source = open_source(path, options)
    return run_checks(source).get_result(DataTarget(min_rows=1), unit=source.unit)


def make_gzip_bomb() -> bytes:
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb", mtime=0) as archive:
        for _ in range(100):
            archive.write(b" " * (1 << 20))
    return stream.getvalue()


def make_zip_bomb() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b" " * (100 << 20))
    return stream.getvalue()


def make_zstd_bomb() -> bytes:
    return zstd.compress(b" " * (100 << 20))


def make_entity_bomb() -> bytes:
    """A workbook whose only cell expands to a billion letters."""
    entities = [b'<!ENTITY a "aaaaaaaaaa">']
    for name, last in zip(b"bcdefghij", b"abcdefghi", strict=True):
        entities.append(b'<!ENTITY %c "%b">' % (name, b"&%c;" % last * 10))
    head = b'<?xml version="1.0"?><!DOCTYPE x [' + b"".join(entities) + b"]>"
    cell = '<row r="1"><c r="A1" t="inlineStr"><is><t>&j;</t></is></c></row>'
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(make_workbook({"one": cell}))) as whole,
        zipfile.ZipFile(stream, "w") as changed,
    ):
        for part in whole.namelist():
            content = whole.read(part)
            is_sheet = part.endswith("sheet1.xml")
            changed.writestr(part, head + content.partition(b"?>")[2] if is_sheet else content)
    return stream.getvalue()


def make_plain_zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("rows.jsonl", GOOD)
    return stream.getvalue()


def make_distant_cell(place: str) -> bytes:
    return make_workbook(
        {"one": f'<row r="1"><c r="A1"><v>1</v></c><c r="{place}"><v>1</v></c></row>'}
    )


def make_formula() -> bytes:
    return make_workbook({"one": '<row r="1"><c r="A1"><f>1+1</f></c></row>'})


CSV = b"prompt,completion\n"
UNREADABLE_FILES: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "cut gzip": ("a.jsonl.gz", lambda: gzip.compress(GOOD * 500)[:-9], "truncated or damaged"),
    "damaged gzip": ("a.gz", lambda: b"\x1f\x8b\x08\0" + b"x" * 50, "truncated or damaged"),
    "gzip twice": ("a.gz", lambda: gzip.compress(gzip.compress(GOOD)), "compressed twice"),
    "cut zstd": ("a.zst", lambda: b"\x28\xb5\x2f\xfd\x04\x58", "truncated or damaged"),
    "gzip bomb": ("a.gz", make_gzip_bomb, "decompression bomb"),
    "zip bomb": ("a.xlsx", make_zip_bomb, "it decompresses from"),
    "zip of a data file": ("a.xlsx", make_plain_zip, "not a workbook"),
    "cut workbook": ("a.xlsx", lambda: make_formula()[:300], "cannot read"),
    "empty workbook": ("a.xlsx", lambda: make_workbook({"one": ""}), "header row is missing"),
    "formula never computed": ("a.xlsx", make_formula, "formulas"),
    "cell in the last column": ("a.xlsx", lambda: make_distant_cell("XFD1"), "16,384 columns"),
    "cell in the last corner": ("a.xlsx", lambda: make_distant_cell("ZZ1048576"), "1,048,576 rows"),
    "cut parquet": ("a.parquet", lambda: b"PAR1" + b"\0" * 50, "cannot read"),
    "pdf": ("a.jsonl", lambda: b"%PDF-1.7 " + b"x" * 100, "a PDF document"),
    "old excel": ("a.xls", lambda: b"\xd0\xcf\x11\xe0" + b"\0" * 100, "old Excel"),
    "picture": ("a.csv", lambda: b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "a picture"),
    "database": ("a.db", lambda: b"SQLite format 3\0" + b"\0" * 100, "SQLite"),
    "zeros": ("a.jsonl", lambda: b"\0" * 5000, "unknown binary format"),
    "noise": ("a.txt", lambda: bytes(range(256)) * 20, "unknown binary format"),
    "prose without a name": ("a", lambda: b"Nothing but this\n", "unknown format"),
    "open quote": ("a.csv", lambda: CSV + b'a,b\n"c,d\ne,f\n', r"a\.csv:3: unclosed quote"),
    "text behind a quote": ("a.csv", lambda: CSV + b'"a" x,b\n', r"a\.csv:2: text between"),
    "lone carriage returns": ("a.csv", lambda: b"prompt,completion\ra,b\rc,d\r", "carriage return"),
    "ten thousand columns": (
        "a.csv", lambda: b",".join(b"c%d" % n for n in range(10_000)) + b"\n", "10,000 columns"),
    "equal columns": ("a.csv", lambda: b"prompt,prompt\na,b\n", "named 'prompt'"),
    "no columns": ("a.csv", lambda: b"\n\n\n", "header row is missing"),
    "bad utf-8 in csv": ("a.csv", lambda: CSV + b"a,b\n\xff,c\n", r"a\.csv:3: not UTF-8"),
    "long line in csv": ("a.csv", lambda: CSV + b"x" * (MAX_LINE_BYTES + 10), r"csv:2: the line"),
    "cut array": ("a.json", lambda: b'[{"prompt": "a"}, {"pro', r"a\.json:1:\d+: not JSON"),
    "array without an end": ("a.json", lambda: b"[1, 2", "the array is truncated"),
    "array without commas": ("a.json", lambda: b"[\n1\n2]", r"a\.json:3:1: .*comma"),
    "more behind an array": ("a.json", lambda: b"[1]\n[2]", r"a\.json:2:1: .*after the array"),
    "deep array": ("a.json", lambda: b"[" * 100_000, r"a\.json:1:\d+: not JSON"),
    "deep object": ("a.json", lambda: b'{"a":\n' * 100_000, "not JSON"),
    "record above the bound": (
        "a.json", lambda: b'["' + b"x" * (MAX_LINE_BYTES + 70_000), "above 8 MiB"),
    "bad utf-8 in an array": ("a.json", lambda: b'[\n"\xff"]', r"a\.json:2: not UTF-8"),
    "cut character": ("a.json", lambda: b'["\xe4\xb8', "last character is truncated"),
    "uneven columns": (
        "a.json", lambda: b'{"prompt": ["a"], "completion": []}', "different lengths"),
    "utf-32": ("a.jsonl", lambda: GOOD.decode().encode("utf-32"), "unknown binary format"),
    "zstd bomb": ("a.jsonl.zst", make_zstd_bomb, "decompression bomb"),
    "entities that multiply": ("a.xlsx", make_entity_bomb, "cannot read"),
    "git lfs pointer": ("a.jsonl", lambda: b"version https://git-lfs.github.com/spec/v1\n", "LFS"),
    "web page": ("a.csv", lambda: b"<!DOCTYPE html><html><p>Not found, sorry</p>", "a web page"),
    "pickle": ("a.pkl", lambda: pickle.dumps({"prompt": "a"}), "a Python pickle"),
    "bzip2": ("a.jsonl.bz2", lambda: bz2.compress(GOOD), "bzip2"),
    "program": ("a.jsonl", lambda: b"\x7fELF\x02\x01\x01" + b"\0" * 200, "unknown binary format"),
    "comma behind the last": ("a.json", lambda: b'[{"prompt": "a"},]', r"a\.json:1:18: not JSON"),
    "one column": ("a.csv", lambda: b"prompt\na\n", "no column for the completion"),
    "odd utf-16": ("a.jsonl", lambda: GOOD.decode().encode("utf-16") + b"x", "not utf-16"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNREADABLE_FILES)
def test_an_unreadable_file_is_refused_with_its_name_and_reason(tmp_path: Path, name: str) -> None:
    filename, make, reason = UNREADABLE_FILES[name]
    path = tmp_path / filename
    path.write_bytes(make())
    with pytest.raises(DatasetError, match=reason) as caught:
        check_path(path)
    assert filename in caught.value.message


FILES_WITH_BAD_RECORDS: dict[str, tuple[str, bytes, str, int]] = {
    "cut last line": ("a.jsonl", GOOD + GOOD[:-5], "not-json", 2),
    "mixed line ends": ("a.jsonl", GOOD + GOOD[:-1] + b"\r\n" + GOOD + b"x\r\n", "not-json", 4),
    "carriage returns only": ("a.jsonl", GOOD.replace(b"\n", b"\r") * 2, "not-json", 1),
    "NaN": ("a.jsonl", GOOD + b'{"prompt": "a", "completion": NaN}', "not-json", 2),
    "huge number": ("a.jsonl", GOOD + b'{"prompt": "a", "completion": 1e999}', "not-json", 2),
    "half a pair": ("a.jsonl", GOOD + b'{"prompt": "a", "completion": "\\ud800"}', "not-text", 2),
    "half a pair in an array": (
        "a.json", b'[{"prompt": "a", "completion": "\\ud800"}]', "not-text", 1),
    "bad utf-8": ("a.jsonl", GOOD + b'{"prompt": "\xff", "completion": "a"}', "not-utf8", 2),
    "deep line": ("a.jsonl", GOOD + b"[" * 50_000, "not-json", 2),
    "long line": ("a.jsonl", GOOD + b"x" * (MAX_LINE_BYTES + 1) + b"\n" + GOOD, "too-long", 2),
    "key twice in an array": (
        "a.json", b'[{"prompt": "a", "prompt": "b", "completion": "c"}]', "duplicate-key", 1),
    "keys escaped": (
        "a.jsonl", b'{"\\u0070rompt": "a", "prompt": "b", "completion": "c"}', "duplicate-key", 1),
    "too many cells": ("a.csv", CSV + b"a,b\nc,d,e\n", "wrong-cells", 3),
    "too few cells": ("a.csv", CSV + b"a,b\nc\n", "wrong-cells", 3),
    "empty cell": ("a.csv", CSV + b"a,b\nc,\n", "empty-completion", 3),
    "zero in a cell": ("a.csv", CSV + b"a,b\nc,d\0e\n", "nul-character", 3),
    "blank line in a text": ("a.txt", b"a\n\nb\n", "blank-line", 2),
    "bad utf-8 in a text": ("a.txt", b"a\n\xff\nb\n", "not-utf8", 2),
    "a list of numbers": ("a.json", b"[1, 2]", "not-an-object", 1),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES_WITH_BAD_RECORDS)
def test_a_bad_record_is_reported_by_code_and_place(tmp_path: Path, name: str) -> None:
    filename, data, code, place = FILES_WITH_BAD_RECORDS[name]
    path = tmp_path / filename
    path.write_bytes(data)
    findings = {finding.code: finding for finding in check_path(path).findings}
    assert findings[code].places[0] == place


class EndlessStream(io.RawIOBase):
    """A line that never ends; `bytes_read` counts what was read."""

    def __init__(self, beginning: bytes) -> None:
        self._beginning = beginning
        self.bytes_read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        piece = (self._beginning + b"x" * len(view))[: len(view)]
        self._beginning = b""
        view[:] = piece
        self.bytes_read += len(view)
        if self.bytes_read > 17 * MAX_LINE_BYTES:
            raise AssertionError("read on, although the line is too long")
        return len(view)


@pytest.mark.parametrize("beginning", [b'{"prompt": "', b'[{"prompt": "', CSV + b"a,"])
def test_an_endless_line_is_not_read_to_its_end(beginning: bytes) -> None:
    endless = EndlessStream(beginning)
    with pytest.raises(DatasetError, match=r"standard input:\d+:"):
        run_checks(open_source(None, stdin=io.BufferedReader(endless)))


def test_four_million_blank_lines_use_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    compressor = zlib.compressobj(1, wbits=31)
    data = compressor.compress(GOOD)
    for _ in range(4):
        data += compressor.compress(b"\n" * 1_000_000)
    path.write_bytes(data + compressor.compress(GOOD) + compressor.flush())
    tracemalloc.start()
    try:
        result = check_path(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    (finding,) = [item for item in result.findings if item.code == "blank-line"]
    assert (finding.count, finding.places[:2]) == (4_000_000, (2, 3))
    assert peak < 40 << 20


SEEDS = [GOOD * 3, CSV + b'a,"b\nc"\n', b'[{"prompt": "a", "completion": "b"}]', make_formula()]


@pytest.mark.parametrize("kind", [*Format, None])
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200) | st.sampled_from(SEEDS), cut_at=st.integers(0, 60),
       noise=st.binary(max_size=4), text=st.text(max_size=40))  # fmt: skip
def test_any_bytes_are_read_or_give_a_dataset_error(
    tmp_path: Path, kind: Format | None, data: bytes, cut_at: int, noise: bytes, text: str
) -> None:
    path = tmp_path / "rows"
    for content in (
        data[: max(len(data) - cut_at, 0)],
        data[:cut_at] + noise + data[cut_at:],
        text.encode(),
    ):
        for compressed in (content, gzip.compress(content)):
            path.write_bytes(compressed)
            try:
                check_path(path, ReadOptions(format=kind))
            except DatasetError as error:
                assert str(path) in error.message
