"""Answers that grow side by side: each as if it were alone, joining and leaving at any step."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from ftops.clock import SystemClock
from ftops.engine.tiny.generation import TinyModel
from ftops.engine.tiny.trainer import TinyTrainer
from ftops.engine.trainer import (
    Batch,
    BatchingModel,
    PromptTooLong,
    SamplingParams,
    TrainingHooks,
    TrainingRequest,
)
from ftops.engine.training_file import CompletionRow
from ftops.errors import EngineError

WORDS = ("cat", "dog", "owl", "cow", "pig", "hen", "bee", "ant", "fox", "elk")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    """A model that is unsure enough for chance to matter."""
    folder: Path = tmp_path_factory.mktemp("model")
    rows = [CompletionRow(f"{word} says", f" {word[::-1]} and {word * 2}") for word in WORDS]
    request = TrainingRequest("ada", rows, [], 6, 2, seed=1)
    trainer = TinyTrainer(SystemClock())
    trainer.train(
        request,
        trainer.resolve(request),
        TrainingHooks(on_step=lambda _: None, should_stop=lambda: False),
        into=folder,
        checkpoint=folder / "checkpoint",
    )
    return trainer.load(folder)


def ask(word: str) -> str:
    return f"{word} says"


def alone(model: TinyModel, prompts: Sequence[str], params: SamplingParams) -> list[str]:
    texts = [""] * len(prompts)
    for delta in model.generate(prompts, params):
        texts[delta.index] += delta.text
    return texts


def drain(batch: Batch, texts: dict[int, str], steps: int = 10_000) -> None:
    while len(batch) and steps:
        steps -= 1
        for delta in batch.step():
            texts[delta.index] = texts.get(delta.index, "") + delta.text


PARAMS = (
    SamplingParams(max_tokens=12, temperature=0),
    SamplingParams(max_tokens=9, temperature=1, seed=5),
    SamplingParams(max_tokens=20, temperature=0.7, top_p=0.8, seed=7),
    SamplingParams(max_tokens=15, temperature=1, seed=1, presence_penalty=1.5),
    SamplingParams(max_tokens=3, temperature=1.5, seed=2, stop=(" ",)),
    SamplingParams(max_tokens=8, temperature=0, logit_bias={40: 100.0}),
)


def test_answers_of_many_callers_are_those_that_each_would_get_alone(model: TinyModel) -> None:
    assert isinstance(model, BatchingModel)
    batch = model.open_batch()
    wanted: dict[int, str] = {}
    texts: dict[int, str] = {}
    for number, params in enumerate(PARAMS):
        prompts = [ask(word) for word in WORDS[: number + 1]]
        request_ids = batch.add(prompts, params)
        wanted |= dict(zip(request_ids, alone(model, prompts, params), strict=True))
        drain(batch, texts, steps=2)  # the next ones join while these are under way
    drain(batch, texts)
    assert {request_id: texts.get(request_id, "") for request_id in wanted} == wanted


def test_more_answers_than_fit_side_by_side_wait_for_their_turn(model: TinyModel) -> None:
    params = SamplingParams(max_tokens=4, temperature=0)
    prompts = [ask(WORDS[number % 10]) for number in range(150)]
    texts = alone(model, prompts, params)
    assert texts == texts[:10] * 15


def test_who_leaves_is_drawn_no_more_and_the_others_go_on(model: TinyModel) -> None:
    params = SamplingParams(max_tokens=30, temperature=0, logit_bias={40: 100.0})
    batch = model.open_batch()
    request_ids = batch.add([ask(word) for word in WORDS], params)
    texts: dict[int, str] = {}
    drain(batch, texts, steps=3)
    batch.remove(request_ids[::2])
    assert len(batch) == 5
    seen = dict(texts)
    drain(batch, texts)
    expected = alone(model, [ask(word) for word in WORDS], params)
    for request_id, text in zip(request_ids, expected, strict=True):
        assert texts[request_id] == (seen[request_id] if request_id in request_ids[::2] else text)
    batch.add([ask("cat")], params)  # an emptied batch can be used again
    drain(batch, texts)


def test_a_prompt_that_does_not_fit_is_refused_and_affects_no_other(model: TinyModel) -> None:
    batch = model.open_batch()
    (request_id,) = batch.add([ask("cat")], PARAMS[0])
    with pytest.raises(PromptTooLong):
        batch.add([ask("dog"), "x y z " * 1000], PARAMS[0])
    with pytest.raises(EngineError, match="logit_bias"):
        batch.add([ask("dog")], SamplingParams(logit_bias={10**6: 1.0}))
    texts: dict[int, str] = {}
    drain(batch, texts)
    assert texts == {request_id: alone(model, [ask("cat")], PARAMS[0])[0]}


def test_an_answer_ends_where_the_context_is_full(model: TinyModel) -> None:
    params = SamplingParams(max_tokens=5000, temperature=0, logit_bias={40: 100.0})
    prompts = ["cat says " * 90, ask("dog")]
    n_tokens = [0, 0]
    for delta in model.generate(prompts, params):
        n_tokens[delta.index] += delta.n_tokens
        assert delta.finish_reason in (None, "length")
    for prompt, n in zip(prompts, n_tokens, strict=True):
        assert model.count_tokens(prompt) + n == model.context_length
