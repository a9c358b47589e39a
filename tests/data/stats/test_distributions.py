"""Marks and bins of numbers."""

import random
from itertools import pairwise

import pytest

from ftops.data.stats.distributions import Bin, Marks, find_marks, make_bins


def test_marks_are_those_of_the_ordered_numbers() -> None:
    assert find_marks([]) == Marks()
    assert find_marks([7]) == Marks(7, 7, 7.0, 7, 7, 7)
    numbers = list(range(1, 101))
    random.Random(1).shuffle(numbers)
    assert find_marks(numbers) == Marks(1, 50, 50.5, 95, 100, 5050)


def test_bins_have_round_bounds_and_hold_every_number() -> None:
    assert make_bins([]) == []
    assert make_bins([3, 3, 5]) == [Bin(3, 3, 2), Bin(4, 4, 0), Bin(5, 5, 1)]
    assert [(one.first, one.last) for one in make_bins([21, 48, 86])][:2] == [(20, 29), (30, 39)]


def test_where_a_few_lie_far_from_the_rest_bins_double() -> None:
    bins = make_bins([10] * 99 + [5_000])
    assert [one.count for one in bins if one.count] == [99, 1]
    assert all(two.first >= 2 * one.first for one, two in pairwise(bins[1:]))


@pytest.mark.parametrize("seed", range(30))
def test_bins_are_few_follow_each_other_and_lose_nothing(seed: int) -> None:
    chosen = random.Random(seed)
    top = 10 ** chosen.randint(0, 6)
    numbers = [chosen.randint(0, top) for _ in range(chosen.randint(1, 300))]
    numbers += [chosen.randint(0, 10**7)] if seed % 2 else []
    bins = make_bins(numbers)
    assert 1 <= len(bins) <= 13
    assert sum(one.count for one in bins) == len(numbers)
    assert all(one.last + 1 == two.first for one, two in pairwise(bins))
    for one in bins:
        assert one.count == sum(one.first <= number <= one.last for number in numbers)
