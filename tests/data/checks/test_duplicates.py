"""Repeats are found in parts of many values, as in one."""

import random
from array import array

from ftops.data.checks.duplicates import group_repeated_prompts, list_repeats

ROWS = 600_000  # more than one part holds


def make_values(seed: int) -> "array[int]":
    chosen = random.Random(seed)
    return array("q", (chosen.getrandbits(64) - 2**63 for _ in range(ROWS)))


def test_repeats_among_many_values_are_all_counted_and_the_first_are_told() -> None:
    values = make_values(1)
    pairs = [(number, 2_000 + 31 * number) for number in range(1_000)]
    for early, late in pairs:
        values[late] = values[early]
    count, first = list_repeats(values)
    brute = len(values) - len(set(values))
    assert count == brute
    assert len(first) == 10
    assert first == sorted(first, key=lambda pair: pair[1])
    assert first[0] == pairs[0]


def test_prompts_with_different_rows_are_told_from_those_with_the_same() -> None:
    prompts, rows = make_values(2), make_values(3)
    prompts[5_000], rows[5_000] = prompts[7], rows[7]
    prompts[500_000] = prompts[9]
    prompts[599_999] = prompts[9]
    again = group_repeated_prompts(prompts, rows)
    assert (again.values, again.several, again.rows) == (3, 1, [500_000])


def test_where_nothing_stands_twice_nothing_is_found() -> None:
    values = make_values(4)
    assert group_repeated_prompts(values, values).values == 0
    assert list_repeats(values) == (0, [])
    assert list_repeats(array("q")) == (0, [])
