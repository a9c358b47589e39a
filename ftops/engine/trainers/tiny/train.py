"""The training loop: one optimizer step after the other, from the seed or from a checkpoint."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ftops.engine.trainers.protocol import (
    OnEpoch,
    Resolved,
    StepMetrics,
    TrainingRequest,
    TrainingStopped,
)
from ftops.engine.trainers.tiny.adamw import Moments, Update, clip_factor, update_weights
from ftops.engine.trainers.tiny.batches import Example, order_epoch
from ftops.engine.trainers.tiny.checkpoint import Cadence, Progress, find_checkpoint, fingerprint
from ftops.engine.trainers.tiny.encode import encode_examples
from ftops.engine.trainers.tiny.gradients import Dropout, compute_gradients, keep_heap, measure
from ftops.engine.trainers.tiny.loss import Tally
from ftops.engine.trainers.tiny.parameters import Parameters, init_parameters
from ftops.engine.trainers.tiny.schedule import learning_rate_share
from ftops.engine.trainers.tiny.sizes import SIZES, Shape
from ftops.engine.trainers.tiny.tokenizer import Tokenizer
from ftops.engine.trainers.tiny.vocabulary import plan_job, train_tokenizer
from ftops.engine.trainers.tiny.weights import SavedModel, read_model, write_model
from ftops.errors import EngineError

_LONGEST_GRADIENT = 1.0
_WEIGHT_DECAY = 0.5
# Validation tokens as a share of the training tokens, once for all epoch ends together and once
# for the last. A forward pass costs a third of a step: both together take a tenth of the time.
_VALIDATION_SHARE = 0.15


@dataclass(frozen=True, slots=True)
class Hooks:
    """Whom the loop tells, whom it asks, and where it leaves its checkpoint."""

    on_step: Callable[[StepMetrics], None]
    should_stop: Callable[[], bool]
    checkpoint: Path
    cadence: Cadence
    on_epoch: OnEpoch | None = None
    on_checkpoint: Callable[[], None] | None = None


def run_training(
    request: TrainingRequest, resolved: Resolved, hooks: Hooks
) -> tuple[SavedModel, Progress]:
    """Train to the end; TrainingStopped, with the checkpoint written, when told to stop."""
    keep_heap()
    job = fingerprint(request, resolved)
    size, progress = _start(request, job, hooks.checkpoint)
    tokenizer = Tokenizer.from_json(progress.tokenizer_json)
    shape = Shape(SIZES[size].n_layers, SIZES[size].width, tokenizer.vocab_size)
    loop = _Loop(
        parameters=Parameters(shape, progress.weights),
        gradients=Parameters.zeros(shape),
        training=encode_examples(request.training, tokenizer),
        validation=encode_examples(request.validation, tokenizer),
        peak_learning_rate=SIZES[size].peak_learning_rate * resolved.learning_rate_multiplier,
        token_dropout=plan_job(request.training).token_dropout,
        seed=_positive(request.seed),
        resolved=resolved,
        progress=progress,
    )
    while progress.step < resolved.n_steps:
        if hooks.should_stop():
            _write_checkpoint(hooks, job, progress)
            raise TrainingStopped
        metrics = loop.advance()
        hooks.on_step(metrics)
        if hooks.on_epoch and metrics.step * resolved.n_epochs % resolved.n_steps == 0:
            model = SavedModel(size, tokenizer, loop.parameters)
            hooks.on_epoch(metrics, partial(write_model, model=model))
        if hooks.cadence.is_due():
            _write_checkpoint(hooks, job, progress)
    return SavedModel(size, tokenizer, loop.parameters), progress


def _write_checkpoint(hooks: Hooks, job: str, progress: Progress) -> None:
    if hooks.on_checkpoint:
        hooks.on_checkpoint()
    hooks.cadence.write(hooks.checkpoint, job, progress)


def _start(request: TrainingRequest, job: str, checkpoint: Path) -> tuple[str, Progress]:
    """The size and the progress to go on from: checkpoint, earlier model, or nothing yet."""
    earlier = None if request.base in SIZES else read_model(Path(request.base))
    size = earlier.size if earlier else request.base
    progress = find_checkpoint(checkpoint, job)
    if progress:
        return size, progress
    if earlier:
        tokenizer, parameters = earlier.tokenizer, earlier.parameters
    else:
        tokenizer = train_tokenizer(request.training)
        shape = Shape(SIZES[size].n_layers, SIZES[size].width, tokenizer.vocab_size)
        parameters = init_parameters(shape, _positive(request.seed))
    flat = parameters.flat
    return size, Progress(tokenizer.to_json(), flat, Moments.zeros(flat))


def _positive(seed: int) -> int:
    """NumPy takes no negative seeds."""
    return seed % 2**64


@dataclass(slots=True)
class _Loop:
    """One training: what stays the same, and its progress."""

    parameters: Parameters
    gradients: Parameters
    training: list[Example]
    validation: list[Example]
    peak_learning_rate: float
    token_dropout: float
    seed: int
    resolved: Resolved
    progress: Progress

    def advance(self) -> StepMetrics:
        """Take the next step; validate when it ends an epoch."""
        n_rows, batch_size = len(self.training), self.resolved.batch_size
        steps_an_epoch = math.ceil(n_rows / batch_size)
        step = self.progress.step + 1
        epoch, place = (step - 1) // steps_an_epoch + 1, (step - 1) % steps_an_epoch
        rows = order_epoch(n_rows, self.seed, epoch)[place * batch_size :][:batch_size]
        batch = [self.training[row] for row in rows]
        tally = self._update(batch, step)
        self.progress.step = step
        self.progress.elapsed_tokens += sum(example.n_tokens for example in batch)
        due = place + 1 == steps_an_epoch and self.validation
        valid = self._validate(last=step == self.resolved.n_steps) if due else None
        return StepMetrics(
            step=step,
            total_steps=self.resolved.n_steps,
            epoch=epoch,
            elapsed_examples=(epoch - 1) * n_rows + place * batch_size + len(batch),
            elapsed_tokens=self.progress.elapsed_tokens,
            train_loss=tally.mean_loss,
            train_token_accuracy=tally.token_accuracy,
            train_sequence_accuracy=tally.sequence_accuracy,
            valid_loss=valid.mean_loss if valid else None,
            valid_token_accuracy=valid.token_accuracy if valid else None,
            valid_sequence_accuracy=valid.sequence_accuracy if valid else None,
        )

    def _update(self, batch: Sequence[Example], step: int) -> Tally:
        dropout = Dropout(self.token_dropout, np.random.default_rng([self.seed, 2, step]))
        with np.errstate(over="ignore", invalid="ignore"):  # a divergence is reported, not warned
            tally = compute_gradients(self.parameters, self.gradients, batch, dropout)
            if not math.isfinite(tally.loss):
                raise EngineError(
                    f"training diverged at step {step}: the loss is no longer a number",
                    hint="Lower learning_rate_multiplier.",
                )
            update = self._plan_update(step)
            flat, gradient = self.parameters.flat, self.gradients.flat
            update_weights(flat, gradient, self.progress.moments, update)
        return tally

    def _plan_update(self, step: int) -> Update:
        share = learning_rate_share(step, self.resolved.n_steps)
        return Update(
            step=step,
            learning_rate=self.peak_learning_rate * share,
            weight_decay=_WEIGHT_DECAY,
            gradient_factor=clip_factor(self.gradients.flat, _LONGEST_GRADIENT),
        )

    def _validate(self, *, last: bool) -> Tally:
        """The tally of evenly spaced validation rows, as many as the time allows."""
        allowed = _VALIDATION_SHARE * sum(example.n_tokens for example in self.training)
        if last:
            allowed *= self.resolved.n_epochs
        present = sum(example.n_tokens for example in self.validation)
        return measure(self.parameters, self.validation[:: max(1, math.ceil(present / allowed))])
