"""The trainer `tiny` as the engine sees it.

It learns the format and the labels of the data it is given, starting from random weights; it
knows no English. NumPy should run on one thread: the process that trains sets
OPENBLAS_NUM_THREADS=1 before NumPy is imported. Two threads pay only on an idle machine, and on a
busy one they cost many times what they save; the sums, and so the last bits of the weights, also
depend on their number.
"""

from collections.abc import Callable
from pathlib import Path

from ftops.clock import Clock, SystemClock
from ftops.engine.trainers.protocol import (
    CHECKPOINT_EVERY_S,
    OnEpoch,
    Resolved,
    StepMetrics,
    TrainingRequest,
    TrainingResult,
)
from ftops.engine.trainers.tiny.auto import resolve_figures
from ftops.engine.trainers.tiny.checkpoint import Cadence
from ftops.engine.trainers.tiny.generate import TinyModel
from ftops.engine.trainers.tiny.sizes import PARAMETERS
from ftops.engine.trainers.tiny.train import Hooks, run_training
from ftops.engine.trainers.tiny.weights import read_model, write_model


class TinyTrainer:
    """Trains and loads small transformers; `clock` paces the checkpoints, nothing else."""

    bases = PARAMETERS

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    def resolve(self, request: TrainingRequest) -> Resolved:
        """Turn "auto" into figures."""
        return resolve_figures(request)

    def train(
        self,
        request: TrainingRequest,
        resolved: Resolved,
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
        cadence = Cadence(self._clock, checkpoint_every_s)
        hooks = Hooks(on_step, should_stop, checkpoint, cadence, on_epoch, on_checkpoint)
        model, progress = run_training(request, resolved, hooks)
        write_model(into, model)
        return TrainingResult(progress.elapsed_tokens, progress.step)

    def load(self, folder: Path) -> TinyModel:
        """Read a model that `train` left; EngineError when it is damaged."""
        saved = read_model(folder)
        return TinyModel(saved.tokenizer, saved.parameters)
