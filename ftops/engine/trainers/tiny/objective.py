"""What a training is after: to imitate documents, or to prefer one answer of each pair."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ftops.engine.trainers.protocol import Pair, Resolved, TrainingRequest, list_documents
from ftops.engine.trainers.tiny.batches import Example
from ftops.engine.trainers.tiny.checkpoint import Progress
from ftops.engine.trainers.tiny.encode import encode_examples, encode_pairs
from ftops.engine.trainers.tiny.gradients import Dropout, compute_gradients, measure
from ftops.engine.trainers.tiny.loss import Tally
from ftops.engine.trainers.tiny.parameters import Indices, Parameters
from ftops.engine.trainers.tiny.preference import (
    PairExample,
    ask_reference,
    compute_preference_gradients,
    measure_preferences,
    with_references,
)
from ftops.engine.trainers.tiny.vocabulary import plan_job
from ftops.engine.trainers.tiny.weights import SavedModel


class Row(Protocol):
    """One row, ready to train on."""

    @property
    def n_tokens(self) -> int: ...


class Objective(Protocol):
    """The rows of a job, and how a model learns of them and is measured by them."""

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
    ) -> Tally:
        """Overwrite `gradients` with those of the mean loss of these training rows."""

    def measure(self, parameters: Parameters, every: int) -> Tally:
        """The tally of each `every`th validation row."""


@dataclass(frozen=True, slots=True)
class Imitation:
    """To say what the documents say."""

    training: Sequence[Example]
    validation: Sequence[Example]
    token_dropout: float
    weight_decay: float = 0.5

    def compute_gradients(
        self, parameters: Parameters, gradients: Parameters, rows: Indices, dropout: Dropout
    ) -> Tally:
        batch = [self.training[row] for row in rows]
        return compute_gradients(parameters, gradients, batch, dropout)

    def measure(self, parameters: Parameters, every: int) -> Tally:
        return measure(parameters, self.validation[::every])


@dataclass(frozen=True, slots=True)
class Preference:
    """To find the preferred answers likelier than the others, and stay near the reference.

    That nearness is what holds the weights together: no decay, and no dropout, which would look
    like a difference to the reference.
    """

    training: Sequence[PairExample]
    validation: Sequence[PairExample]
    beta: float
    token_dropout: float = 0.0
    weight_decay: float = 0.0

    def compute_gradients(
        self, parameters: Parameters, gradients: Parameters, rows: Indices, dropout: Dropout
    ) -> Tally:
        batch = [self.training[row] for row in rows]
        return compute_preference_gradients(parameters, gradients, batch, dropout, beta=self.beta)

    def measure(self, parameters: Parameters, every: int) -> Tally:
        return measure_preferences(parameters, self.validation[::every], beta=self.beta)


def make_objective(
    request: TrainingRequest,
    resolved: Resolved,
    model: SavedModel,
    progress: Progress,
    should_stop: Callable[[], bool],
) -> Objective:
    """Encode the rows.

    Of pairs, `model` is the reference; what it says goes into `progress`, unless that knows it
    already. TrainingStopped when told to stop meanwhile.
    """
    if resolved.beta is None:
        documents = list_documents(request.training)
        return Imitation(
            encode_examples(documents, model.tokenizer),
            encode_examples(list_documents(request.validation), model.tokenizer),
            plan_job(documents).token_dropout,
        )
    training, validation = (
        encode_pairs([row for row in rows if isinstance(row, Pair)], model.tokenizer)
        for rows in (request.training, request.validation)
    )
    if progress.references is None:
        pairs = [*training, *validation]
        progress.references = ask_reference(model.parameters, pairs, should_stop)
    known, n_training = progress.references, len(training)
    return Preference(
        with_references(training, known[:n_training]),
        with_references(validation, known[n_training:]),
        resolved.beta,
    )
