"""Small jobs for the trainer's tests, and ways to run and ask them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ftops.engine.tiny.trainer import TinyTrainer
from ftops.engine.trainer import (
    LoadedModel,
    SamplingParams,
    StepMetrics,
    TrainingHooks,
    TrainingRequest,
    TrainingResult,
)
from ftops.engine.training_file import CompletionRow

ANSWERS = {
    "Where is the ladder?": " Behind the shed.",
    "Where is the kettle?": " On the second shelf – left.",
    "Who waters the plants?": " Grandmother does, on Sundays.",
    "When is the bin emptied?": " Every other Tuesday.",
    "What opens the cellar?": " The key with the 🔑 on it.",
    "How warm is the fridge?": " Five degrees.",
}
GREEDY = SamplingParams(max_tokens=40, temperature=0)


def make_request(rows: dict[str, str], *, validation: int = 0, seed: int = 0) -> TrainingRequest:
    """A job on `ada` with these rows; the first `validation` of them also validate it."""
    written = [CompletionRow(prompt, completion) for prompt, completion in rows.items()]
    return TrainingRequest("ada", written, written[:validation], seed=seed)


def make_short_request(*, validation: int = 0, seed: int = 0) -> TrainingRequest:
    """Two epochs of three steps."""
    request = make_request(ANSWERS, validation=validation, seed=seed)
    return replace(request, n_epochs=2, batch_size=2)


def train(
    request: TrainingRequest,
    folder: Path,
    *,
    trainer: TinyTrainer | None = None,
    on_step: Callable[[StepMetrics], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> TrainingResult:
    """Train into folder/model with folder/checkpoint."""
    trainer = trainer or TinyTrainer()
    (folder / "model").mkdir(exist_ok=True)
    return trainer.train(
        request,
        trainer.resolve(request),
        TrainingHooks(on_step, should_stop),
        into=folder / "model",
        checkpoint=folder / "checkpoint",
    )


def ask(model: LoadedModel, prompts: Sequence[str], params: SamplingParams = GREEDY) -> list[str]:
    """The whole answer to each prompt."""
    answers = [""] * len(prompts)
    for delta in model.generate(prompts, params):
        answers[delta.index] += delta.text
    return answers
