"""The objectives of a training: supervised fine-tuning and preference optimization (DPO).

The reference model of DPO is the model that the job starts from. Only one number of it is needed
for each pair, so all of them are computed before the first step.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ftops.engine.step_totals import StepTotals
from ftops.engine.tiny.batch import (
    Pack,
    TrainingExample,
    encode_examples,
    group_by_length,
    make_pack,
)
from ftops.engine.tiny.checkpoint import SavedModel, TrainingProgress
from ftops.engine.tiny.document import PreferencePair, RenderedRequest, list_documents
from ftops.engine.tiny.loss import (
    Dropout,
    add_gradients,
    compute_gradients,
    compute_margins,
    dpo_loss,
    measure,
)
from ftops.engine.tiny.model import forward
from ftops.engine.tiny.parameters import Indices, Parameters
from ftops.engine.tiny.tokenizer import Tokenizer, plan_job
from ftops.engine.trainer import (
    ResolvedHyperparameters,
    TrainingStopped,
)


@dataclass(frozen=True, slots=True)
class PairExample:
    """The encoded answers of a pair."""

    preferred: TrainingExample
    other: TrainingExample
    reference: float = 0.0  # log p(preferred) - log p(other) of the reference model

    @property
    def n_tokens(self) -> int:
        return self.preferred.n_tokens + self.other.n_tokens


def encode_pairs(pairs: Sequence[PreferencePair], tokenizer: Tokenizer) -> list[PairExample]:
    """One example for each pair."""
    preferred = encode_examples([pair.preferred for pair in pairs], tokenizer)
    other = encode_examples([pair.other for pair in pairs], tokenizer)
    return [PairExample(*answers) for answers in zip(preferred, other, strict=True)]


def compute_preference_gradients(
    parameters: Parameters,
    gradients: Parameters,
    batch: Sequence[PairExample],
    dropout: Dropout | None = None,
    *,
    beta: float,
) -> StepTotals:
    """Overwrite `gradients` by those of the batch's mean loss; returns its totals."""
    packs = (
        (pack, partial(dpo_loss, references=references, beta=beta, n_pairs=len(batch)))
        for _, references, pack in _split_pairs(batch)
    )
    return add_gradients(parameters, gradients, packs, dropout)


def measure_preferences(
    parameters: Parameters, pairs: Sequence[PairExample], *, beta: float
) -> StepTotals:
    """The totals of the pairs."""
    totals = StepTotals()
    for _, references, pack in _split_pairs(pairs):
        logits, _ = forward(parameters, pack)
        totals += dpo_loss(logits, pack, references, beta=beta, n_pairs=1)[0]
    return totals


def compute_reference_margins(
    parameters: Parameters,
    pairs: Sequence[PairExample],
    should_stop: Callable[[], bool] = lambda: False,
) -> NDArray[np.float64]:
    """[pairs] log p(preferred) - log p(other) of each pair, in nats.

    Raises TrainingStopped when `should_stop()` turns true.
    """
    references = np.zeros(len(pairs))
    for rows, _, pack in _split_pairs(pairs):
        if should_stop():
            raise TrainingStopped
        logits, _ = forward(parameters, pack)
        references[rows] = compute_margins(logits, pack)
    return references


def add_reference_margins(
    pairs: Sequence[PairExample], references: NDArray[np.float64]
) -> list[PairExample]:
    """The pairs with the margins of the reference model."""
    return [
        replace(pair, reference=float(reference))
        for pair, reference in zip(pairs, references, strict=True)
    ]


def _split_pairs(
    pairs: Sequence[PairExample],
) -> Iterator[tuple[list[int], NDArray[np.float64], Pack]]:
    """The indices and references of the pairs in each pack, and the pack.

    Document 2i of the pack is the preferred answer of pair i, and 2i + 1 the other one.
    """
    lengths = [(pair.preferred.n_tokens, pair.other.n_tokens) for pair in pairs]
    for rows in group_by_length(lengths):
        chosen = [pairs[row] for row in rows]
        references = np.array([pair.reference for pair in chosen])
        yield (
            rows,
            references,
            make_pack([answer for pair in chosen for answer in (pair.preferred, pair.other)]),
        )


class Row(Protocol):
    """One encoded row."""

    @property
    def n_tokens(self) -> int: ...


class Objective(Protocol):
    """The rows of a job, with their loss and metrics."""

    @property
    def training(self) -> Sequence[Row]: ...
    @property
    def validation(self) -> Sequence[Row]: ...
    @property
    def token_dropout(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...

    def compute_gradients(
        self, parameters: Parameters, gradients: Parameters, rows: Indices, dropout: Dropout
    ) -> StepTotals:
        """Overwrite `gradients` by those of the mean loss of these training rows."""

    def measure(self, parameters: Parameters, every: int) -> StepTotals:
        """The totals of every `every`th validation row."""


@dataclass(frozen=True, slots=True)
class SupervisedObjective:
    """Supervised fine-tuning (SFT): cross entropy on the completions."""

    training: Sequence[TrainingExample]
    validation: Sequence[TrainingExample]
    token_dropout: float
    weight_decay: float = 0.5

    def compute_gradients(
        self, parameters: Parameters, gradients: Parameters, rows: Indices, dropout: Dropout
    ) -> StepTotals:
        batch = [self.training[row] for row in rows]
        return compute_gradients(parameters, gradients, batch, dropout)

    def measure(self, parameters: Parameters, every: int) -> StepTotals:
        return measure(parameters, self.validation[::every])


@dataclass(frozen=True, slots=True)
class PreferenceObjective:
    """DPO: prefer one answer to the other, and stay close to the reference model.

    The reference regularizes the weights, so there is no weight decay; dropout would look like a
    difference to the reference.
    """

    training: Sequence[PairExample]
    validation: Sequence[PairExample]
    beta: float
    token_dropout: float = 0.0
    weight_decay: float = 0.0

    def compute_gradients(
        self, parameters: Parameters, gradients: Parameters, rows: Indices, dropout: Dropout
    ) -> StepTotals:
        batch = [self.training[row] for row in rows]
        return compute_preference_gradients(parameters, gradients, batch, dropout, beta=self.beta)

    def measure(self, parameters: Parameters, every: int) -> StepTotals:
        return measure_preferences(parameters, self.validation[::every], beta=self.beta)


def make_objective(
    request: RenderedRequest,
    resolved: ResolvedHyperparameters,
    model: SavedModel,
    progress: TrainingProgress,
    should_stop: Callable[[], bool],
) -> Objective:
    """Encode the rows.

    For pairs, `model` is the reference; its margins are stored in `progress` if they are missing.
    Raises TrainingStopped when `should_stop()` turns true.
    """
    if resolved.beta is None:
        documents = list_documents(request.training)
        return SupervisedObjective(
            encode_examples(documents, model.tokenizer),
            encode_examples(list_documents(request.validation), model.tokenizer),
            plan_job(documents).token_dropout,
        )
    training, validation = (
        encode_pairs([row for row in rows if isinstance(row, PreferencePair)], model.tokenizer)
        for rows in (request.training, request.validation)
    )
    if progress.references is None:
        pairs = [*training, *validation]
        progress.references = compute_reference_margins(model.parameters, pairs, should_stop)
    references, n_training = progress.references, len(training)
    return PreferenceObjective(
        add_reference_margins(training, references[:n_training]),
        add_reference_margins(validation, references[n_training:]),
        resolved.beta,
    )
