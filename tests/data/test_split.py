"""Splits: classes in each part, each prompt in one part, and deterministic output."""

import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftops.data.reading.options import ReadOptions
from ftops.data.split import (
    SplitOptions,
    SplitResult,
    SplitSize,
    assign_rows,
    list_missing_classes,
    parse_split_size,
    write_splits,
)
from ftops.errors import DatasetError, UsageError
from tests.data.data_files import chat, pair, write_rows

TENTH = SplitOptions(SplitSize(share=0.1))


def rows(count: int = 600) -> list[object]:
    """Rows of three classes with shares 3, 2 and 1."""
    return [
        pair(f"prompt {n} ->", (" a", " a", " a", " b", " b", " c")[n % 6]) for n in range(count)
    ]


def split(
    folder: Path, data: Sequence[object], options: SplitOptions = TENTH
) -> tuple[SplitResult, dict[str, list[dict[str, str]]]]:
    path = write_rows(folder / "rows.jsonl", data)
    division = assign_rows(path, ReadOptions(), options)
    targets = {part: folder / f"{part}.jsonl" for part in division.parts}
    write_splits(path, ReadOptions(), division, targets)
    return division, {
        part: [json.loads(line) for line in target.read_text().splitlines()]
        for part, target in targets.items()
    }


def test_each_class_has_the_same_share_in_each_part(tmp_path: Path) -> None:
    options = SplitOptions(SplitSize(rows=60), SplitSize(share=0.2))
    division, parts = split(tmp_path, rows(), options)
    counts = {
        part: Counter(row["completion"] for row in rows_of_part)
        for part, rows_of_part in parts.items()
    }
    assert counts["validation"] == {" a": 30, " b": 20, " c": 10}
    assert counts["test"] == {" a": 60, " b": 40, " c": 20}
    assert counts["train"] == {" a": 210, " b": 140, " c": 70}
    assert list(list_missing_classes(division)) == []


def test_every_row_is_in_one_part_in_its_order(tmp_path: Path) -> None:
    data = rows(100)
    _, parts = split(tmp_path, data)
    for part in parts.values():
        assert part == sorted(part, key=data.index)
    assert sorted(map(str, data)) == sorted(str(row) for part in parts.values() for row in part)


def test_the_same_prompt_is_never_in_both_parts(tmp_path: Path) -> None:
    rng = random.Random(1)
    data = [pair(f"prompt {n % 70} ->", rng.choice((" a", " b"))) for n in range(400)]
    _, parts = split(tmp_path, data, SplitOptions(SplitSize(share=0.3)))
    held_out, training = (
        {row["prompt"] for row in parts[part]} for part in ("validation", "train")
    )
    assert not held_out & training
    assert 100 <= len(parts["validation"]) <= 140


def test_only_the_seed_changes_the_split(tmp_path: Path) -> None:
    first, again, other = (
        split(tmp_path, rows(), SplitOptions(SplitSize(share=0.1), seed=seed))[1]
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_added_rows_move_few_others(tmp_path: Path) -> None:
    _, before = split(tmp_path, rows(600))
    _, after = split(tmp_path, rows(660))
    unchanged = [row for row in before["validation"] if row in after["validation"]]
    assert len(unchanged) >= 45


def test_rows_with_the_same_column_value_stay_together(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    lines = [f"prompt {n},{n % 3},author {n % 40}" for n in range(400)]
    path.write_text("prompt,completion,author\n" + "\n".join(lines))
    division = assign_rows(path, ReadOptions(), SplitOptions(SplitSize(share=0.2), column="author"))
    sides: dict[int, set[str]] = {}
    for number, side in enumerate(division.sides):
        sides.setdefault(number % 40, set()).add(side)
    assert all(len(part) == 1 for part in sides.values())
    assert division.groups == 40
    assert 60 <= division.rows("validation") <= 100
    with pytest.raises(DatasetError, match="'autor'"):
        assign_rows(path, ReadOptions(), SplitOptions(SplitSize(share=0.2), column="autor"))


def test_near_duplicates_stay_together(tmp_path: Path) -> None:
    rng = random.Random(2)
    data = []
    for _ in range(60):
        words = ["".join(rng.choices("abcdefghijklmnop", k=6)) for _ in range(30)]
        data += [pair(" ".join([*words, f"v{version}"]), " x") for version in range(4)]
    division, _ = split(
        tmp_path, data, SplitOptions(SplitSize(share=0.25), near=True, stratify=False)
    )
    sides = [set(division.sides[start : start + 4]) for start in range(0, 240, 4)]
    assert all(len(part) == 1 for part in sides)
    assert division.groups == 60


def test_a_class_that_cannot_be_in_every_part_is_reported(tmp_path: Path) -> None:
    division, parts = split(tmp_path, [*rows(60), pair("only", " d")])
    assert list(list_missing_classes(division)) == ["the class ' d' has no rows in validation"]
    assert any(row["completion"] == " d" for row in parts["train"])


def test_free_answers_and_chats_are_split_by_their_prompts(tmp_path: Path) -> None:
    free, _ = split(tmp_path, [pair(f"{n}", f"answer {n}") for n in range(50)])
    assert free.classes is None
    assert free.rows("validation") == 5
    chats, _ = split(tmp_path, [chat(f"question {n % 25}", f"{n}") for n in range(50)])
    assert chats.groups == 25
    open_ended, _ = split(tmp_path, [pair("", f"text {n}") for n in range(50)])
    assert open_ended.rows("validation") == 5


@pytest.mark.parametrize(
    ("number", "options", "message"),
    [
        (1, SplitOptions(SplitSize(share=0.5)), "1 row cannot be split into 2 files"),
        (2, SplitOptions(SplitSize(share=0.2)), "the share for validation is less than half a row"),
        (
            9,
            SplitOptions(SplitSize(rows=5), SplitSize(rows=4)),
            "5 for validation and 4 for test would leave none",
        ),
    ],
)
def test_a_split_with_an_empty_part_is_refused_with_the_reason(
    tmp_path: Path, number: int, options: SplitOptions, message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        split(tmp_path, rows(number), options)


def test_rows_of_one_group_cannot_be_split(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no rows in validation.* these are 1 group"):
        split(tmp_path, [pair("always the same", f"{n}") for n in range(40)])


def test_impossible_splits_are_refused_and_write_nothing(tmp_path: Path) -> None:
    for options in (
        SplitOptions(SplitSize(rows=50)),
        SplitOptions(SplitSize(share=0.001)),
        SplitOptions(SplitSize(rows=30), SplitSize(20)),
    ):
        with pytest.raises(DatasetError, match="cannot be split"):
            split(tmp_path, rows(50), options)
    with pytest.raises(DatasetError, match="1 of 51"):
        split(tmp_path, [*rows(50), "nonsense"])
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


@pytest.mark.parametrize("text", ["0", "0%", "100%", "1.0", "-5", "many", "nan", ""])
def test_an_invalid_split_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a number or share"):
        parse_split_size(text)


def test_split_sizes_are_rows_or_shares() -> None:
    assert parse_split_size("20%").of(50) == parse_split_size("0.2").of(50) == 10
    assert parse_split_size("7").of(50) == 7


@given(
    data=st.lists(st.tuples(st.integers(0, 30), st.sampled_from((" a", " b", " c"))), min_size=8),
    share=st.floats(0.15, 0.8),
    seed=st.integers(0, 3),
)
def test_any_rows_are_split_without_a_leak(
    tmp_path_factory: pytest.TempPathFactory,
    data: list[tuple[int, str]],
    share: float,
    seed: int,
) -> None:
    folder = tmp_path_factory.mktemp("split")
    rows = [pair(str(n), label) for n, label in data]
    try:
        _, parts = split(folder, rows, SplitOptions(SplitSize(share=share), seed=seed))
    except DatasetError:  # a prompt of most rows cannot be held out
        counts = Counter(n for n, _ in data)
        assert max(counts.values()) > 1
        return
    assert sum(map(len, parts.values())) == len(data)
    held_out, training = (
        {row["prompt"] for row in parts[part]} for part in ("validation", "train")
    )
    assert not held_out & training
    assert held_out
    assert training
