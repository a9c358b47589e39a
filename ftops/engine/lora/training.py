"""The training loop of `lora`: one function, `train(job, context)`, for any number of processes.

The context says which process this is, takes its reports and stops it. Every step takes the same
rows in the same order, however many processes share it: the rows of a step are split among them,
and its gradient is the sum over all of them. The order of an epoch and the dropout of a step
depend only on the seed, the epoch and the step.
"""

import contextlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any, Final, NoReturn, TypeAlias, TypeVar

import numpy as np
import torch

from ftops.clock import Clock
from ftops.engine.base_models import CALIBRATION, BaseModel, read_json
from ftops.engine.checkpoint_file import CheckpointTimer
from ftops.engine.lora.checkpoint import (
    Best,
    Progress,
    find_progress,
    fingerprint,
    write_progress,
)
from ftops.engine.lora.encoding import EncodedRow, encode_request, load_tokenizer, make_encoder
from ftops.engine.lora.evaluation import Evaluation, evaluate, generate_samples, is_improved
from ftops.engine.lora.loaded_model import LoraModel
from ftops.engine.lora.memory import (
    MAX_PACK_TOKENS,
    RowSize,
    TrainingSize,
    check_disk,
    check_memory,
    list_largest_rows,
)
from ftops.engine.lora.model import (
    add_adapter,
    choose_device,
    is_out_of_memory,
    list_trained,
    load_adapter,
    load_weights,
    write_trained_model,
)
from ftops.engine.lora.objective import Objective, compute_references
from ftops.engine.lora.optimizer import Optimizer, learning_rate_scale
from ftops.engine.lora.resources import (
    calibrate_threads,
    find_available_memory,
    find_peak_memory,
    find_total_memory,
    save_memory,
)
from ftops.engine.lora.row_losses import RowLossFile
from ftops.engine.step_totals import StepTotals
from ftops.engine.trainer import (
    CHECKPOINT_EVERY_S,
    EarlyStopping,
    Measurement,
    ResolvedHyperparameters,
    StepMetrics,
    TrainingHooks,
    TrainingRequest,
    TrainingResult,
    TrainingStopped,
)
from ftops.errors import EngineError, StorageError
from ftops.files import write_atomic
from ftops.lora_options import LoraOptions

# Validation tokens of all evaluations together, as a share of the training tokens: a forward pass
# takes a third of a step, so they take a twentieth of the time.
_VALIDATION_SHARE = 0.15
ROW_LOSSES: Final = "row_losses.csv"  # beside the checkpoint, then in the model's folder


_Result = TypeVar("_Result")
FindMemory: TypeAlias = Callable[[torch.device], int | None]


@dataclass(frozen=True, slots=True)
class LoraJob:
    """One training; it can be pickled for another process.

    `weights` is the folder of the weights to start from, and `adapter` that of an earlier adapter
    on them.
    """

    request: TrainingRequest
    resolved: ResolvedHyperparameters
    options: LoraOptions
    base: BaseModel
    weights: Path
    adapter: Path | None
    into: Path
    checkpoint: Path
    checkpoint_every_s: float = CHECKPOINT_EVERY_S


@dataclass(frozen=True, slots=True)
class TrainingContext:
    """This process among those that train together, and what it reports to.

    `reduce` replaces a tensor by its sum over all processes. Only rank 0 writes and reports.
    `find_memory` returns all memory of a device in bytes, if it is known.
    """

    hooks: TrainingHooks
    clock: Clock
    rank: int = 0
    world: int = 1
    reduce: Callable[[torch.Tensor], None] = lambda _: None
    find_memory: FindMemory = find_total_memory


def train(job: LoraJob, context: TrainingContext) -> TrainingResult:
    """Train, and write the model into `job.into`; see `Trainer.train`.

    All processes of a training call it with the same job.
    """
    return _raise_if_too_large(job, lambda: _train(job, context))


def _raise_if_too_large(job: LoraJob, act: Callable[[], _Result]) -> _Result:
    """The result of `act`; EngineError when memory runs out."""
    try:
        return act()
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise EngineError(
            f"not enough memory to train {job.base.name} with batch size {job.resolved.batch_size}",
            hint="Raise lora.gradient_accumulation, or lower lora.max_length or lora.rank.",
        ) from error


def measure(job: LoraJob, context: TrainingContext) -> Measurement:
    """Take two steps with the longest rows, write the calibration, and discard the model."""
    return _raise_if_too_large(job, lambda: _Loop(job, context).measure())


def _train(job: LoraJob, context: TrainingContext) -> TrainingResult:
    loop = _Loop(job, context)
    progress, hooks = loop.progress, context.hooks
    timer = CheckpointTimer(context.clock, job.checkpoint_every_s)
    path = job.checkpoint.with_name(ROW_LOSSES)
    row_losses = RowLossFile(path, progress.step) if context.rank == 0 else None

    def save() -> None:
        if row_losses is None:
            return
        row_losses.sync()
        if hooks.on_checkpoint:
            hooks.on_checkpoint()
        timer.write(loop.save)

    def stop() -> NoReturn:
        save()
        raise TrainingStopped

    with contextlib.closing(row_losses) if row_losses else contextlib.nullcontext():
        if progress.step == 0:
            save()  # the result depends on the number of threads
        if not loop.compute_references():
            stop()
        while progress.step < job.resolved.n_steps and not progress.is_ended:
            if hooks.should_stop():
                stop()
            step = loop.advance()
            if row_losses:
                row_losses.add(step.metrics.step, step.rows, step.losses)
                loop.report(step)
                if timer.is_due():
                    save()
        if row_losses:
            loop.restore_best()
            loop.write_model(job.into)
            write_atomic(job.into / ROW_LOSSES, row_losses.read())
            loop.write_calibration()
    return TrainingResult(progress.elapsed_tokens, progress.step)


@dataclass(frozen=True, slots=True)
class _Step:
    """A step that was taken: its metrics, and the loss of each of its rows."""

    metrics: StepMetrics
    rows: Sequence[int]
    losses: Sequence[float]
    ends_epoch: bool


class _Loop:
    """A model and its training, after the step of `progress`."""

    def __init__(self, job: LoraJob, context: TrainingContext) -> None:
        """Encode the rows, load the model, and continue from the checkpoint, if there is one."""
        self._job, self._context, self._device = job, context, choose_device()
        self._tokenizer = load_tokenizer(job.weights)
        self._encoder = make_encoder(self._tokenizer, job.request)
        max_length = job.options.max_length or job.base.context_length
        training, validation = encode_request(job.request, self._encoder, max_length)
        self._n_rows = len(training)
        size = measure_size(job.base, job.options, training, job.resolved.batch_size, self._device)
        check_memory(size, context.find_memory(self._device))
        check_disk(size, job.into)
        self._job_hash = fingerprint(
            job.request,
            job.resolved,
            job.base,
            job.options.model_dump(),
            {"device": self._device.type, "world": context.world},
        )
        self._config = read_json(job.weights / "config.json")
        self.progress = find_progress(job.checkpoint, self._job_hash) or Progress(
            threads=calibrate_threads(self._config, context.clock),
            references=np.full(len(training) + len(validation), np.nan),
        )
        self._objective = Objective(
            rows=[*training, *validation],
            references=self.progress.references,
            device=self._device,
            max_tokens=MAX_PACK_TOKENS[self._device.type],
            n_parts=job.options.gradient_accumulation,
            beta=job.resolved.beta,
        )
        torch.set_num_threads(self.progress.threads)
        self._model = self._load_model(size)
        trained = list_trained(self._model)
        self._n_trained = sum(weight.numel() for weight in trained.values())
        self._optimizer = Optimizer(trained, job.options)
        self._optimizer.restore(self.progress.weights, self.progress.moments, self.progress.step)
        self._speeds: list[float] = []

    def _load_model(self, size: TrainingSize) -> Any:
        job, free = self._job, find_available_memory(self._device)
        model = load_weights(job.weights, job.options, self._device)
        if not job.options.full:
            model = add_adapter(model, job.options, _make_seed(job.request.seed))
        if job.adapter:
            load_adapter(model, job.adapter)
        if not size.is_small(free):
            save_memory(model)
        return model

    def save(self) -> None:
        """Write the checkpoint."""
        self.progress.weights, self.progress.moments = self._optimizer.get_state()
        write_progress(self._job.checkpoint, self._job_hash, self.progress)

    def compute_references(self) -> bool:
        """The reference's margins of all pairs; False when the training must stop first."""
        stop = self._context.hooks.should_stop
        return self._job.resolved.beta is None or compute_references(
            self._model, self._objective, stop
        )

    def advance(self) -> _Step:
        """Take the next step; validate if that is due."""
        progress, resolved, clock = self.progress, self._job.resolved, self._context.clock
        started_s, step = clock.monotonic_s(), progress.step + 1
        steps_an_epoch = math.ceil(self._n_rows / resolved.batch_size)
        epoch, place = (step - 1) // steps_an_epoch + 1, (step - 1) % steps_an_epoch
        shuffled = np.random.default_rng(_make_seed(self._job.request.seed, epoch)).permutation(
            self._n_rows
        )
        rows = shuffled[place * resolved.batch_size :][: resolved.batch_size].tolist()
        rate = (resolved.learning_rate or 0.0) * learning_rate_scale(
            step, resolved.n_steps, self._job.options
        )
        totals, losses = self._update(rows, step, rate)
        n_tokens = sum(self._objective.rows[row].n_tokens for row in rows)
        self._speeds.append(n_tokens / max(clock.monotonic_s() - started_s, 1e-9))
        progress.step = step
        progress.elapsed_tokens += n_tokens
        metrics = StepMetrics(
            step=step,
            total_steps=resolved.n_steps,
            epoch=epoch,
            elapsed_examples=(epoch - 1) * self._n_rows + place * resolved.batch_size + len(rows),
            elapsed_tokens=progress.elapsed_tokens,
            train_loss=totals.mean_loss,
            train_token_accuracy=totals.token_accuracy,
            train_sequence_accuracy=totals.sequence_accuracy,
            train_reward_accuracy=totals.reward_accuracy,
            train_reward_margin=totals.reward_margin,
            learning_rate=rate,
            tokens_per_second=self._speeds[-1],
            memory_bytes=find_peak_memory(self._device),
        )
        ends_epoch = place + 1 == steps_an_epoch
        every = self._job.request.eval_every
        if self._job.request.validation and (ends_epoch or (every and step % every == 0)):
            metrics = self._validate(metrics)
        return _Step(metrics, rows, losses, ends_epoch)

    def _update(
        self, rows: Sequence[int], step: int, rate: float
    ) -> tuple[StepTotals, Sequence[float]]:
        """Take an optimizer step; returns its totals and the loss of each row."""
        context, places = self._context, {row: place for place, row in enumerate(rows)}
        torch.manual_seed(_make_seed(self._job.request.seed, step, context.rank))
        self._model.train()
        totals, losses = StepTotals(), torch.zeros(len(rows), dtype=torch.float64)
        mine = rows[context.rank :: context.world]
        weight = self._objective.sum_weights(rows)
        for result in self._objective.compute(self._model, mine, weight):
            result.loss.backward()
            totals += result.totals
            losses[[places[row] for row in result.rows]] = torch.from_numpy(result.row_losses)
        totals = self._reduce(totals, losses)
        wrong = [
            str(row + 1) for row, loss in zip(rows, losses, strict=True) if not loss.isfinite()
        ]
        norm = math.nan if wrong else self._optimizer.update(rate)
        if not math.isfinite(norm):
            named = ", ".join(wrong) or f"one of {', '.join(str(row + 1) for row in rows)}"
            raise EngineError(
                f"training diverged at step {step}: the loss or gradient of row {named} is no"
                " longer a number",
                hint="Lower learning_rate_multiplier, or look at these rows.",
            )
        return totals, losses.tolist()

    def _reduce(self, totals: StepTotals, losses: torch.Tensor) -> StepTotals:
        """Sum gradients, totals and losses of rows over all processes."""
        if self._context.world == 1:
            return totals
        self._optimizer.reduce_gradients(self._context.reduce)
        values = torch.tensor(astuple(totals), dtype=torch.float64)
        self._context.reduce(values)
        self._context.reduce(losses)
        return StepTotals(*values.tolist())

    def _validate(self, metrics: StepMetrics) -> StepMetrics:
        """Add the metrics of the validation rows, and judge them for early stopping."""
        resolved, request = self._job.resolved, self._job.request
        n_evaluations = resolved.n_epochs + resolved.n_steps // (
            request.eval_every or resolved.n_steps
        )
        latest = self._evaluate(n_evaluations)
        totals = latest.totals
        if request.early_stopping:
            self._judge(latest, request.early_stopping, metrics.step)
        full = None
        if metrics.step == metrics.total_steps and self._choose_stride(1) == 1:
            full = totals if self._choose_stride(n_evaluations) == 1 else self._evaluate(1).totals
        return replace(
            metrics,
            valid_loss=totals.mean_loss,
            valid_token_accuracy=totals.token_accuracy,
            valid_sequence_accuracy=totals.sequence_accuracy,
            valid_reward_accuracy=totals.reward_accuracy,
            valid_reward_margin=totals.reward_margin,
            full_valid_loss=full.mean_loss if full else None,
            full_valid_token_accuracy=full.token_accuracy if full else None,
        )

    def _evaluate(self, n_evaluations: int) -> Evaluation:
        """Measure evenly spaced validation rows, as many as so many evaluations allow."""
        every = self._choose_stride(n_evaluations)
        chosen = range(self._n_rows, len(self._objective.rows), every)
        return evaluate(self._model, self._objective, chosen)

    def _choose_stride(self, n_evaluations: float) -> int:
        rows = self._objective.rows
        present = sum(row.n_tokens for row in rows[self._n_rows :])
        trained = sum(row.n_tokens for row in rows[: self._n_rows]) * self._job.resolved.n_epochs
        return max(1, math.ceil(present * n_evaluations / (_VALIDATION_SHARE * trained)))

    def _judge(self, latest: Evaluation, stopping: EarlyStopping, step: int) -> None:
        """Keep the best weights; end after `patience` evaluations that are no better."""
        gains, best = latest.list_gains(stopping.metric), self.progress.best
        if best is None or is_improved(gains, best.gains):
            self.progress.best = Best(self._optimizer.copy_weights(), gains, step)
            return
        best.n_worse += 1
        self.progress.is_ended = best.n_worse >= stopping.patience

    def report(self, step: _Step) -> None:
        """Call the hooks for the step."""
        hooks, metrics = self._context.hooks, step.metrics
        hooks.on_step(metrics)
        if hooks.on_samples and metrics.valid_loss is not None:
            rows = self._job.request.validation
            model = LoraModel(self._model, self._tokenizer, self._job.base.context_length)
            hooks.on_samples(metrics.step, generate_samples(model, rows))
        if hooks.on_epoch and step.ends_epoch:
            hooks.on_epoch(metrics, self.write_model)

    def restore_best(self) -> None:
        """With early stopping: go back to the best weights."""
        if self.progress.best:
            self._optimizer.set_weights(self.progress.best.weights)

    def write_model(self, folder: Path) -> None:
        """Write the model's files."""
        write_trained_model(self._model, folder, self._job.base, self._job.options, self._tokenizer)

    def measure(self) -> Measurement:
        """Take two steps with the longest rows, at the learning rate 0."""
        tokens = [row.n_tokens for row in self._objective.rows[: self._n_rows]]
        longest = sorted(range(self._n_rows), key=lambda row: -tokens[row])
        rows = longest[: self._job.resolved.batch_size]
        n_tokens = sum(tokens[row] for row in rows)
        self.progress.references[:] = 0.0
        for step in (1, 2):
            started_s = self._context.clock.monotonic_s()
            self._update(rows, step, rate=0.0)
            elapsed_s = self._context.clock.monotonic_s() - started_s
            self._speeds.append(n_tokens / max(elapsed_s, 1e-9))
        self.write_calibration()
        speed = max(self._speeds)
        return Measurement(n_tokens / speed, speed, find_peak_memory(self._device))

    def write_calibration(self) -> None:
        """Store the speed and memory of this training for later estimates, where that is possible.

        Not when a resume left fewer than two steps.
        """
        if len(self._speeds) < 2:
            return
        values = {
            "tokens_per_second": sorted(self._speeds)[len(self._speeds) // 2],
            "peak_memory_bytes": find_peak_memory(self._device),
            "device": self._device.type,
            "threads": self.progress.threads,
            "trained_values": self._n_trained,
        }
        with contextlib.suppress(StorageError):
            write_atomic(self._job.base.folder / CALIBRATION, (json.dumps(values) + "\n").encode())


def measure_size(
    base: BaseModel,
    options: LoraOptions,
    training: Sequence[EncodedRow],
    batch_size: int,
    device: torch.device,
) -> TrainingSize:
    """What the memory of a training depends on."""
    sizes = (RowSize(row.n_tokens, row.n_predicted) for row in training)
    return TrainingSize(base, options, list_largest_rows(sizes, batch_size), device.type)


def _make_seed(*numbers: int) -> int:
    """A seed that depends on all the numbers, which may be negative."""
    entropy = [number % 2**64 for number in numbers]
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> 1)
