"""What "auto" becomes, and which vocabulary a job gets."""

from dataclasses import replace
from pathlib import Path

import pytest

from ftops.engine.settings import EngineFolder
from ftops.engine.tiny.config import PARAMETER_COUNTS, SIZES, ModelShape
from ftops.engine.tiny.document import Document, render_row
from ftops.engine.tiny.parameters import count_parameters
from ftops.engine.tiny.tokenizer import plan_job
from ftops.engine.tiny.trainer import TinyTrainer
from ftops.engine.trainer import TrainingRequest
from ftops.engine.trainer_registry import get_trainer, list_bases
from ftops.engine.training_file import CompletionRow
from ftops.errors import EngineError

NO_BASES = EngineFolder(Path("no-folder"))
NAMES = ["Ira Quist", "Bo Vandermeer", "Uma Xiong", "Zed Pfaff", "Ola Wrzos", "Kim Jett"]


def render(prompt: str, completion: str) -> Document:
    return render_row(CompletionRow(prompt, completion))


def make_request(n_rows: int, words: int = 12) -> TrainingRequest:
    row = CompletionRow("word " * words, " 1")
    return TrainingRequest("ada", [row] * n_rows, [])


def test_given_figures_are_used_as_they_are() -> None:
    request = replace(make_request(100), n_epochs=3, batch_size=7, learning_rate_multiplier=0.25)
    resolved = TinyTrainer().resolve(request)
    assert (resolved.n_epochs, resolved.batch_size, resolved.learning_rate_multiplier) == (
        3,
        7,
        0.25,
    )
    assert resolved.n_steps == 3 * 15


def test_a_batch_is_never_larger_than_the_data() -> None:
    assert TinyTrainer().resolve(replace(make_request(5), batch_size=64)).batch_size == 5


def test_auto_reads_few_rows_often_and_many_rows_seldom() -> None:
    figures = [TinyTrainer().resolve(make_request(n)) for n in (10, 300, 3_000, 100_000)]
    epochs = [figure.n_epochs for figure in figures]
    assert epochs == sorted(epochs, reverse=True)
    assert epochs[0] == 100
    assert epochs[-1] == 2
    assert [figure.batch_size for figure in figures] == [4, 7, 32, 32]


def test_the_same_request_always_gives_the_same_figures() -> None:
    assert TinyTrainer().resolve(make_request(77)) == TinyTrainer().resolve(make_request(77))


def test_no_rows_is_a_clear_error() -> None:
    with pytest.raises(EngineError, match="the training file has no rows"):
        TinyTrainer().resolve(make_request(0))


@pytest.mark.parametrize(
    "figures",
    [
        {"n_epochs": 0},
        {"batch_size": -1},
        {"learning_rate_multiplier": float("nan")},
        {"learning_rate_multiplier": float("inf")},
        {"n_epochs": "many"},
    ],
)
def test_a_senseless_figure_is_refused_by_name(figures: dict[str, float | str]) -> None:
    with pytest.raises(EngineError, match=next(iter(figures))):
        TinyTrainer().resolve(replace(make_request(5), **figures))  # type: ignore[arg-type]


def test_answers_that_repeat_their_prompt_get_a_near_byte_vocabulary() -> None:
    rows = [render(f"A badge for {name.lower()}!", f" Visitor: {name}") for name in NAMES]
    assert plan_job(rows).vocab_size == 320


def test_labels_and_known_sentences_get_whole_words() -> None:
    labels = [render(f"{name} won the final", f" {n % 3}") for n, name in enumerate(NAMES)]
    assert plan_job(labels).vocab_size == 1024
    known = [render(f"Where is {name}?", " In the top drawer.") for name in NAMES]
    assert plan_job(known).vocab_size == 1024


@pytest.mark.parametrize("base", SIZES)
def test_a_size_has_about_the_parameters_it_promises(base: str) -> None:
    for vocab_size in (320, 1024):
        shape = ModelShape(SIZES[base].n_layers, SIZES[base].width, vocab_size)
        assert 0.7 < count_parameters(shape) / PARAMETER_COUNTS[base] < 1.5


def test_every_base_finds_its_trainer() -> None:
    assert list(list_bases(NO_BASES)) == ["ada", "babbage", "curie", "davinci"]
    assert all(base in get_trainer(base, NO_BASES).bases for base in list_bases(NO_BASES))


def test_an_unknown_base_is_refused_with_the_known_ones() -> None:
    with pytest.raises(EngineError, match="no base model 'gpt-9'") as caught:
        get_trainer("gpt-9", NO_BASES)
    assert "curie" in caught.value.hint
