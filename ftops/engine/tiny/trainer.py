"""The trainer `tiny` as the engine sees it.

It learns the format and the labels of the data it is given, starting from random weights; it
knows no English. NumPy should run on one thread: the process that trains sets
OPENBLAS_NUM_THREADS=1 before NumPy is imported. Two threads pay only on an idle machine, and on a
busy one they cost many times what they save; the sums, and so the last bits of the weights, also
depend on their number.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ftops.clock import Clock, SystemClock
from ftops.engine.tiny.auto_hyperparameters import resolve_hyperparameters
from ftops.engine.tiny.batch import shuffle_epoch
from ftops.engine.tiny.checkpoint import (
    CheckpointTimer,
    SavedModel,
    TrainingProgress,
    find_checkpoint,
    fingerprint,
    read_model,
    write_model,
)
from ftops.engine.tiny.config import PARAMETER_COUNTS, SIZES, ModelShape
from ftops.engine.tiny.generation import TinyModel
from ftops.engine.tiny.loss import Dropout, StepTotals, tune_malloc
from ftops.engine.tiny.objective import Objective, make_objective
from ftops.engine.tiny.optimizer import (
    AdamMoments,
    AdamStep,
    gradient_scale,
    learning_rate_scale,
    update_weights,
)
from ftops.engine.tiny.parameters import Indices, Parameters, init_parameters
from ftops.engine.tiny.tokenizer import Tokenizer, train_tokenizer
from ftops.engine.trainer import (
    CHECKPOINT_EVERY_S,
    OnEpoch,
    ResolvedHyperparameters,
    StepMetrics,
    TrainingRequest,
    TrainingResult,
    TrainingStopped,
    list_documents,
)
from ftops.errors import EngineError

_LONGEST_GRADIENT = 1.0
# Validation tokens as a share of the training tokens, once for all epoch ends together and once
# for the last. A forward pass costs a third of a step: both together take a tenth of the time.
_VALIDATION_SHARE = 0.15


@dataclass(frozen=True, slots=True)
class TrainingHooks:
    """Whom the loop tells, whom it asks, and where it leaves its checkpoint."""

    on_step: Callable[[StepMetrics], None]
    should_stop: Callable[[], bool]
    checkpoint: Path
    timer: CheckpointTimer
    on_epoch: OnEpoch | None = None
    on_checkpoint: Callable[[], None] | None = None


def run_training(
    request: TrainingRequest, resolved: ResolvedHyperparameters, hooks: TrainingHooks
) -> tuple[SavedModel, TrainingProgress]:
    """Train to the end; TrainingStopped, with the checkpoint written, when told to stop."""
    tune_malloc()
    job = fingerprint(request, resolved)
    size, progress = _start(request, job, hooks.checkpoint)
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
    while progress.step < resolved.n_steps:
        if hooks.should_stop():
            _write_checkpoint(hooks, job, progress)
            raise TrainingStopped
        metrics = loop.advance()
        hooks.on_step(metrics)
        if hooks.on_epoch and metrics.step * resolved.n_epochs % resolved.n_steps == 0:
            hooks.on_epoch(metrics, partial(write_model, model=model))
        if hooks.timer.is_due():
            _write_checkpoint(hooks, job, progress)
    return model, progress


def _write_checkpoint(hooks: TrainingHooks, job: str, progress: TrainingProgress) -> None:
    if hooks.on_checkpoint:
        hooks.on_checkpoint()
    hooks.timer.write(hooks.checkpoint, job, progress)


def _start(request: TrainingRequest, job: str, checkpoint: Path) -> tuple[str, TrainingProgress]:
    """The size and the progress to go on from: checkpoint, earlier model, or nothing yet."""
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
    """NumPy takes no negative seeds."""
    return seed % 2**64


@dataclass(slots=True)
class _Loop:
    """One training: what stays the same, and its progress."""

    parameters: Parameters
    gradients: Parameters
    objective: Objective
    peak_learning_rate: float
    seed: int
    resolved: ResolvedHyperparameters
    progress: TrainingProgress

    def advance(self) -> StepMetrics:
        """Take the next step; validate when it ends an epoch."""
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
        share = learning_rate_scale(step, self.resolved.n_steps)
        return AdamStep(
            step=step,
            learning_rate=self.peak_learning_rate * share,
            weight_decay=self.objective.weight_decay,
            gradient_factor=gradient_scale(self.gradients.flat, _LONGEST_GRADIENT),
        )

    def _validate(self, n_epochs: int) -> StepTotals:
        """The tally of evenly spaced validation rows, as many as so many epochs allow."""
        return self.objective.measure(self.parameters, self._find_stride(n_epochs))

    def _validate_all(self, known: StepTotals) -> StepTotals | None:
        """The tally of all validation rows; None where they are too many for the whole training."""
        if self._find_stride(1) == 1:
            return known
        if self._find_stride(self.resolved.n_epochs) > 1:
            return None
        return self._validate(self.resolved.n_epochs)

    def _find_stride(self, n_epochs: int) -> int:
        """How far apart the validation rows lie that are measured; 1: all of them are."""
        allowed = _VALIDATION_SHARE * sum(row.n_tokens for row in self.objective.training)
        present = sum(row.n_tokens for row in self.objective.validation)
        return max(1, math.ceil(present / (allowed * n_epochs)))


class TinyTrainer:
    """Trains and loads small transformers; `clock` paces the checkpoints, nothing else."""

    bases = PARAMETER_COUNTS

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    def resolve(self, request: TrainingRequest) -> ResolvedHyperparameters:
        """Turn "auto" into figures."""
        return resolve_hyperparameters(request)

    def train(
        self,
        request: TrainingRequest,
        resolved: ResolvedHyperparameters,
        *,
        into: Path,
        checkpoint: Path,
        on_step: Callable[[StepMetrics], None],
        should_stop: Callable[[], bool],
        on_epoch: OnEpoch | None = None,
        on_checkpoint: Callable[[], None] | None = None,
        checkpoint_every_s: float = CHECKPOINT_EVERY_S,
    ) -> TrainingResult:
        """Train, and leave the model in `into`; goes on from `checkpoint` when that exists.

        After a resume `on_step` is called again for steps behind the checkpoint, with the same
        figures. Rows of more than 1,024 tokens lose the beginning of their prompt.
        """
        timer = CheckpointTimer(self._clock, checkpoint_every_s)
        hooks = TrainingHooks(on_step, should_stop, checkpoint, timer, on_epoch, on_checkpoint)
        model, progress = run_training(request, resolved, hooks)
        write_model(into, model)
        return TrainingResult(progress.elapsed_tokens, progress.step)

    def load(self, folder: Path) -> TinyModel:
        """Read a model that `train` left; EngineError when it is damaged."""
        saved = read_model(folder)
        return TinyModel(saved.tokenizer, saved.parameters)
