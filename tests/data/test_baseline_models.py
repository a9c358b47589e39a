"""The two simplest models, on small tasks whose outcome is known."""

import random
from math import log

import pytest

from ftops.data.baselines import NaiveBayes, NearestNeighbour, NgramVocabulary

TEXTS = ["the cat sat on the mat", "a dog ran in the park", "my cat sleeps", "the dog barks"]
LABELS = ["cat", "dog", "cat", "dog"]
WORDS = {
    "sport": "goal match team player league coach score win cup season",
    "money": "bank share price market profit trade euro stock fund tax",
    "sky": "cloud rain wind storm sun snow frost heat fog hail",
}


def make_rows(count: int, seed: int) -> tuple[list[str], list[str]]:
    """Texts of ten words, four of them of the label's own."""
    chosen = random.Random(seed)
    labels = [chosen.choice(list(WORDS)) for _ in range(count)]
    every = " ".join(WORDS.values()).split()
    texts = [
        " ".join(chosen.choices(WORDS[label].split(), k=5) + chosen.choices(every, k=5))
        for label in labels
    ]
    return texts, labels


def test_words_and_pairs_are_counted_text_by_text() -> None:
    vocabulary = NgramVocabulary(["a b a", ""])
    counts = vocabulary.counts
    assert vocabulary.size == 4  # a, b, "a b", "b a"
    assert counts.starts.tolist() == [0, 4, 4]
    assert counts.times.tolist() == [2, 1, 1, 1]
    assert vocabulary.count(["c", "b c"]).features.tolist() == [1]


@pytest.mark.parametrize("kind", [NaiveBayes, NearestNeighbour])
def test_texts_that_were_seen_get_their_own_label(
    kind: type[NaiveBayes] | type[NearestNeighbour],
) -> None:
    assert kind(TEXTS, LABELS).predict(TEXTS) == LABELS
    assert kind(TEXTS, LABELS).predict(["one cat", "one dog"]) == ["cat", "dog"]


@pytest.mark.parametrize("kind", [NaiveBayes, NearestNeighbour])
def test_new_texts_are_told_by_their_words(kind: type[NaiveBayes] | type[NearestNeighbour]) -> None:
    texts, labels = make_rows(600, 1)
    held, wanted = make_rows(200, 2)
    found = kind(texts, labels).predict(held)
    assert sum(map(str.__eq__, found, wanted)) > 150


def test_chinese_is_told_by_its_characters() -> None:
    texts = ["今天下雨了", "明天会下雪", "股票涨了很多", "银行的股价下跌"]
    found = NaiveBayes(texts, ["天气", "天气", "钱", "钱"]).predict(["昨天下雨", "股票和银行"])
    assert found == ["天气", "钱"]


def test_without_known_words_the_most_frequent_label_is_said() -> None:
    assert NaiveBayes([*TEXTS, "x"], [*LABELS, "dog"]).predict(["zzz", ""]) == ["dog", "dog"]
    assert NearestNeighbour(TEXTS, LABELS).predict(["zzz"]) == ["cat"]


def test_probabilities_are_those_of_the_formula() -> None:
    bayes = NaiveBayes(["a", "a", "b"], ["x", "x", "y"])
    smooth = 0.1
    expected = log((2 + smooth) / (2 + 2 * smooth)) - log(smooth / (1 + 2 * smooth))
    assert bayes._weights[0, 0] - bayes._weights[1, 0] == pytest.approx(expected)
