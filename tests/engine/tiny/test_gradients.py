"""The backward pass written by hand is the derivative of the forward pass."""

from collections.abc import Sequence

import numpy as np
import pytest

from ftops.engine.tiny.batch import TrainingExample, make_packs
from ftops.engine.tiny.config import ModelShape
from ftops.engine.tiny.loss import Dropout, compute_gradients, measure
from ftops.engine.tiny.parameters import (
    Parameters,
    count_parameters,
    init_parameters,
    list_tensors,
)

SHAPE = ModelShape(n_layers=2, width=64, vocab_size=23)


def make_parameters(seed: int = 0) -> Parameters:
    """Random float64 weights, none zero, so that every tensor matters."""
    rng = np.random.default_rng(seed)
    return Parameters(SHAPE, 0.3 * rng.standard_normal(count_parameters(SHAPE)))


def make_examples(sizes: Sequence[tuple[int, int]], seed: int = 1) -> list[TrainingExample]:
    """Random documents: (tokens, how many of the last ones count)."""
    rng = np.random.default_rng(seed)
    examples = []
    for length, n_counted in sizes:
        tokens, targets = rng.integers(0, SHAPE.vocab_size, (2, length)).astype(np.uint16)
        weights = np.zeros(length, dtype=np.float32)
        weights[length - n_counted :] = rng.random(n_counted) + 0.5
        examples.append(TrainingExample(tokens, targets, weights))
    return examples


def gradient_of(parameters: Parameters, examples: Sequence[TrainingExample]) -> Parameters:
    gradients = Parameters.zeros(SHAPE, np.float64)
    compute_gradients(parameters, gradients, examples)
    return gradients


@pytest.mark.parametrize("name", list_tensors(SHAPE))
@pytest.mark.parametrize("sizes", [[(5, 2), (9, 3), (3, 3), (9, 1)], [(7, 7)]])
def test_every_gradient_agrees_with_finite_differences(
    name: str, sizes: list[tuple[int, int]]
) -> None:
    parameters, examples = make_parameters(), make_examples(sizes)
    gradient = gradient_of(parameters, examples)[name].reshape(-1)
    weights = parameters[name].reshape(-1)
    assert np.abs(gradient).max() > 1e-3
    largest = np.argsort(-np.abs(gradient))[:3]
    for place in [*largest, *np.random.default_rng(2).integers(0, len(weights), 5)]:
        original, losses = weights[place], []
        for nudge in (1e-5, -1e-5):
            weights[place] = original + nudge
            losses.append(measure(parameters, examples).mean_loss)
        weights[place] = original
        assert gradient[place] == pytest.approx((losses[0] - losses[1]) / 2e-5, abs=1e-7)


def test_documents_of_one_pack_do_not_see_each_other() -> None:
    parameters = make_parameters()
    examples = make_examples([(5, 2), (9, 3), (1, 1), (6, 6)])
    total = sum(float(example.weights.sum(dtype=np.float64)) for example in examples)
    together = gradient_of(parameters, examples)
    alone = np.zeros_like(together.flat)
    for example in examples:
        alone += gradient_of(parameters, [example]).flat * (
            float(example.weights.sum(dtype=np.float64)) / total
        )
    np.testing.assert_allclose(together.flat, alone, atol=1e-12)


def test_a_batch_too_large_for_one_pack_has_the_same_gradient() -> None:
    parameters = make_parameters()
    examples = make_examples([(60, 4)] * 30, seed=5)
    assert len(list(make_packs(examples))) > 1
    total = sum(float(example.weights.sum(dtype=np.float64)) for example in examples)
    alone = np.zeros_like(parameters.flat)
    for example in examples:
        alone += gradient_of(parameters, [example]).flat * (
            float(example.weights.sum(dtype=np.float64)) / total
        )
    np.testing.assert_allclose(gradient_of(parameters, examples).flat, alone, atol=1e-12)


def test_what_comes_later_does_not_change_what_is_said_earlier() -> None:
    parameters = make_parameters()
    (example,) = make_examples([(8, 8)])
    changed = TrainingExample(example.tokens.copy(), example.targets, example.weights.copy())
    changed.tokens[5:] = (changed.tokens[5:] + 1) % SHAPE.vocab_size
    for one in (example, changed):
        one.weights[5:] = 0
    losses = [measure(parameters, [one]).loss for one in (example, changed)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-12)


def test_weights_decide_how_much_a_token_counts() -> None:
    parameters = make_parameters()
    (example,) = make_examples([(6, 6)])
    losses = []
    for row in (2, 4):
        weights = np.zeros(6, dtype=np.float32)
        weights[row] = 1
        losses.append(
            measure(parameters, [TrainingExample(example.tokens, example.targets, weights)]).loss
        )
    weights = np.array([0, 0, 0.25, 0, 1, 0], dtype=np.float32)
    totals = measure(parameters, [TrainingExample(example.tokens, example.targets, weights)])
    assert totals.loss == pytest.approx(0.25 * losses[0] + losses[1])
    assert totals.mean_loss == pytest.approx(totals.loss / 1.25)
    assert totals.tokens == 1  # accuracy looks at completions alone


def test_a_batch_in_which_nothing_counts_teaches_nothing() -> None:
    parameters, gradients = make_parameters(), Parameters.zeros(SHAPE, np.float64)
    gradients.flat[:] = 1
    totals = compute_gradients(parameters, gradients, make_examples([(4, 0), (2, 0)]))
    assert not gradients.flat.any()
    assert totals.mean_loss == 0


def test_dropout_hides_tokens_that_are_read_and_never_one_that_counts() -> None:
    (pack,) = make_packs(make_examples([(300, 20), (300, 20)]))
    kept = Dropout(0.5, np.random.default_rng(0)).sample(pack)
    assert kept is not None
    assert kept[pack.counted].all()
    assert 0.35 < 1 - kept.mean() < 0.55
    assert Dropout(0.0, np.random.default_rng(0)).sample(pack) is None


def test_a_hidden_token_has_no_gradient() -> None:
    parameters, gradients = make_parameters(), Parameters.zeros(SHAPE, np.float64)
    (example,) = make_examples([(30, 1)])
    example.tokens[:29], example.tokens[29] = 3, 4

    class HidesAll(np.random.Generator):
        def random(self, *args: object, **kwargs: object) -> np.ndarray:  # type: ignore
            return np.zeros(30, dtype=np.float32)

    compute_gradients(parameters, gradients, [example], Dropout(0.5, HidesAll(np.random.PCG64())))
    assert not gradients["embedding"][3].any()
    assert gradients["embedding"][4].any()


def test_an_untrained_model_looks_at_all_earlier_tokens_alike() -> None:
    parameters = init_parameters(SHAPE, seed=0)
    assert not parameters["0.qkv"][:, : SHAPE.width].any()
    assert parameters["0.qkv"][:, SHAPE.width :].any()
