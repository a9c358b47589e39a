"""The differences between two versions of a file."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from ftops.data.diff import DatasetDiff, diff_files
from ftops.data.reading.options import ReadOptions
from ftops.errors import DatasetError
from tests.data.data_files import call, chat, chat_with_calls, pair, write_rows

LONG = "The committee met on Thursday to talk about the new library and its opening hours"


def diff(
    folder: Path, old: Sequence[object], new: Sequence[object], *, edits: bool = True
) -> DatasetDiff:
    old_path, new_path = (
        write_rows(folder / "old.jsonl", old),
        write_rows(folder / "new.jsonl", new),
    )
    return diff_files(old_path, new_path, ReadOptions(), edits=edits)


def get_counts(result: DatasetDiff) -> tuple[int, int, int, int, int]:
    return result.same, result.added, result.removed, result.answered, result.edited


def test_each_kind_of_change_is_counted_once_and_shown_with_lines(tmp_path: Path) -> None:
    old = [pair("same"), pair("gone", "x"), pair("asked", "a"), pair(LONG, "c")]
    new = [pair(f"{LONG}!?", "c"), pair("asked", "b"), pair("came", "y"), pair("same")]
    result = diff(tmp_path, old, new)
    assert get_counts(result) == (1, 1, 1, 1, 1)
    lines = {
        kind: [(before and before.line, after and after.line) for before, after in pairs]
        for kind, pairs in result.shown.items()
    }
    assert lines == {
        "added": [(None, 3)], "removed": [(2, None)], "answered": [(3, 2)], "edited": [(4, 1)]
    }  # fmt: skip
    assert get_counts(diff(tmp_path, old, new, edits=False)) == (1, 2, 2, 1, 0)


def test_order_and_the_order_of_keys_do_not_count(tmp_path: Path) -> None:
    rows = [pair(f"row {n}", str(n)) for n in range(50)]
    reordered = [dict(reversed(list(row.items()))) for row in rows[::-1]]
    assert get_counts(diff(tmp_path, rows, reordered)) == (50, 0, 0, 0, 0)


def test_duplicates_are_counted_individually(tmp_path: Path) -> None:
    result = diff(tmp_path, [pair("a")] * 3 + [pair("b")], [pair("a")] + [pair("b")] * 2)
    assert get_counts(result) == (2, 1, 2, 0, 0)
    assert [after and after.line for _, after in result.shown["added"]] == [3]


def test_classes_are_counted_if_there_are_any(tmp_path: Path) -> None:
    old = [pair(f"row {n}", (" a", " b")[n % 2]) for n in range(20)]
    result = diff(tmp_path, old, [*old[:18], pair("new", " c")])
    assert result.classes == {" a": (10, 9), " b": (10, 9), " c": (0, 1)}
    free = [pair(f"row {n}", f"{n}") for n in range(20)]
    assert diff(tmp_path, free, free).classes is None


def test_chats_are_compared_by_their_questions(tmp_path: Path) -> None:
    result = diff(tmp_path, [chat("hi", "a"), chat("by", "a")], [chat("hi", "b"), chat("by", "a")])
    assert get_counts(result) == (1, 0, 0, 1, 0)


def test_a_different_tool_call_is_a_different_answer(tmp_path: Path) -> None:
    old, new = ([chat_with_calls(call({"n": n}), question=LONG)] for n in (1, 2))
    assert get_counts(diff(tmp_path, old, new)) == (0, 0, 0, 1, 0)


def test_bad_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"new\.jsonl: 1 of 2"):
        diff(tmp_path, [pair()], [pair(), "nonsense"])


def test_every_row_of_random_versions_is_counted(tmp_path: Path) -> None:
    rng = random.Random(1)
    for _ in range(30):
        old, new = (
            [pair(f"{rng.randrange(9)} {LONG[: rng.randrange(80)]}", rng.choice("ab"))
             for _ in range(rng.randrange(1, 40))]
            for _ in range(2)
        )  # fmt: skip
        result = diff(tmp_path, old, new)
        assert result.same + result.removed + result.answered + result.edited == len(old)
        assert result.same + result.added + result.answered + result.edited == len(new)
        kept = [str(row) for row in old if row in new]
        assert result.same == sum(
            min(list(map(str, old)).count(row), list(map(str, new)).count(row)) for row in set(kept)
        )
