"""AdamW in blocks against AdamW as in the books, and the learning rate's course."""

import numpy as np
import pytest

from ftops.engine.tiny.optimizer import (
    AdamMoments,
    AdamStep,
    gradient_scale,
    learning_rate_scale,
    update_weights,
)


def test_the_blocked_update_is_adamw() -> None:
    rng = np.random.default_rng(0)
    weights = rng.standard_normal(100_000)  # several blocks and a rest
    expected, mean, square = weights.copy(), np.zeros_like(weights), np.zeros_like(weights)
    moments = AdamMoments.zeros(weights)
    for step in range(1, 6):
        gradient = rng.standard_normal(len(weights))
        update_weights(weights, gradient, moments, AdamStep(step, 1e-2, 0.3, gradient_factor=0.5))
        gradient = 0.5 * gradient
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.98 * square + 0.02 * gradient**2
        expected *= 1 - 1e-2 * 0.3
        expected -= 1e-2 * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.98**step)) + 1e-8)
    np.testing.assert_allclose(weights, expected, rtol=1e-10)


def test_clipping_shortens_long_gradients_only() -> None:
    assert gradient_scale(np.array([3.0, 4.0]), 1.0) == pytest.approx(0.2)
    assert gradient_scale(np.array([0.3, 0.4]), 1.0) == 1.0
    assert gradient_scale(np.zeros(2), 1.0) == 1.0


def test_the_learning_rate_warms_up_peaks_and_falls_to_almost_nothing() -> None:
    shares = [learning_rate_scale(step, 200) for step in range(1, 201)]
    assert shares[0] == pytest.approx(0.1)
    assert max(shares) == shares[9] == 1.0
    assert shares[9:] == sorted(shares[9:], reverse=True)
    assert 0 < shares[-1] < 0.03


@pytest.mark.parametrize("n_steps", [1, 2, 3])
def test_a_training_of_very_few_steps_has_a_learning_rate(n_steps: int) -> None:
    assert all(0 < learning_rate_scale(step, n_steps) <= 1 for step in range(1, n_steps + 1))
