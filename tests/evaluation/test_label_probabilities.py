"""What chances of first tokens say of labels, and where they say nothing."""

import pytest

from ftops.evaluation.label_probabilities import read_chances
from ftops.evaluation.ways import Way


def test_a_label_of_one_token_has_the_chance_of_that_token() -> None:
    told = [{" yes": 0.7, "yes": 0.1, " no": 0.15, " perhaps": 0.05}, {" no": 1.0}]
    found = read_chances(told, Way(), ["yes", "no"], "tuned")
    assert found.by_answer[0] == {"yes": pytest.approx(0.8), "no": 0.15}
    assert found.by_answer[1] == {"no": 1.0}
    assert found.trouble == ""


def test_a_number_that_stands_for_a_label_has_the_chance_of_the_label() -> None:
    way = Way(labels={"1": "sports", "2": "politics"})
    found = read_chances([{" 1": 0.6, " 2": 0.4}], way, ["sports", "politics"], "tuned")
    assert found.by_answer == [{"sports": 0.6, "politics": 0.4}]


def test_a_label_of_several_tokens_leaves_nobody_a_chance_and_is_named() -> None:
    told = [{" yes": 0.9, " un": 0.1}, {" un": 0.8, " yes": 0.2}]
    found = read_chances(told, Way(), ["yes", "undecided"], "base")
    assert found.by_answer == [{}, {}]
    assert found.trouble.startswith("base: chances are not known: 'undecided' is several tokens")
    assert "--only encode-labels" in found.trouble


def test_labels_that_share_their_first_token_are_named() -> None:
    found = read_chances([{" pos": 0.9}], Way(), ["positive", "possible"], "tuned")
    assert found.by_answer == [{}]
    assert "'positive' and 'possible' begin with the same token, 'pos'" in found.trouble


def test_a_label_that_another_one_may_begin_with_is_named() -> None:
    found = read_chances([{" 1": 0.9, " 2": 0.1}], Way(), ["1", "10", "2"], "tuned")
    assert found.by_answer == [{}]
    assert "'10' begins with the token that is '1'" in found.trouble


def test_a_blank_that_is_a_token_of_its_own_hides_every_label() -> None:
    found = read_chances([{" ": 0.99, "yes": 0.001}], Way(), ["yes", "no"], "tuned")
    assert found.by_answer == [{}]
    assert "'no' is several tokens" in found.trouble


def test_an_unlikely_beginning_says_nothing_of_a_label_that_is_never_given() -> None:
    told = [{" yes": 0.99, " n": 0.0001}]
    found = read_chances(told, Way(), ["yes", "no"], "tuned")
    assert (found.by_answer, found.trouble) == ([{"yes": 0.99}], "")
