"""Evaluations during a training: validation, early stopping with a noise band, and samples."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ftops.engine.lora.loaded_model import LoraModel
from ftops.engine.lora.objective import Objective
from ftops.engine.step_totals import StepTotals
from ftops.engine.trainer import Sample, get_prompt
from ftops.engine.training_file import TrainingRow, get_answer_text
from ftops.errors import EngineError

# The metrics for early stopping: whether more is better.
EARLY_STOPPING_METRICS = {"valid_loss": False, "valid_mean_token_accuracy": True}
_SAMPLES = 2
_SAMPLE_TOKENS = 48


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """The totals of validation rows, and the loss and accuracy of each."""

    totals: StepTotals
    losses: NDArray[np.float64]
    accuracies: NDArray[np.float64]

    def list_gains(self, metric: str) -> NDArray[np.float64]:
        """The metric of each row, with its sign changed if less is better."""
        return self.accuracies if EARLY_STOPPING_METRICS[metric] else -self.losses


def check_metric(metric: str) -> None:
    """EngineError when early stopping cannot use the metric."""
    if metric not in EARLY_STOPPING_METRICS:
        raise EngineError(
            f"early_stopping.metric is {metric!r}",
            hint=f"Use one of {', '.join(EARLY_STOPPING_METRICS)}.",
        )


def evaluate(model: Any, objective: Objective, chosen: Sequence[int]) -> Evaluation:
    """Measure the chosen rows, without dropout."""
    model.eval()
    totals = StepTotals()
    losses, accuracies = np.zeros((2, len(objective.rows)))
    with torch.no_grad():
        for result in objective.compute(model, chosen, total_weight=1.0):
            totals += result.totals
            losses[result.rows] = result.row_losses
            accuracies[result.rows] = result.row_accuracies
    return Evaluation(totals, losses[chosen], accuracies[chosen])


def is_improved(gains: NDArray[np.float64], best: NDArray[np.float64]) -> bool:
    """Whether the mean gain is higher than the best one by more than chance explains.

    The noise band is the standard error of the mean of the rows' differences: the same rows are
    measured each time, so what is hard about a row cancels out.
    """
    differences = gains - best
    if len(differences) < 2:
        return bool(differences.mean() > 0)
    band = differences.std(ddof=1) / math.sqrt(len(differences))
    return bool(differences.mean() > band)


def generate_samples(model: LoraModel, rows: Sequence[TrainingRow]) -> list[Sample]:
    """What the model answers to a few of the rows, by greedy decoding."""
    samples = []
    for row in rows[:: max(1, len(rows) // _SAMPLES)][:_SAMPLES]:
        tokens = model.encode_prompt(get_prompt(row))
        answer, _, _ = model.complete(tokens, _SAMPLE_TOKENS)
        samples.append(Sample(model.decode(tokens), get_answer_text(row), answer))
    return samples
