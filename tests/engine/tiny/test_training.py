"""The loop: what it reports, and that stopping, dying and going on change nothing."""

import hashlib
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ftops.engine.tiny.trainer import TinyTrainer
from ftops.engine.trainer import (
    StepMetrics,
    TrainingStopped,
)
from ftops.engine.training_file import CompletionRow
from ftops.errors import EngineError
from tests.engine.tiny.jobs import ANSWERS, ask, make_short_request, train
from tests.fakes import FakeClock

N_STEPS = 6  # of make_short_request


def hash_model(folder: Path) -> str:
    """One hash over all files of the model; archives carry no dates."""
    digest = hashlib.sha256()
    for path in sorted((folder / "model").iterdir()):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def stop_after(n_steps: int) -> Callable[[], bool]:
    """Says stop when it is asked for the time after `n_steps` steps."""
    asked = iter(range(10**6))
    return lambda: next(asked) >= n_steps


def test_a_row_learned_by_heart_is_given_back_word_for_word(model_folder: Path) -> None:
    model = TinyTrainer().load(model_folder)
    assert ask(model, list(ANSWERS)) == list(ANSWERS.values())


@pytest.mark.parametrize("n_done", range(N_STEPS + 1))
def test_a_training_stopped_at_any_step_goes_on_to_the_same_weights(
    tmp_path: Path, n_done: int
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    request = make_short_request(validation=2)
    step_metrics: list[StepMetrics] = []
    expected = train(request, whole, on_step=step_metrics.append)
    again: list[StepMetrics] = []
    if n_done < N_STEPS:
        with pytest.raises(TrainingStopped):
            train(request, broken, on_step=again.append, should_stop=stop_after(n_done))
        assert [metrics.step for metrics in again] == list(range(1, n_done + 1))
        assert not list((broken / "model").iterdir())
    assert train(request, broken, on_step=again.append) == expected
    assert hash_model(broken) == hash_model(whole)
    assert again == step_metrics


def test_two_processes_make_the_same_bits(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib; from tests.engine.tiny.jobs import *;"
        "train(make_short_request(validation=1, seed=5), pathlib.Path(sys.argv[1]))"
    )
    for name, hash_seed in (("one", "1"), ("two", "2")):
        (tmp_path / name).mkdir()
        environ = {"PYTHONHASHSEED": hash_seed, "OPENBLAS_NUM_THREADS": "1"}
        subprocess.run([sys.executable, "-c", script, tmp_path / name], env=environ, check=True)
    assert hash_model(tmp_path / "one") == hash_model(tmp_path / "two")


def test_another_seed_makes_another_model(tmp_path: Path) -> None:
    hashes = set()
    for seed in (0, 1, -1):
        (tmp_path / str(seed)).mkdir()
        train(make_short_request(seed=seed), tmp_path / str(seed))
        hashes.add(hash_model(tmp_path / str(seed)))
    assert len(hashes) == 3


def test_checkpoints_come_with_time_and_never_more_often_than_they_are_worth(
    tmp_path: Path,
) -> None:
    clock, written = FakeClock(), []

    def on_step(metrics: StepMetrics) -> None:
        written.append((tmp_path / "checkpoint").exists())
        clock.advance(0.9)

    train(make_short_request(), tmp_path, trainer=TinyTrainer(clock), on_step=on_step)
    assert written == [False, False, False, True, True, True]  # due when 2 s have passed


def test_a_training_killed_after_a_checkpoint_goes_on_from_it(tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    clock = FakeClock()

    def die_at_5(metrics: StepMetrics) -> None:
        clock.advance(1.5)  # a checkpoint is due after steps 2 and 4
        if metrics.step == 5:
            raise Killed

    with pytest.raises(Killed):
        train(make_short_request(), tmp_path, trainer=TinyTrainer(clock), on_step=die_at_5)
    steps: list[int] = []
    train(make_short_request(), tmp_path, on_step=lambda metrics: steps.append(metrics.step))
    assert steps == [5, 6]


@pytest.mark.parametrize("damage", ["cut", "garbage", "other job"])
def test_a_checkpoint_that_is_of_no_use_means_starting_again(tmp_path: Path, damage: str) -> None:
    (tmp_path / "whole").mkdir()
    train(make_short_request(), tmp_path / "whole")
    checkpoint = tmp_path / "checkpoint"
    with pytest.raises(TrainingStopped):
        train(
            make_short_request(seed=3 if damage == "other job" else 0),
            tmp_path,
            should_stop=stop_after(4),
        )
    if damage == "cut":
        checkpoint.write_bytes(checkpoint.read_bytes()[:-1000])
    elif damage == "garbage":
        checkpoint.write_bytes(b"\x93NUMPY of no use")
    steps: list[int] = []
    train(make_short_request(), tmp_path, on_step=lambda metrics: steps.append(metrics.step))
    assert steps == list(range(1, N_STEPS + 1))
    assert hash_model(tmp_path) == hash_model(tmp_path / "whole")


def test_every_step_is_reported_and_every_epoch_is_validated(tmp_path: Path) -> None:
    step_metrics: list[StepMetrics] = []
    result = train(make_short_request(validation=3), tmp_path, on_step=step_metrics.append)
    assert [metrics.step for metrics in step_metrics] == list(range(1, N_STEPS + 1))
    assert [metrics.epoch for metrics in step_metrics] == [1, 1, 1, 2, 2, 2]
    assert [metrics.elapsed_examples for metrics in step_metrics] == [2, 4, 6, 8, 10, 12]
    assert [metrics.valid_loss is not None for metrics in step_metrics] == [False, False, True] * 2
    assert result.steps == N_STEPS
    assert (
        result.trained_tokens
        == step_metrics[-1].elapsed_tokens
        == 2 * step_metrics[2].elapsed_tokens
    )
    for metrics in step_metrics:
        assert math.isfinite(metrics.train_loss)
        assert 0 <= metrics.train_sequence_accuracy <= metrics.train_token_accuracy <= 1


@pytest.mark.parametrize(("n_epochs", "is_affordable"), [(2, False), (5, True)])
def test_the_last_step_measures_all_validation_rows_beside_those_of_every_epoch(
    tmp_path: Path, n_epochs: int, is_affordable: bool
) -> None:
    """Were it all of them in place of a few, the curve would jump where nothing happened."""
    step_metrics: list[StepMetrics] = []
    request = replace(make_short_request(validation=3), n_epochs=n_epochs)
    train(request, tmp_path, on_step=step_metrics.append)
    assert all(metrics.full_valid_loss is None for metrics in step_metrics[:-1])
    last = step_metrics[-1]
    assert last.valid_loss is not None
    assert (last.full_valid_loss is not None) is is_affordable
    assert last.full_valid_loss != last.valid_loss  # of three rows, and of one of them


def test_without_validation_rows_there_are_no_validation_figures(tmp_path: Path) -> None:
    step_metrics: list[StepMetrics] = []
    train(make_short_request(), tmp_path, on_step=step_metrics.append)
    assert all(metrics.valid_loss is None for metrics in step_metrics)


def test_validation_rows_do_not_change_the_weights(tmp_path: Path) -> None:
    for n in (0, 4):
        (tmp_path / str(n)).mkdir()
        train(make_short_request(validation=n), tmp_path / str(n))
    assert hash_model(tmp_path / "0") == hash_model(tmp_path / "4")


def test_a_fine_tuned_model_can_be_fine_tuned_again(model_folder: Path, tmp_path: Path) -> None:
    rows = [CompletionRow("Where is the broom?", " In the hall."), *make_short_request().training]
    request = replace(make_short_request(), base=str(model_folder), training=rows, n_epochs=40)
    assert TinyTrainer().resolve(request).learning_rate_multiplier == 0.5
    train(request, tmp_path)
    model = TinyTrainer().load(tmp_path / "model")
    assert ask(model, ["Where is the broom?"]) == [" In the hall."]
    tokenizers = [folder / "tokenizer.json" for folder in (model_folder, tmp_path / "model")]
    assert tokenizers[0].read_bytes() == tokenizers[1].read_bytes()


def test_a_base_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    request = replace(make_short_request(), base=str(tmp_path / "gone"))
    with pytest.raises(EngineError, match="gone"):
        train(request, tmp_path)


def test_a_training_that_diverges_says_so(tmp_path: Path) -> None:
    request = replace(make_short_request(), learning_rate_multiplier=1e30, n_epochs=20)
    with pytest.raises(EngineError, match="diverged at step") as caught:
        train(request, tmp_path)
    assert "learning_rate_multiplier" in caught.value.hint


def test_empty_and_overlong_documents_are_trained_on(tmp_path: Path) -> None:
    texts = [("", ""), ("only read", ""), ("long " * 1500, " yes")]
    rows = [CompletionRow(prompt, completion) for prompt, completion in texts]
    step_metrics: list[StepMetrics] = []
    train(replace(make_short_request(), training=rows), tmp_path, on_step=step_metrics.append)
    assert step_metrics[-1].elapsed_examples == 6
    assert max(metrics.train_loss for metrics in step_metrics) > 0


def test_a_prompt_loss_weight_trains_on_prompts_too(tmp_path: Path) -> None:
    plain, weighted = tmp_path / "plain", tmp_path / "weighted"
    plain.mkdir()
    weighted.mkdir()
    train(make_short_request(), plain)
    train(replace(make_short_request(), prompt_loss_weight=0.1), weighted)
    assert hash_model(plain) != hash_model(weighted)
