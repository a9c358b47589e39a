"""Naive Bayes and nearest neighbour on small tasks with known results."""

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
    """Texts of ten words, five of them typical of the label."""
    rng = random.Random(seed)
    labels = [rng.choice(list(WORDS)) for _ in range(count)]
    all_words = " ".join(WORDS.values()).split()
    texts = [
        " ".join(rng.choices(WORDS[label].split(), k=5) + rng.choices(all_words, k=5))
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


@pytest.mark.parametrize("model_class", [NaiveBayes, NearestNeighbour])
def test_training_texts_get_their_own_label(
    model_class: type[NaiveBayes] | type[NearestNeighbour],
) -> None:
    assert model_class(TEXTS, LABELS).predict(TEXTS) == LABELS
    assert model_class(TEXTS, LABELS).predict(["one cat", "one dog"]) == ["cat", "dog"]


@pytest.mark.parametrize("model_class", [NaiveBayes, NearestNeighbour])
def test_new_texts_are_classified_by_their_words(
    model_class: type[NaiveBayes] | type[NearestNeighbour],
) -> None:
    texts, labels = make_rows(600, 1)
    held_out, expected = make_rows(200, 2)
    predicted = model_class(texts, labels).predict(held_out)
    assert sum(map(str.__eq__, predicted, expected)) > 150


def test_chinese_is_classified_by_its_characters() -> None:
    texts = ["今天下雨了", "明天会下雪", "股票涨了很多", "银行的股价下跌"]
    predicted = NaiveBayes(texts, ["天气", "天气", "钱", "钱"]).predict(["昨天下雨", "股票和银行"])
    assert predicted == ["天气", "钱"]


def test_without_known_words_the_most_frequent_label_is_predicted() -> None:
    assert NaiveBayes([*TEXTS, "x"], [*LABELS, "dog"]).predict(["zzz", ""]) == ["dog", "dog"]
    assert NearestNeighbour(TEXTS, LABELS).predict(["zzz"]) == ["cat"]


def test_probabilities_match_the_formula() -> None:
    bayes = NaiveBayes(["a", "a", "b"], ["x", "x", "y"])
    smooth = 0.1
    expected = log((2 + smooth) / (2 + 2 * smooth)) - log(smooth / (1 + 2 * smooth))
    assert bayes._weights[0, 0] - bayes._weights[1, 0] == pytest.approx(expected)
