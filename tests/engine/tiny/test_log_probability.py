"""How likely `tiny` finds an answer, against what it says of its own tokens while answering."""

import math

import pytest

from ftops.engine.tiny.generation import TinyModel
from ftops.engine.tiny.trainer import TinyTrainer
from ftops.engine.trainer import SamplingParams, TrainingHooks, TrainingRequest
from ftops.engine.training_file import CompletionRow

ROWS = [CompletionRow(f"number {n} is", " odd" if n % 2 else " even") for n in range(8)]
PROMPT = "number 3 is"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    folder = tmp_path_factory.mktemp("tiny")
    trainer = TinyTrainer()
    request = TrainingRequest("ada", ROWS, [], n_epochs=10, batch_size=4, seed=1)
    (folder / "model").mkdir()
    trainer.train(
        request,
        trainer.resolve(request),
        TrainingHooks(on_step=lambda _: None, should_stop=lambda: False),
        into=folder / "model",
        checkpoint=folder / "checkpoint",
    )
    return trainer.load(folder / "model")


def test_it_is_the_sum_over_the_tokens_that_were_drawn(model: TinyModel) -> None:
    params = SamplingParams(max_tokens=8, temperature=0.0, logprobs=1)
    drawn = list(model.generate([PROMPT], params))
    text = "".join(delta.text for delta in drawn)
    assert text in (" odd", " even")
    said = sum(entry.logprob for delta in drawn for entry in delta.logprobs)
    # The end of the answer is not among the drawn tokens.
    found = model.log_probability(PROMPT, text) - model.log_probability(PROMPT + text, "")
    # Drawing leaves out tokens that no answer may hold, which makes the others a little likelier.
    assert found == pytest.approx(said, abs=0.05)
    assert found <= said


def test_all_answers_together_are_not_more_than_certain(model: TinyModel) -> None:
    shares = [math.exp(model.log_probability(PROMPT, row.completion)) for row in ROWS[:2]]
    assert 0 < sum(shares) <= 1 + 1e-6


def test_only_the_answer_counts(model: TinyModel) -> None:
    end = model.log_probability(PROMPT + ROWS[0].completion, "")
    assert model.log_probability(PROMPT, ROWS[0].completion) < end < 0


def test_a_prompt_that_is_too_long_loses_its_beginning(model: TinyModel) -> None:
    assert model.log_probability(f"{PROMPT} " * 1000, ROWS[0].completion) < 0
