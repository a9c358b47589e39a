"""The result of several processes equals that of one."""

import os
import random
from array import array
from itertools import pairwise
from pathlib import Path

import pytest

from ftops.data.check_runner import deserialize, read_range, run_checks, serialize, split_ranges
from ftops.data.checks.check import DataTarget
from ftops.data.findings import Occurrences
from ftops.data.profile import DatasetProfile, TokenLimit
from ftops.data.reading.source import open_source
from ftops.records import RowFormat
from tests.data.data_files import pair, write_rows

UNUSUAL_ROWS = ("", "nonsense", "[1]", pair("a", None), pair("a", ""), pair("cafÃ©", "b"))


def write_mixed_rows(path: Path, seed: int) -> Path:
    """Many rows, some of them bad, duplicate, blank or unlike the others."""
    rng = random.Random(seed)
    rows: list[object] = []
    for number in range(3000):
        if rng.random() < 0.03:
            rows.append(rng.choice(UNUSUAL_ROWS))
        else:
            end = "" if rng.random() < 0.01 else "\n\n###\n\n"
            rows.append(pair(f"{number % 2900}{end}", rng.choice((" a", " b", "b", " B"))))
    return write_rows(path, rows)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_result_does_not_depend_on_the_number_of_processes(tmp_path: Path, seed: int) -> None:
    path = write_mixed_rows(tmp_path / "rows.jsonl", seed)
    single, *others = [
        run_checks(open_source(path), processes=processes, environ=dict(os.environ)).get_result(
            DataTarget()
        )
        for processes in (1, 2, 3)
    ]
    assert single.findings
    assert others == [single, single]


def test_rows_that_are_too_long_are_found_by_any_number_of_processes(tmp_path: Path) -> None:
    rows = [pair("word " * (4_000 if number % 700 == 0 else 3), " b") for number in range(2_100)]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    token_limit = TokenLimit(2_048, "cl100k_base", (str(tmp_path),))
    single, parallel = [
        run_checks(
            open_source(path),
            processes=processes,
            environ=dict(os.environ),
            token_limit=token_limit,
        ).get_result(DataTarget())
        for processes in (1, 2)
    ]
    (finding,) = (item for item in parallel.findings if item.code == "over-limit")
    assert finding.places == (1, 701, 1401)
    assert single == parallel


def test_ranges_cover_the_file_and_end_after_lines_that_are_not_blank(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    for data in (b"\xef\xbb\xbfa\n\n \n\nb\nc\n\n\n", b"\n\n\n\n\n\na", b"one line", b"a\nb"):
        path.write_bytes(data)
        for parts in (1, 2, 3, 5):
            ranges = split_ranges(path, parts)
            assert ranges[0][0] == 0
            assert ranges[-1][1] == len(data)
            assert all(end == start for (_, end), (start, _) in pairwise(ranges))
            whole = b"".join(
                piece for start, end in ranges for piece in read_range(path, start, end)
            )
            assert whole == data.removeprefix(b"\xef\xbb\xbf")
            for _, end in ranges[:-1]:
                assert data[:end].endswith(b"\n")
                assert data[:end].splitlines()[-1].strip()


def test_serialized_values_round_trip() -> None:
    values = {
        "a": [Occurrences(3, [1, 2]), None, 0.5, True],
        "b": (DatasetProfile(RowFormat.CHAT, "é", ""), {"x", "y"}, array("q", [-1, 2**62])),
        7: {},
    }
    assert deserialize(serialize(values)) == values


def test_unknown_types_are_neither_serialized_nor_created() -> None:
    with pytest.raises(TypeError, match="Path"):
        serialize(type("Path", (), {})())
    with pytest.raises(KeyError):
        deserialize(b'{"Popen": {"args": "true"}}')
