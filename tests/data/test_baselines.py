"""Scores on held-out rows, and the sentence about them."""

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
    found = score_baselines(*write_task(tmp_path), ReadOptions())
    assert (found.training_rows, found.validation_rows, found.classes) == (600, 200, 3)
    assert {one.name for one in found.scores} == {"naive Bayes", "nearest neighbour"}
    assert found.scores[0].accuracy >= found.scores[1].accuracy > found.majority
    assert 0.2 < found.majority < 0.5
    assert found.scores[0].accuracy == found.scores[0].right / 200


def test_free_answers_are_only_looked_up(tmp_path: Path) -> None:
    rows = [pair(f"number {chr(97 + n)} here", f"answer {n}") for n in range(20)]
    train = write_rows(tmp_path / "train.jsonl", rows)
    held = write_rows(tmp_path / "held.jsonl", [*rows[:5], pair("new", "other")])
    found = score_baselines(train, held, ReadOptions())
    assert found.classes is None
    assert [one.name for one in found.scores] == ["nearest neighbour"]
    assert found.leaked == pytest.approx(5 / 6)
    assert found.unknown == pytest.approx(1 / 6)


def test_chats_are_answered_by_what_was_asked(tmp_path: Path) -> None:
    pairs = [("hi", "a"), ("by", "b")] * 9
    rows = [chat(f"{text} {n}", label) for n, (text, label) in enumerate(pairs)]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    assert score_baselines(path, path, ReadOptions()).scores[0].accuracy == 1.0


def test_the_sentence_says_whether_the_goal_is_reached_without_a_model() -> None:
    score_predictor = baselines.BaselineScore("naive Bayes", 95, 0.95)
    found = Baseline(100, 100, 2, "a", 0.5, 0.0, 0.0, (score_predictor,))
    assert found.verdict(0.9).endswith("you may not need a fine-tuned model.")
    assert "has to beat that" in found.verdict(0.99)
    poor = Baseline(100, 100, 2, "a", 0.97, 0.0, 0.0, (score_predictor,))
    assert poor.verdict(0.9).startswith("the most frequent answer reaches 97.0%")


def test_of_much_data_a_part_is_drawn_that_fits() -> None:
    chosen = random.Random(1)
    pairs = [("x" * 1_000_000, str(number)) for number in range(40)]
    fitting = baselines._fit(pairs, chosen)
    assert len(fitting) == 16
    assert fitting == sorted(fitting, key=lambda pair: int(pair[1]))
    assert fitting != pairs[:16]
    assert len(baselines._fit([("x" * 20_000_000, "a")], chosen)) == 1


def test_data_with_one_answer_is_refused(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [pair("a", "x"), pair("b", "x")])
    with pytest.raises(DatasetError, match="nothing to learn"):
        score_baselines(path, path, ReadOptions())


def test_the_command_prints_scores_and_the_sentence(tmp_path: Path) -> None:
    train, held = write_task(tmp_path)
    answer = ftops("data", "baseline", train, held, "--goal", "0.3")
    assert answer.code == 0
    assert "naive Bayes" in answer.out
    assert "you may not need a fine-tuned model" in answer.out
    document = ftops("data", "baseline", train, held, "--json").document
    assert document["validation_rows"] == 200
    assert document["goal"] == 0.9
    bad = write_rows(tmp_path / "bad.jsonl", ["nonsense"])
    assert "1 of 1 row is bad" in ftops("data", "baseline", train, bad).err


def test_questions_that_were_learned_are_warned_of(tmp_path: Path) -> None:
    train, held = write_task(tmp_path)
    answer = ftops("data", "baseline", train, train)
    assert answer.code == 0
    assert "warning: 100.0% of the validation rows ask what training rows ask" in answer.err
    assert score_baselines(train, held, ReadOptions()).leaked < 0.1
