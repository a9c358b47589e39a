"""Duplicates among many values, which are processed in parts."""

import random
from array import array

from ftops.data.checks.duplicates import group_repeated_prompts, list_repeats

ROWS = 600_000  # more than one part


def make_values(seed: int) -> "array[int]":
    rng = random.Random(seed)
    return array("q", (rng.getrandbits(64) - 2**63 for _ in range(ROWS)))


def test_all_duplicates_are_counted_and_the_first_listed() -> None:
    values = make_values(1)
    pairs = [(number, 2_000 + 31 * number) for number in range(1_000)]
    for early, late in pairs:
        values[late] = values[early]
    count, first = list_repeats(values)
    expected = len(values) - len(set(values))
    assert count == expected
    assert len(first) == 10
    assert first == sorted(first, key=lambda pair: pair[1])
    assert first[0] == pairs[0]


def test_repeated_prompts_with_different_rows_are_counted() -> None:
    prompts, rows = make_values(2), make_values(3)
    prompts[5_000], rows[5_000] = prompts[7], rows[7]
    prompts[500_000] = prompts[9]
    prompts[599_999] = prompts[9]
    repeated = group_repeated_prompts(prompts, rows)
    assert (repeated.values, repeated.several, repeated.rows) == (3, 1, [500_000])


def test_unique_values_have_no_duplicates() -> None:
    values = make_values(4)
    assert group_repeated_prompts(values, values).values == 0
    assert list_repeats(values) == (0, [])
    assert list_repeats(array("q")) == (0, [])
