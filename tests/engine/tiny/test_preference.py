"""Preference training: its gradient is the derivative of its loss, and it moves preferences."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ftops.engine.tiny.batch import TrainingExample
from ftops.engine.tiny.loss import measure
from ftops.engine.tiny.objective import (
    PairExample,
    add_reference_margins,
    compute_preference_gradients,
    compute_reference_margins,
    measure_preferences,
)
from ftops.engine.tiny.parameters import Parameters, list_tensors
from ftops.engine.tiny.trainer import TinyTrainer
from ftops.engine.trainer import (
    LoadedModel,
    StepMetrics,
    TrainingRequest,
    TrainingStopped,
    get_prompt,
)
from ftops.engine.training_file import ChatRow, PreferenceRow, Turn
from ftops.errors import EngineError
from tests.engine.tiny.jobs import ANSWERS, make_short_request, train
from tests.engine.tiny.test_gradients import SHAPE, make_examples, make_parameters
from tests.engine.tiny.test_training import hash_model, stop_after

BETA = 0.3
THINGS = [
    *("ladder", "kettle", "broom", "torch", "hammer", "teapot", "blanket", "umbrella"),
    *("compass", "scissors", "bucket", "lantern", "toolbox", "radio", "globe", "basket"),
]
PLACES = ("shed", "attic", "hall", "cellar")


def make_pairs(sizes: Sequence[tuple[int, int, int]], seed: int = 1) -> list[PairExample]:
    """Random pairs that share a prompt: (its length, that of the preferred answer, the other)."""
    pairs = []
    for number, (prompt, first, second) in enumerate(sizes):
        examples = make_examples(
            [(prompt + first, first), (prompt + second, second)], seed + number
        )
        for example in examples:
            example.tokens[:prompt] = examples[0].tokens[:prompt]
            example.weights[prompt:] = 1
        pairs.append(PairExample(examples[0], examples[1]))
    references = np.random.default_rng(seed).standard_normal(len(pairs))
    return add_reference_margins(pairs, references)


def gradient_of(parameters: Parameters, pairs: Sequence[PairExample]) -> Parameters:
    gradients = Parameters.zeros(SHAPE, np.float64)
    compute_preference_gradients(parameters, gradients, pairs, beta=BETA)
    return gradients


def loss_by_the_book(parameters: Parameters, pairs: Sequence[PairExample]) -> float:
    """The paper's formula, one answer at a time."""

    def log_probability(example: TrainingExample) -> float:
        return -measure(parameters, [example]).loss

    losses = []
    for pair in pairs:
        gap = log_probability(pair.preferred) - log_probability(pair.other) - pair.reference
        losses.append(-np.log(1 / (1 + np.exp(-BETA * gap))))
    return float(np.mean(losses))


def test_the_loss_is_that_of_the_paper() -> None:
    parameters, pairs = make_parameters(), make_pairs([(4, 2, 5), (7, 1, 1), (2, 6, 3)])
    totals = measure_preferences(parameters, pairs, beta=BETA)
    assert totals.mean_loss == pytest.approx(loss_by_the_book(parameters, pairs), abs=1e-12)
    learned = compute_preference_gradients(
        parameters, Parameters.zeros(SHAPE, np.float64), pairs, beta=BETA
    )
    assert learned == totals


@pytest.mark.parametrize("name", list_tensors(SHAPE))
def test_every_gradient_agrees_with_finite_differences(name: str) -> None:
    parameters, pairs = make_parameters(), make_pairs([(4, 2, 5), (7, 1, 1), (2, 6, 3)])
    gradient = gradient_of(parameters, pairs)[name].reshape(-1)
    weights = parameters[name].reshape(-1)
    assert np.abs(gradient).max() > 1e-3
    largest = np.argsort(-np.abs(gradient))[:3]
    for place in [*largest, *np.random.default_rng(2).integers(0, len(weights), 5)]:
        original, losses = weights[place], []
        for nudge in (1e-5, -1e-5):
            weights[place] = original + nudge
            losses.append(loss_by_the_book(parameters, pairs))
        weights[place] = original
        assert gradient[place] == pytest.approx((losses[0] - losses[1]) / 2e-5, abs=1e-7)


def test_pairs_too_many_for_one_pack_have_the_same_gradient() -> None:
    parameters, pairs = make_parameters(), make_pairs([(40, 6, 20), (30, 12, 3)] * 12)
    alone = np.mean([gradient_of(parameters, [pair]).flat for pair in pairs], axis=0)
    np.testing.assert_allclose(gradient_of(parameters, pairs).flat, alone, atol=1e-12)


def test_a_model_is_indifferent_against_itself() -> None:
    parameters, pairs = make_parameters(), make_pairs([(4, 2, 5), (7, 1, 1), (2, 6, 3)])
    pairs = add_reference_margins(pairs, compute_reference_margins(parameters, pairs))
    totals = measure_preferences(parameters, pairs, beta=BETA)
    assert totals.mean_loss == pytest.approx(np.log(2))
    assert totals.reward_margin == pytest.approx(0, abs=1e-12)


def kindly(thing: str) -> str:
    return f" It is in the {place_of(thing)}. Can I help you further?"


def gruffly(thing: str) -> str:
    return f" In the {place_of(thing)}, as always. Do not ask again."


def place_of(thing: str) -> str:
    return PLACES[THINGS.index(thing) % len(PLACES)]


def ask_for(thing: str) -> str:
    return f"Where is the {thing}?"


def make_pair(thing: str) -> PreferenceRow:
    return PreferenceRow((Turn("user", ask_for(thing)),), kindly(thing), gruffly(thing))


@pytest.fixture(scope="module")
def speaker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `ada`, taught to answer in both ways."""
    folder = tmp_path_factory.mktemp("speaker")
    rows = [
        ChatRow((Turn("user", ask_for(thing)), Turn("assistant", answer, trained=True)))
        for thing in THINGS
        for answer in (kindly(thing), gruffly(thing))
    ]
    train(TrainingRequest("ada", rows, [], n_epochs=30), folder)
    return folder / "model"


def make_job(speaker: Path, n_held_out: int = 6) -> TrainingRequest:
    pairs = [make_pair(thing) for thing in THINGS]
    return TrainingRequest(str(speaker), pairs[n_held_out:], pairs[:n_held_out])


def get_gap(model: LoadedModel, pair: PreferenceRow) -> float:
    """By how many nats the preferred answer is likelier than the other one."""
    prompt = get_prompt(pair)
    preferred, other = (
        model.log_probability(prompt, text) for text in (pair.preferred, pair.other)
    )
    return preferred - other


def count_wins(model: LoadedModel, pairs: Sequence[PreferenceRow]) -> int:
    return sum(get_gap(model, pair) > 2 for pair in pairs)


def test_preferences_generalize_to_other_questions(speaker: Path, tmp_path: Path) -> None:
    request = make_job(speaker)
    held_out = [make_pair(thing) for thing in THINGS[:6]]
    before = TinyTrainer().load(speaker)
    steps: list[StepMetrics] = []
    train(request, tmp_path, on_step=steps.append)
    after = TinyTrainer().load(tmp_path / "model")
    assert count_wins(before, held_out) <= 2
    assert count_wins(after, held_out) >= len(held_out) - 1
    first, last = steps[0], steps[-1]
    assert first.train_loss == pytest.approx(np.log(2), abs=1e-6)
    assert last.valid_loss is not None
    assert last.valid_loss < 0.3
    assert (last.valid_reward_accuracy or 0) > 0.8
    assert (last.train_reward_margin or 0) > 1 > abs(first.train_reward_margin or 0)


def test_a_higher_beta_stays_nearer_to_the_reference(speaker: Path, tmp_path: Path) -> None:
    gaps = []
    for beta in (0.05, 2.0):
        (tmp_path / str(beta)).mkdir()
        train(replace(make_job(speaker), beta=beta, n_epochs=40), tmp_path / str(beta))
        model = TinyTrainer().load(tmp_path / str(beta) / "model")
        gaps.append(get_gap(model, make_pair(THINGS[-1])))
    assert gaps[0] > 2 * gaps[1] > 0


@pytest.mark.parametrize("n_done", range(7))
def test_a_training_that_stops_at_any_step_resumes_to_the_same_weights(
    speaker: Path, tmp_path: Path, n_done: int
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    request = replace(make_job(speaker, 2), n_epochs=2, batch_size=6)
    steps: list[StepMetrics] = []
    expected = train(request, whole, on_step=steps.append)
    assert expected.steps == 6
    again: list[StepMetrics] = []
    with pytest.raises(TrainingStopped):
        train(request, broken, on_step=again.append, should_stop=stop_after(n_done))
    assert train(request, broken, on_step=again.append) == expected
    assert again == steps
    assert hash_model(broken) == hash_model(whole)


def test_what_auto_means_for_pairs(speaker: Path) -> None:
    resolved = TinyTrainer().resolve(make_job(speaker))
    assert resolved.beta == 0.1
    assert resolved.learning_rate_multiplier == 0.1
    assert 80 <= resolved.n_steps <= 90
    assert TinyTrainer().resolve(replace(make_job(speaker), beta=0.7)).beta == 0.7
    assert TinyTrainer().resolve(make_short_request()).beta is None


def test_rows_of_two_kinds_are_refused(speaker: Path) -> None:
    job = replace(make_job(speaker), validation=make_short_request().training)
    with pytest.raises(EngineError, match="some are not"):
        TinyTrainer().resolve(job)


def test_an_untrained_base_can_be_trained_on_pairs(tmp_path: Path) -> None:
    pairs = [
        PreferenceRow((Turn("user", question),), answer, " No.")
        for question, answer in ANSWERS.items()
    ]
    steps: list[StepMetrics] = []
    train(TrainingRequest("ada", pairs, [], n_epochs=10), tmp_path, on_step=steps.append)
    assert steps[-1].train_loss < steps[0].train_loss
    assert (tmp_path / "model" / "config.json").exists()
