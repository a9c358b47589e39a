"""Scores of baselines on held-out rows, and their summary."""

import random
from pathlib import Path

import pytest

from ftops.data import baselines
from ftops.data.baselines import Baseline, score_baselines
from ftops.data.reading.options import ReadOptions
from ftops.errors import DatasetError
from tests.cli.running import ftops
from tests.data.data_files import chat, pair, write_rows
from tests.data.test_baseline_models import make_rows


def write_task(folder: Path) -> tuple[Path, Path]:
    paths = []
    for name, count, seed in (("train", 600, 1), ("held", 200, 2)):
        texts = zip(*make_rows(count, seed), strict=True)
        rows = [pair(f"{text} ->", f" {label}") for text, label in texts]
        paths.append(write_rows(folder / f"{name}.jsonl", rows))
    return paths[0], paths[1]


def test_both_candidates_and_the_majority_are_scored(tmp_path: Path) -> None:
    baseline = score_baselines(*write_task(tmp_path), ReadOptions())
    assert (baseline.training_rows, baseline.validation_rows, baseline.classes) == (600, 200, 3)
    assert {score.name for score in baseline.scores} == {"naive Bayes", "nearest neighbour"}
    assert baseline.scores[0].accuracy >= baseline.scores[1].accuracy > baseline.majority
    assert 0.2 < baseline.majority < 0.5
    assert baseline.scores[0].accuracy == baseline.scores[0].right / 200


def test_free_answers_have_only_the_nearest_neighbour(tmp_path: Path) -> None:
    rows = [pair(f"number {chr(97 + n)} here", f"answer {n}") for n in range(20)]
    train = write_rows(tmp_path / "train.jsonl", rows)
    held_out = write_rows(tmp_path / "held.jsonl", [*rows[:5], pair("new", "other")])
    baseline = score_baselines(train, held_out, ReadOptions())
    assert baseline.classes is None
    assert [score.name for score in baseline.scores] == ["nearest neighbour"]
    assert baseline.leaked == pytest.approx(5 / 6)
    assert baseline.unknown == pytest.approx(1 / 6)


def test_chats_are_matched_by_their_questions(tmp_path: Path) -> None:
    pairs = [("hi", "a"), ("by", "b")] * 9
    rows = [chat(f"{text} {n}", label) for n, (text, label) in enumerate(pairs)]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    assert score_baselines(path, path, ReadOptions()).scores[0].accuracy == 1.0


def test_the_summary_says_whether_a_baseline_reaches_the_goal() -> None:
    score_predictor = baselines.BaselineScore("naive Bayes", 95, 0.95)
    baseline = Baseline(100, 100, 2, "a", 0.5, 0.0, 0.0, (score_predictor,))
    assert baseline.verdict(0.9).endswith("you may not need a fine-tuned model.")
    assert "has to beat that" in baseline.verdict(0.99)
    poor = Baseline(100, 100, 2, "a", 0.97, 0.0, 0.0, (score_predictor,))
    assert poor.verdict(0.9).startswith("the most frequent answer reaches 97.0%")


def test_a_sample_that_fits_is_taken_from_large_data() -> None:
    rng = random.Random(1)
    pairs = [("x" * 1_000_000, str(number)) for number in range(40)]
    fitting = baselines._fit(pairs, rng)
    assert len(fitting) == 16
    assert fitting == sorted(fitting, key=lambda pair: int(pair[1]))
    assert fitting != pairs[:16]
    assert len(baselines._fit([("x" * 20_000_000, "a")], rng)) == 1


def test_data_with_one_answer_is_refused(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [pair("a", "x"), pair("b", "x")])
    with pytest.raises(DatasetError, match="nothing to learn"):
        score_baselines(path, path, ReadOptions())


def test_the_command_prints_scores_and_the_summary(tmp_path: Path) -> None:
    train, held_out = write_task(tmp_path)
    answer = ftops("data", "baseline", train, held_out, "--goal", "0.3")
    assert answer.code == 0
    assert "naive Bayes" in answer.out
    assert "you may not need a fine-tuned model" in answer.out
    document = ftops("data", "baseline", train, held_out, "--json").document
    assert document["validation_rows"] == 200
    assert document["goal"] == 0.9
    bad = write_rows(tmp_path / "bad.jsonl", ["nonsense"])
    assert "1 of 1 row is bad" in ftops("data", "baseline", train, bad).err


def test_the_command_warns_about_questions_of_training_rows(tmp_path: Path) -> None:
    train, held_out = write_task(tmp_path)
    answer = ftops("data", "baseline", train, train)
    assert answer.code == 0
    assert "warning: 100.0% of the validation rows ask what training rows ask" in answer.err
    assert score_baselines(train, held_out, ReadOptions()).leaked < 0.1
