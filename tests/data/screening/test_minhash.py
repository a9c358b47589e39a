"""The estimated similarity of two texts in any script, and groups of similar texts."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftops.data.screening.minhash import BINS, list_common_shingles, sketch_texts
from ftops.data.screening.near_duplicates import (
    LEAST_ALIKE,
    estimate,
    group_near_duplicates,
    match_near_duplicates,
)

FOX = "The quick brown fox jumps over the lazy dog near the old river bank at noon"
SIMILAR = {
    "case and blanks": (FOX, FOX.upper().replace(" ", "  ") + "!!"),
    "one word": (FOX * 2, FOX + FOX.replace("quick", "swift")),
    "Chinese": (
        "机器学习是人工智能的一个分支，它使用统计方法让计算机从数据中学习并做出预测和决策。",
        "机器学习是人工智能的一个分支，它使用统计方法让计算机从数据中学习并做出预测和判断。",
    ),
    "Japanese": (
        "東京は日本の首都であり、世界最大級の都市圏を形成している大都市です。人口は約千四百万人。",
        "東京は日本の首都であり、世界最大級の都市圏を形成している大都市です。人口は約千三百万人。",
    ),
    "Cyrillic": (
        "Москва является столицей России и крупнейшим городом страны по численности населения",
        "Москва является столицей России, и крупнейшим городом мира по численности населения",
    ),
}
DIFFERENT = {
    "English": (FOX, "A slow green turtle walks under the busy cat by the new house at night"),
    "Chinese": (
        SIMILAR["Chinese"][0],
        "今天的天气非常好，我们决定一起去公园散步，然后去湖边吃午饭。",
    ),
}  # fmt: skip


def make_words(rng: random.Random, count: int) -> str:
    letters = "abcdefghijklmnopqrstuvwxyz"
    return " ".join("".join(rng.choices(letters, k=rng.randint(2, 9))) for _ in range(count))


def list_shingles(text: str) -> set[str]:
    letters = "".join(filter(str.isalnum, text.lower()))
    return {letters[start : start + 5] for start in range(len(letters) - 4)}


@pytest.mark.parametrize("name", SIMILAR)
def test_texts_that_differ_a_little_are_similar(name: str) -> None:
    assert group_near_duplicates(sketch_texts(SIMILAR[name])).tolist() == [0, 0]


@pytest.mark.parametrize("name", DIFFERENT)
def test_different_texts_of_one_language_are_not_similar(name: str) -> None:
    assert group_near_duplicates(sketch_texts(DIFFERENT[name])).tolist() == [0, 1]


def test_the_estimate_is_close_to_the_true_similarity() -> None:
    rng = random.Random(3)
    errors = []
    for _ in range(200):
        text = make_words(rng, 60)
        changed = text.split()
        for _ in range(rng.randint(1, 20)):
            changed[rng.randrange(60)] = make_words(rng, 1)
        pair = [text, " ".join(changed)]
        before, after = map(list_shingles, pair)
        sketches = sketch_texts(pair)
        similarity = estimate(sketches, np.array([0]), np.array([1]))[0]
        errors.append(similarity - len(before & after) / len(before | after))
    assert abs(np.mean(errors)) < 0.01
    assert np.std(errors) < 0.07


def test_a_sketch_does_not_depend_on_other_texts() -> None:
    rng = random.Random(4)
    texts = [make_words(rng, rng.randint(0, 300)) for _ in range(300)]
    texts[7] += " größer als 世界最大級の都市圏を形成し"
    together = sketch_texts(texts)
    assert together.shape == (300, BINS)
    for number, text in enumerate(texts):
        assert (sketch_texts([text])[0] == together[number]).all()
    assert sketch_texts([]).shape == (0, BINS)


@given(st.lists(st.text(st.characters(), max_size=40) | st.just(FOX), max_size=6))
def test_any_texts_have_sketches_that_do_not_depend_on_each_other(texts: list[str]) -> None:
    together = sketch_texts(texts, list_common_shingles(texts * 9))
    assert together.shape == (len(texts), BINS)
    alone = [sketch_texts([text]) for text in texts]
    assert (sketch_texts(texts) == np.concatenate([np.zeros((0, BINS)), *alone])).all()
    groups = group_near_duplicates(sketch_texts(texts))
    assert all(first <= number for number, first in enumerate(groups.tolist()))


def test_texts_that_are_too_short_are_similar_to_none() -> None:
    texts = ["", "hi", "Hi!", "1234", "???", "good one", "good one"]
    assert group_near_duplicates(sketch_texts(texts)).tolist() == list(range(7))


def test_common_parts_do_not_make_texts_similar() -> None:
    rng = random.Random(5)
    system = f"You are a helpful assistant of {make_words(rng, 60)}. "
    texts = [system + make_words(rng, 8) for _ in range(40)]
    assert group_near_duplicates(sketch_texts(texts)).tolist() != list(range(40))
    common = list_common_shingles(texts)
    assert group_near_duplicates(sketch_texts(texts, common)).tolist() == list(range(40))
    texts.append(texts[3] + ", please")
    assert group_near_duplicates(sketch_texts(texts, common))[40] == 3


def test_only_slightly_changed_texts_are_matched_among_many() -> None:
    rng = random.Random(6)
    base = [make_words(rng, rng.randint(10, 60)) for _ in range(3000)]
    changed = []
    for text in base[:500]:
        parts = text.split()
        parts[rng.randrange(len(parts))] = "x"
        changed.append(" ".join(parts))
    similar = {
        number
        for number, (before, after) in enumerate(zip(base, changed, strict=False))
        if len(list_shingles(before) & list_shingles(after))
        / len(list_shingles(before) | list_shingles(after))
        > LEAST_ALIKE + 0.15
    }
    groups = group_near_duplicates(sketch_texts([*base, *changed]))
    assert groups[:3000].tolist() == list(range(3000))
    assert all(groups[3000 + number] in (number, 3000 + number) for number in range(500))
    assert similar <= {number for number in range(500) if groups[3000 + number] == number}
    matches = match_near_duplicates(sketch_texts(base), sketch_texts(changed))
    assert similar <= set(matches)
    assert all(first == number for number, first in matches.items())


def test_a_thousand_near_copies_are_one_group() -> None:
    rng = random.Random(7)
    texts = [f"{FOX} and then it sleeps {make_words(rng, 1)}" for _ in range(1000)]
    assert set(group_near_duplicates(sketch_texts(texts)).tolist()) == {0}
