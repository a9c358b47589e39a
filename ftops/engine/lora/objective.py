"""The losses of a step, and the metrics of rows: supervised fine-tuning and DPO.

A step is split into packs whose gradients add up to that of the step's mean: over all trained
tokens, or over all pairs. So neither the number of packs nor that of processes changes the result,
but for rounding.

Direct preference optimization (Rafailov et al. 2023, arXiv 2305.18290) compares the model with the
one that the training starts from. Of that reference only one number for each pair is needed, so
all of them are computed before the first step.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy, logsigmoid

from ftops.engine.lora.encoding import EncodedRow
from ftops.engine.lora.packing import Pack, forward, make_pack, split_rows
from ftops.engine.step_totals import StepTotals


@dataclass(frozen=True, slots=True, eq=False)
class PackResult:
    """The result of one pack: its part of the step's loss, its totals, and the loss of each row.

    `rows` are the indices of its rows; a row's loss is in nats per trained token, or per pair, and
    its accuracy is the share of the tokens of its (preferred) answer that are most likely.
    """

    loss: torch.Tensor
    totals: StepTotals
    rows: Sequence[int]
    row_losses: NDArray[np.float64]
    row_accuracies: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Objective:
    """The loss of rows; of pairs when there is a `beta`.

    `references` [rows] is log p(preferred) - log p(other) of the reference model for pairs.
    """

    rows: Sequence[EncodedRow]
    references: NDArray[np.float64]
    device: torch.device
    max_tokens: int  # of a pack
    n_parts: int = 1  # the least number of packs in a step
    beta: float | None = None

    def sum_weights(self, chosen: Sequence[int]) -> float:
        """What the loss of a step is divided by: trained tokens by weight, or pairs."""
        if self.beta is not None:
            return len(chosen)
        return float(sum(self.rows[n].documents[0].weights.sum(dtype=np.float64) for n in chosen))

    def compute(
        self, model: Any, chosen: Sequence[int], total_weight: float
    ) -> Iterator[PackResult]:
        """The results of the packs of these rows, one after the other."""
        for rows, pack in self.split(chosen):
            compute = self._compute_pairs if self.beta is not None else self._compute_documents
            yield compute(model, rows, pack, total_weight)

    def split(self, chosen: Sequence[int]) -> Iterator[tuple[list[int], Pack]]:
        """The packs of these rows; a pair is in one pack, the preferred answer first."""
        ordered = sorted(chosen, key=lambda n: (self.rows[n].n_tokens, n))
        sizes = [self.rows[n].n_tokens for n in ordered]
        for places in split_rows(sizes, n_parts=self.n_parts, max_tokens=self.max_tokens):
            rows = [ordered[place] for place in places]
            documents = [document for n in rows for document in self.rows[n].documents]
            yield rows, make_pack(documents, self.device)

    def _compute_documents(
        self, model: Any, rows: Sequence[int], pack: Pack, total_weight: float
    ) -> PackResult:
        log_probabilities, is_correct = predict(model, pack)
        loss = -(log_probabilities * pack.weights).sum()
        is_answer = (pack.weights == 1).cpu().numpy()
        owners = pack.documents.cpu().numpy()[is_answer]
        nats = -log_probabilities.detach().double().cpu().numpy()[is_answer]
        counts = np.bincount(owners, minlength=len(rows))
        correct = np.bincount(owners, is_correct[is_answer], minlength=len(rows))
        totals = StepTotals(
            loss=loss.item(),
            weight=float(pack.weights.sum(dtype=torch.float64)),
            tokens=int(counts.sum()),
            correct_tokens=int(correct.sum()),
            sequences=len(rows),
            correct_sequences=int((correct == counts).sum()),
        )
        counts = np.maximum(counts, 1)
        row_losses = np.bincount(owners, nats, minlength=len(rows)) / counts
        return PackResult(loss / total_weight, totals, rows, row_losses, correct / counts)

    def _compute_pairs(
        self, model: Any, rows: Sequence[int], pack: Pack, total_weight: float
    ) -> PackResult:
        assert self.beta is not None
        log_probabilities, is_correct = predict(model, pack)
        references = torch.from_numpy(self.references[list(rows)]).to(self.device)
        margins = self.beta * (sum_margins(log_probabilities, pack) - references)
        losses = -logsigmoid(margins)
        is_preferred = pack.documents.cpu().numpy() % 2 == 0
        owners = pack.documents.cpu().numpy()[is_preferred] // 2
        counts = np.bincount(owners, minlength=len(rows))
        correct = np.bincount(owners, is_correct[is_preferred], minlength=len(rows))
        found = margins.detach().cpu().numpy()
        row_losses = losses.detach().cpu().numpy()
        totals = StepTotals(
            loss=float(row_losses.sum()),
            weight=len(rows),
            tokens=int(counts.sum()),
            correct_tokens=int(correct.sum()),
            sequences=len(rows),
            correct_sequences=int((correct == counts).sum()),
            pairs=len(rows),
            won_pairs=int((found > 0).sum()),
            margin=float(found.sum()),
        )
        return PackResult(losses.sum() / total_weight, totals, rows, row_losses, correct / counts)


def predict(model: Any, pack: Pack) -> tuple[torch.Tensor, NDArray[np.bool_]]:
    """[P] the log probability of each target in nats, and whether it is the most likely token."""
    logits = forward(model, pack)
    is_correct = (logits.detach().argmax(dim=-1) == pack.targets).cpu().numpy()
    return -cross_entropy(logits, pack.targets, reduction="none"), is_correct


def sum_margins(log_probabilities: torch.Tensor, pack: Pack) -> torch.Tensor:
    """[pairs] log p(preferred) - log p(other), in nats."""
    sums = log_probabilities.new_zeros(pack.n_documents, dtype=torch.float64)
    weighted = (log_probabilities * pack.weights).double()
    preferred, other = sums.index_add(0, pack.documents, weighted).view(-1, 2).unbind(1)
    return preferred - other


@torch.no_grad()
def compute_references(model: Any, objective: Objective, should_stop: Callable[[], bool]) -> bool:
    """Fill in the references that are not a number yet; False when `should_stop` turned true."""
    model.eval()
    missing = np.flatnonzero(np.isnan(objective.references)).tolist()
    for rows, pack in objective.split(missing):
        if should_stop():
            return False
        objective.references[rows] = sum_margins(predict(model, pack)[0], pack).cpu().numpy()
    return True
