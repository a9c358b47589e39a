"""Figures of free text are those of rouge-score, sacrebleu and the textbook."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from ftops.metrics.bootstrap import interval, resample
from tests.metrics.predictions import answer, draw_texts, fail, measure


@pytest.mark.parametrize("seed", range(6))
def test_rouge_l_agrees_with_rouge_score(seed: int) -> None:
    answers = draw_texts(100, seed)
    scorer = RougeScorer(["rougeL"])
    wanted = [scorer.score(one.expected, one.predicted)["rougeL"].fmeasure for one in answers]
    assert measure("rouge_l", answers).value == pytest.approx(sum(wanted) / len(wanted))


@pytest.mark.parametrize("seed", range(4))
def test_bleu_and_chrf_agree_with_sacrebleu(seed: int) -> None:
    answers = draw_texts(80, seed)
    hypotheses = [one.predicted for one in answers]
    references = [[one.expected for one in answers]]
    for name, scorer in (("bleu", BLEU()), ("chrf", CHRF())):
        wanted = scorer.corpus_score(hypotheses, references).score / 100
        sample = measure(name, answers)
        assert sample.value == pytest.approx(wanted)
        low, high = interval(resample([sample], seed=1, draws=200)[0]) or (0.0, 0.0)
        assert low < wanted < high


def _distance(one: str, other: str) -> int:
    """Levenshtein by its definition."""
    line = list(range(len(other) + 1))
    for row, letter in enumerate(one, start=1):
        before, line[0] = line[0], row
        for column, wanted in enumerate(other, start=1):
            cheapest = min(line[column] + 1, line[column - 1] + 1, before + (letter != wanted))
            before, line[column] = line[column], cheapest
    return line[-1]


@given(st.text("abc é", max_size=12), st.text("abc é", max_size=12))
@settings(max_examples=60, deadline=None)
def test_edit_distance_is_levenshtein_over_the_longer_text(one: str, other: str) -> None:
    one, other = one.strip(), other.strip()
    longest = max(len(one), len(other), 1)
    sample = measure("edit_distance", answer([(one, other)]))
    assert sample.value == pytest.approx(_distance(one, other) / longest)


@pytest.mark.parametrize(
    ("expected", "given", "wanted"),
    [
        ("the cat sat", "The cat, sat!", 1.0),
        ("the cat sat", "the the cat", 2 / 3),
        ("a b c d", "a", 0.4),
        ("yes", "no", 0.0),
        ("", "", 1.0),
        ("…", "words", 0.0),
        ("東京タワー", "東京", 4 / 7),
    ],
)
def test_token_f1_counts_shared_words(expected: str, given: str, wanted: float) -> None:
    assert measure("token_f1", answer([(expected, given)])).value == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("expected", "predicted", "plain", "squad"),
    [
        ("The cat.", " The cat.\n", 1, 1),
        ("The cat.", "a  CAT", 0, 1),
        ("an apple", "apple", 0, 1),
        ("theory", "ory", 0, 0),
        ("yes", "no", 0, 0),
    ],
)
def test_exact_match_strips_white_space_only_unless_it_normalizes_as_squad_does(
    expected: str, predicted: str, plain: int, squad: int
) -> None:
    answers = answer([(expected, predicted)])
    assert measure("exact_match", answers).value == plain
    assert measure("accuracy", answers).value == plain
    assert measure("exact_match", answers, normalize="none").value == plain
    assert measure("exact_match", answers, normalize="squad").value == squad


def test_a_failed_row_has_the_worst_score_of_each_metric() -> None:
    failed = fail(answer([("", "")]), 1)
    for name in ("exact_match", "token_f1", "rouge_l", "json_valid"):
        assert measure(name, failed).value == 0.0, name
    assert measure("edit_distance", failed).value == 1.0
