"""What changed between two versions."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from ftops.data.diff import DatasetDiff, diff_files
from ftops.data.reading.options import ReadOptions
from ftops.errors import DatasetError
from tests.data.data_files import call, calling, chat, pair, write_rows

LONG = "The committee met on Thursday to talk about the new library and its opening hours"


def diff(
    folder: Path, old: Sequence[object], new: Sequence[object], *, edits: bool = True
) -> DatasetDiff:
    one, other = write_rows(folder / "old.jsonl", old), write_rows(folder / "new.jsonl", new)
    return diff_files(one, other, ReadOptions(), edits=edits)


def counts(found: DatasetDiff) -> tuple[int, int, int, int, int]:
    return found.same, found.added, found.removed, found.answered, found.edited


def test_each_kind_of_change_is_counted_once_and_shown_with_lines(tmp_path: Path) -> None:
    old = [pair("same"), pair("gone", "x"), pair("asked", "a"), pair(LONG, "c")]
    new = [pair(f"{LONG}!?", "c"), pair("asked", "b"), pair("came", "y"), pair("same")]
    found = diff(tmp_path, old, new)
    assert counts(found) == (1, 1, 1, 1, 1)
    lines = {
        kind: [(one and one.line, other and other.line) for one, other in pairs]
        for kind, pairs in found.shown.items()
    }
    assert lines == {
        "added": [(None, 3)], "removed": [(2, None)], "answered": [(3, 2)], "edited": [(4, 1)]
    }  # fmt: skip
    assert counts(diff(tmp_path, old, new, edits=False)) == (1, 2, 2, 1, 0)


def test_order_and_the_order_of_keys_do_not_count(tmp_path: Path) -> None:
    rows = [pair(f"row {n}", str(n)) for n in range(50)]
    turned = [dict(reversed(list(row.items()))) for row in rows[::-1]]
    assert counts(diff(tmp_path, rows, turned)) == (50, 0, 0, 0, 0)


def test_copies_are_counted_by_their_number(tmp_path: Path) -> None:
    found = diff(tmp_path, [pair("a")] * 3 + [pair("b")], [pair("a")] + [pair("b")] * 2)
    assert counts(found) == (2, 1, 2, 0, 0)
    assert [other and other.line for _, other in found.shown["added"]] == [3]


def test_shares_of_classes_are_told_where_there_are_some(tmp_path: Path) -> None:
    old = [pair(f"row {n}", (" a", " b")[n % 2]) for n in range(20)]
    found = diff(tmp_path, old, [*old[:18], pair("new", " c")])
    assert found.classes == {" a": (10, 9), " b": (10, 9), " c": (0, 1)}
    free = [pair(f"row {n}", f"{n}") for n in range(20)]
    assert diff(tmp_path, free, free).classes is None


def test_chats_are_compared_by_what_was_asked(tmp_path: Path) -> None:
    found = diff(tmp_path, [chat("hi", "a"), chat("by", "a")], [chat("hi", "b"), chat("by", "a")])
    assert counts(found) == (1, 0, 0, 1, 0)


def test_another_call_is_another_answer(tmp_path: Path) -> None:
    old, new = ([calling(call({"n": n}), question=LONG)] for n in (1, 2))
    assert counts(diff(tmp_path, old, new)) == (0, 0, 0, 1, 0)


def test_bad_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"new\.jsonl: 1 of 2"):
        diff(tmp_path, [pair()], [pair(), "nonsense"])


def test_every_row_is_accounted_for_in_random_versions(tmp_path: Path) -> None:
    chosen = random.Random(1)
    for _ in range(30):
        old, new = (
            [pair(f"{chosen.randrange(9)} {LONG[: chosen.randrange(80)]}", chosen.choice("ab"))
             for _ in range(chosen.randrange(1, 40))]
            for _ in range(2)
        )  # fmt: skip
        found = diff(tmp_path, old, new)
        assert found.same + found.removed + found.answered + found.edited == len(old)
        assert found.same + found.added + found.answered + found.edited == len(new)
        kept = [str(row) for row in old if row in new]
        assert found.same == sum(
            min(list(map(str, old)).count(row), list(map(str, new)).count(row)) for row in set(kept)
        )
