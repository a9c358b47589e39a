"""The trainer `tiny`: the training loop, from the seed or from a checkpoint.

A model learns the format and the labels of its training data from random weights; it has no
knowledge of a language. NumPy should run on one thread: a worker sets OPENBLAS_NUM_THREADS=1 before
NumPy is imported. Two threads are faster on an idle machine only, and many times slower on a busy
one; the order of sums, and so the last bits of the weights, also depend on their number.
"""

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ftops.clock import Clock, SystemClock
from ftops.engine.checkpoint_file import CheckpointTimer
from ftops.engine.step_totals import StepTotals
from ftops.engine.tiny.auto_hyperparameters import resolve_hyperparameters
from ftops.engine.tiny.batch import shuffle_epoch
from ftops.engine.tiny.checkpoint import (
    SavedModel,
    TrainingProgress,
    find_checkpoint,
    fingerprint,
    read_model,
    write_checkpoint,
    write_model,
)
from ftops.engine.tiny.config import PARAMETER_COUNTS, SIZES, ModelShape
from ftops.engine.tiny.document import RenderedRequest, list_documents, render_request, render_rows
from ftops.engine.tiny.generation import TinyModel
from ftops.engine.tiny.loss import Dropout, tune_malloc
from ftops.engine.tiny.objective import Objective, make_objective
from ftops.engine.tiny.optimizer import (
    AdamMoments,
    AdamStep,
    gradient_scale,
    learning_rate_scale,
    update_weights,
)
from ftops.engine.tiny.parameters import Indices, Parameters, init_parameters
from ftops.engine.tiny.tokenizer import Tokenizer, estimate_tokens, train_tokenizer
from ftops.engine.trainer import (
    CHECKPOINT_EVERY_S,
    ResolvedHyperparameters,
    StepMetrics,
    TokenEstimate,
    TrainingHooks,
    TrainingRequest,
    TrainingResult,
    TrainingStopped,
    check_request,
)
from ftops.errors import EngineError

_MAX_GRADIENT_NORM = 1.0
# Validation tokens as a share of the training tokens: one share for all ends of epochs together,
# one for the last. A forward pass takes a third of a step, so both take a tenth of the time.
_VALIDATION_SHARE = 0.15


def run_training(
    request: RenderedRequest,
    resolved: ResolvedHyperparameters,
    hooks: TrainingHooks,
    checkpoint: Path,
    timer: CheckpointTimer,
) -> tuple[SavedModel, TrainingProgress]:
    """Train to the end, or write a checkpoint and raise TrainingStopped."""
    tune_malloc()
    job = fingerprint(request, resolved)
    size, progress = _start(request, job, checkpoint)
    tokenizer = Tokenizer.from_json(progress.tokenizer_json)
    shape = ModelShape(SIZES[size].n_layers, SIZES[size].width, tokenizer.vocab_size)
    model = SavedModel(size, tokenizer, Parameters(shape, progress.weights))
    loop = _Loop(
        parameters=model.parameters,
        gradients=Parameters.zeros(shape),
        objective=make_objective(request, resolved, model, progress, hooks.should_stop),
        peak_learning_rate=SIZES[size].peak_learning_rate * resolved.learning_rate_multiplier,
        seed=_positive(request.seed),
        resolved=resolved,
        progress=progress,
    )

    def save() -> None:
        if hooks.on_checkpoint:
            hooks.on_checkpoint()
        timer.write(partial(write_checkpoint, checkpoint, job, progress))

    while progress.step < resolved.n_steps:
        if hooks.should_stop():
            save()
            raise TrainingStopped
        metrics = loop.advance()
        hooks.on_step(metrics)
        if hooks.on_epoch and metrics.step * resolved.n_epochs % resolved.n_steps == 0:
            hooks.on_epoch(metrics, partial(write_model, model=model))
        if timer.is_due():
            save()
    return model, progress


def _start(request: RenderedRequest, job: str, checkpoint: Path) -> tuple[str, TrainingProgress]:
    """The size, and the start: from a checkpoint, an earlier model or random weights."""
    earlier = None if request.base in SIZES else read_model(Path(request.base))
    size = earlier.size if earlier else request.base
    progress = find_checkpoint(checkpoint, job)
    if progress:
        return size, progress
    if earlier:
        tokenizer, parameters = earlier.tokenizer, earlier.parameters
    else:
        tokenizer = train_tokenizer(list_documents(request.training))
        shape = ModelShape(SIZES[size].n_layers, SIZES[size].width, tokenizer.vocab_size)
        parameters = init_parameters(shape, _positive(request.seed))
    flat = parameters.flat
    return size, TrainingProgress(tokenizer.to_json(), flat, AdamMoments.zeros(flat))


def _positive(seed: int) -> int:
    """NumPy has no negative seeds."""
    return seed % 2**64


@dataclass(slots=True)
class _Loop:
    """One training and its progress."""

    parameters: Parameters
    gradients: Parameters
    objective: Objective
    peak_learning_rate: float
    seed: int
    resolved: ResolvedHyperparameters
    progress: TrainingProgress

    def advance(self) -> StepMetrics:
        """Take the next step; validate at the end of an epoch."""
        n_rows, batch_size = len(self.objective.training), self.resolved.batch_size
        steps_an_epoch = math.ceil(n_rows / batch_size)
        step = self.progress.step + 1
        epoch, place = (step - 1) // steps_an_epoch + 1, (step - 1) % steps_an_epoch
        rows = shuffle_epoch(n_rows, self.seed, epoch)[place * batch_size :][:batch_size]
        totals = self._update(rows, step)
        self.progress.step = step
        self.progress.elapsed_tokens += sum(self.objective.training[row].n_tokens for row in rows)
        due = place + 1 == steps_an_epoch and self.objective.validation
        valid = self._validate(1) if due else None
        full = self._validate_all(valid) if valid and step == self.resolved.n_steps else None
        return StepMetrics(
            step=step,
            total_steps=self.resolved.n_steps,
            epoch=epoch,
            elapsed_examples=(epoch - 1) * n_rows + place * batch_size + len(rows),
            elapsed_tokens=self.progress.elapsed_tokens,
            train_loss=totals.mean_loss,
            train_token_accuracy=totals.token_accuracy,
            train_sequence_accuracy=totals.sequence_accuracy,
            valid_loss=valid.mean_loss if valid else None,
            valid_token_accuracy=valid.token_accuracy if valid else None,
            valid_sequence_accuracy=valid.sequence_accuracy if valid else None,
            train_reward_accuracy=totals.reward_accuracy,
            train_reward_margin=totals.reward_margin,
            valid_reward_accuracy=valid.reward_accuracy if valid else None,
            valid_reward_margin=valid.reward_margin if valid else None,
            full_valid_loss=full.mean_loss if full else None,
            full_valid_token_accuracy=full.token_accuracy if full else None,
        )

    def _update(self, rows: Indices, step: int) -> StepTotals:
        dropout = Dropout(self.objective.token_dropout, np.random.default_rng([self.seed, 2, step]))
        with np.errstate(over="ignore", invalid="ignore"):  # a divergence is reported, not warned
            totals = self.objective.compute_gradients(
                self.parameters, self.gradients, rows, dropout
            )
            if not math.isfinite(totals.loss):
                raise EngineError(
                    f"training diverged at step {step}: the loss is no longer a number",
                    hint="Lower learning_rate_multiplier.",
                )
            update = self._plan_update(step)
            flat, gradient = self.parameters.flat, self.gradients.flat
            update_weights(flat, gradient, self.progress.moments, update)
        return totals

    def _plan_update(self, step: int) -> AdamStep:
        scale = learning_rate_scale(step, self.resolved.n_steps)
        return AdamStep(
            step=step,
            learning_rate=self.peak_learning_rate * scale,
            weight_decay=self.objective.weight_decay,
            gradient_factor=gradient_scale(self.gradients.flat, _MAX_GRADIENT_NORM),
        )

    def _validate(self, n_epochs: int) -> StepTotals:
        """The totals of evenly spaced validation rows, as many as `n_epochs` allow."""
        return self.objective.measure(self.parameters, self._choose_stride(n_epochs))

    def _validate_all(self, latest: StepTotals) -> StepTotals | None:
        """The totals of all validation rows; None when they take too long."""
        if self._choose_stride(1) == 1:
            return latest
        if self._choose_stride(self.resolved.n_epochs) > 1:
            return None
        return self._validate(self.resolved.n_epochs)

    def _choose_stride(self, n_epochs: int) -> int:
        """The stride n: every nth validation row is used."""
        allowed = _VALIDATION_SHARE * sum(row.n_tokens for row in self.objective.training)
        present = sum(row.n_tokens for row in self.objective.validation)
        return max(1, math.ceil(present / (allowed * n_epochs)))


class TinyTrainer:
    """Trains and loads small transformers; `clock` only times the checkpoints."""

    bases = PARAMETER_COUNTS

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    def resolve(self, request: TrainingRequest) -> ResolvedHyperparameters:
        """Choose values for "auto"."""
        check_request(request)
        return resolve_hyperparameters(render_request(request))

    def estimate(
        self,
        request: TrainingRequest,
        resolved: ResolvedHyperparameters,  # noqa: ARG002  (of the interface)
    ) -> TokenEstimate:
        """Train the tokenizer on the rows and count; the same as in a training."""
        return estimate_tokens(render_rows(request.training))

    def train(
        self,
        request: TrainingRequest,
        resolved: ResolvedHyperparameters,
        hooks: TrainingHooks,
        *,
        into: Path,
        checkpoint: Path,
        checkpoint_every_s: float = CHECKPOINT_EVERY_S,
    ) -> TrainingResult:
        """See `Trainer.train`.

        After a resume `hooks.on_step` is called again for the steps after the checkpoint, with the
        same metrics. Rows of more than 1,024 tokens lose the beginning of their prompt.
        """
        timer = CheckpointTimer(self._clock, checkpoint_every_s)
        model, progress = run_training(render_request(request), resolved, hooks, checkpoint, timer)
        write_model(into, model)
        return TrainingResult(progress.elapsed_tokens, progress.step)

    def load(self, folder: Path) -> TinyModel:
        """Load a model that `train` wrote; EngineError when it is damaged."""
        saved = read_model(folder)
        return TinyModel(saved.tokenizer, saved.parameters)
