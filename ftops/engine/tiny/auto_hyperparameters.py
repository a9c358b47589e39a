"""Values for "auto": epochs, batch size and learning rate from the number and length of rows.

Small models on small data need many epochs of small steps. The rule spends a budget of tokens
rather than of epochs, so that a job of a few hundred rows is trained well, and one of a hundred
thousand ends in reasonable time.
"""

import math

from ftops.engine.tiny.config import SIZES
from ftops.engine.tiny.document import PreferencePair, RenderedRequest, list_documents
from ftops.engine.tiny.tokenizer import plan_job
from ftops.engine.trainer import ResolvedHyperparameters

_TOKEN_BUDGET = 220_000  # of all epochs
_CHARACTERS_PER_TOKEN = 2.9
_EPOCHS = (2, 24)  # minimum and maximum, if these are enough steps
_MIN_STEPS = 450
_MAX_EPOCHS = 100  # for very few rows
_BATCH = (4, 32)
_STEPS_PER_EPOCH = 45  # larger files take more steps, at the largest batch size
_RETRAINING_MULTIPLIER = 0.5  # a trained model should not forget everything
# DPO adjusts a trained model, so little is enough. Measured with two styles of answers, 30 pairs,
# ten held out: 40 steps at 0.1 made all ten likelier in the preferred style, by 11 nats; 16 steps
# at 0.02 by 0.04; 456 steps at 0.2 lost correct words.
_DPO_MULTIPLIER = 0.1
_DPO_STEPS = 80
_BETA = 0.1  # as in the paper


def resolve_hyperparameters(request: RenderedRequest) -> ResolvedHyperparameters:
    """Choose values for "auto", of a request that `check_request` accepts."""
    n_rows = len(request.training)
    is_dpo = isinstance(request.training[0], PreferencePair)
    batch_size = request.batch_size
    if isinstance(batch_size, str):
        batch_size = _clamp(n_rows / _STEPS_PER_EPOCH, *_BATCH)
    batch_size = min(n_rows, batch_size)
    steps_per_epoch = math.ceil(n_rows / batch_size)
    n_epochs = request.n_epochs
    if isinstance(n_epochs, str):
        n_epochs = (
            _clamp(_DPO_STEPS / steps_per_epoch + 0.5, _EPOCHS[0], _MAX_EPOCHS)
            if is_dpo
            else _choose_epochs(request, steps_per_epoch)
        )
    multiplier = request.learning_rate_multiplier
    if isinstance(multiplier, str):
        multiplier = 1.0 if request.base in SIZES else _RETRAINING_MULTIPLIER
        if is_dpo:
            multiplier = _DPO_MULTIPLIER
    beta = request.beta if not isinstance(request.beta, str) else _BETA
    n_steps = n_epochs * steps_per_epoch
    return ResolvedHyperparameters(
        n_epochs, batch_size, float(multiplier), n_steps, beta if is_dpo else None
    )


def _choose_epochs(request: RenderedRequest, steps_per_epoch: int) -> int:
    documents = list_documents(request.training)
    characters = sum(len(part.text) for document in documents for part in document)
    passes = plan_job(documents).passes
    affordable = passes * _TOKEN_BUDGET * _CHARACTERS_PER_TOKEN / max(1, characters)
    n_epochs = _clamp(affordable, _EPOCHS[0], round(passes * _EPOCHS[1]))
    return max(n_epochs, min(_MAX_EPOCHS, math.ceil(_MIN_STEPS / steps_per_epoch)))


def _clamp(value: float, minimum: int, maximum: int) -> int:
    return max(minimum, min(maximum, round(value)))
