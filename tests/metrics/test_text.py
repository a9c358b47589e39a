"""Text metrics agree with rouge-score, sacrebleu and their definitions."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from ftops.metrics.bootstrap import interval, resample
from tests.metrics.predictions import fail, make_predictions, measure, sample_texts


@pytest.mark.parametrize("seed", range(6))
def test_rouge_l_agrees_with_rouge_score(seed: int) -> None:
    predictions = sample_texts(100, seed)
    scorer = RougeScorer(["rougeL"])
    reference = [
        scorer.score(item.expected, item.predicted)["rougeL"].fmeasure for item in predictions
    ]
    assert measure("rouge_l", predictions).value == pytest.approx(sum(reference) / len(reference))


@pytest.mark.parametrize("seed", range(4))
def test_bleu_and_chrf_agree_with_sacrebleu(seed: int) -> None:
    predictions = sample_texts(80, seed)
    hypotheses = [item.predicted for item in predictions]
    references = [[item.expected for item in predictions]]
    for name, scorer in (("bleu", BLEU()), ("chrf", CHRF())):
        reference = scorer.corpus_score(hypotheses, references).score / 100
        sample = measure(name, predictions)
        assert sample.value == pytest.approx(reference)
        low, high = interval(resample([sample], seed=1, draws=200)[0]) or (0.0, 0.0)
        assert low < reference < high


def _distance(first: str, second: str) -> int:
    """The Levenshtein distance by its definition."""
    line = list(range(len(second) + 1))
    for row, letter in enumerate(first, start=1):
        before, line[0] = line[0], row
        for column, target in enumerate(second, start=1):
            cheapest = min(line[column] + 1, line[column - 1] + 1, before + (letter != target))
            before, line[column] = line[column], cheapest
    return line[-1]


@given(st.text("abc é", max_size=12), st.text("abc é", max_size=12))
@settings(max_examples=60, deadline=None)
def test_edit_distance_is_levenshtein_over_the_longer_text(first: str, second: str) -> None:
    first, second = first.strip(), second.strip()
    longest = max(len(first), len(second), 1)
    sample = measure("edit_distance", make_predictions([(first, second)]))
    assert sample.value == pytest.approx(_distance(first, second) / longest)


@pytest.mark.parametrize(
    ("expected", "predicted", "reference"),
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
def test_token_f1_counts_shared_words(expected: str, predicted: str, reference: float) -> None:
    assert measure("token_f1", make_predictions([(expected, predicted)])).value == pytest.approx(
        reference
    )


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
def test_exact_match_strips_only_white_space_unless_normalized_like_squad(
    expected: str, predicted: str, plain: int, squad: int
) -> None:
    predictions = make_predictions([(expected, predicted)])
    assert measure("exact_match", predictions).value == plain
    assert measure("accuracy", predictions).value == plain
    assert measure("exact_match", predictions, normalize="none").value == plain
    assert measure("exact_match", predictions, normalize="squad").value == squad


def test_a_failed_row_has_the_worst_score_of_each_metric() -> None:
    failed = fail(make_predictions([("", "")]), 1)
    for name in ("exact_match", "token_f1", "rouge_l", "json_valid"):
        assert measure(name, failed).value == 0.0, name
    assert measure("edit_distance", failed).value == 1.0
