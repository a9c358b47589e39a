"""What "auto" means: epochs, batch size and learning rate from the number and length of rows.

Small models on small data want many passes and small steps. The rule spends a budget of tokens
rather than of epochs, so that a job of a few hundred rows is learned well and one of a hundred
thousand ends in reasonable time.
"""

import math

from ftops.engine.tiny.config import SIZES
from ftops.engine.tiny.tokenizer import plan_job
from ftops.engine.trainer import (
    PreferencePair,
    ResolvedHyperparameters,
    TrainingRequest,
    list_documents,
)
from ftops.errors import EngineError

_TOKENS = 220_000  # to read, epochs counted
_CHARACTERS_A_TOKEN = 2.9
_EPOCHS = (2, 24)  # least and most, as long as there are enough steps
_ENOUGH_STEPS = 450
_MOST_EPOCHS = 100  # for very few rows
_BATCH = (4, 32)
_STEPS_AN_EPOCH = 45  # aimed at; large files take more, of _BATCH's most rows each
_MULTIPLIER_AGAIN = 0.5  # a model that is trained again should not forget all it knew
# Preferences change how a model chooses that can speak already, so little is enough. Measured with
# two styles of answers, 30 pairs, ten held out: 40 steps at 0.1 made all ten likelier in the
# preferred style, by 11 nats; 16 steps at 0.02 by 0.04; 456 steps at 0.2 cost right words.
_MULTIPLIER_OF_PAIRS = 0.1
_ENOUGH_STEPS_OF_PAIRS = 80
_BETA = 0.1  # as the paper has it


def resolve_hyperparameters(request: TrainingRequest) -> ResolvedHyperparameters:
    """Turn "auto" into figures; EngineError when there is nothing to train on."""
    n_rows = len(request.training)
    if not n_rows:
        raise EngineError("there is no row to train on", hint="Give a training file with rows.")
    by_preference = _check_rows(request)
    _check_figures(request)
    batch_size = request.batch_size
    if isinstance(batch_size, str):
        batch_size = _clamp(n_rows / _STEPS_AN_EPOCH, *_BATCH)
    batch_size = min(n_rows, batch_size)
    steps_an_epoch = math.ceil(n_rows / batch_size)
    n_epochs = request.n_epochs
    if isinstance(n_epochs, str):
        n_epochs = (
            _clamp(_ENOUGH_STEPS_OF_PAIRS / steps_an_epoch + 0.5, _EPOCHS[0], _MOST_EPOCHS)
            if by_preference
            else _choose_epochs(request, steps_an_epoch)
        )
    multiplier = request.learning_rate_multiplier
    if isinstance(multiplier, str):
        multiplier = 1.0 if request.base in SIZES else _MULTIPLIER_AGAIN
        if by_preference:
            multiplier = _MULTIPLIER_OF_PAIRS
    beta = request.beta if not isinstance(request.beta, str) else _BETA
    n_steps = n_epochs * steps_an_epoch
    return ResolvedHyperparameters(
        n_epochs, batch_size, float(multiplier), n_steps, beta if by_preference else None
    )


def _check_rows(request: TrainingRequest) -> bool:
    """Whether the rows are pairs."""
    kinds = {isinstance(row, PreferencePair) for row in (*request.training, *request.validation)}
    if len(kinds) > 1:
        raise EngineError("some rows are pairs and some are not", hint="Give one kind of rows.")
    return kinds.pop()


def _check_figures(request: TrainingRequest) -> None:
    for name in ("n_epochs", "batch_size", "learning_rate_multiplier", "beta"):
        value = getattr(request, name)
        wrong = value != "auto" if isinstance(value, str) else not 0 < value < math.inf
        if wrong:
            raise EngineError(f"{name} is {value!r}", hint='Give a number above 0, or "auto".')


def _choose_epochs(request: TrainingRequest, steps_an_epoch: int) -> int:
    documents = list_documents(request.training)
    characters = sum(len(part.text) for document in documents for part in document)
    passes = plan_job(documents).passes
    affordable = passes * _TOKENS * _CHARACTERS_A_TOKEN / max(1, characters)
    n_epochs = _clamp(affordable, _EPOCHS[0], round(passes * _EPOCHS[1]))
    return max(n_epochs, min(_MOST_EPOCHS, math.ceil(_ENOUGH_STEPS / steps_an_epoch)))


def _clamp(value: float, least: int, most: int) -> int:
    return max(least, min(most, round(value)))
