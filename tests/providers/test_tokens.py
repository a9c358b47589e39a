"""What is known of models' tokens, and what the engine says of a file."""

import sys
from pathlib import Path

import pytest

from ftops.dataset.tokens.vocabulary import SHA256
from ftops.engine.trainers.tiny.sizes import CONTEXT_LENGTH
from ftops.providers.engine_forecast import ask_engine
from ftops.providers.tokens import ENGINE_VOCABULARY, find_row_limit, find_vocabulary_name


@pytest.mark.parametrize(
    ("model", "vocabulary", "limit"),
    [
        ("gpt-4.1-mini-2025-04-14", "o200k_base", 65_536),
        ("gpt-4o-mini", "o200k_base", 65_536),
        ("gpt-3.5-turbo-0125", "cl100k_base", 16_385),
        ("babbage-002", "cl100k_base", None),
        ("ada", "r50k_base", 2_048),
        ("llama-3", "", None),
    ],
)
def test_a_model_has_its_vocabulary_and_limit(
    model: str, vocabulary: str, limit: int | None
) -> None:
    assert find_vocabulary_name("openai", model) == vocabulary
    assert find_row_limit("openai", model) == limit
    assert not vocabulary or vocabulary in SHA256


def test_the_engine_makes_its_own_vocabulary_and_reads_so_many_tokens() -> None:
    assert find_vocabulary_name("local", "ada") == ENGINE_VOCABULARY
    assert find_row_limit("local", "ada") == CONTEXT_LENGTH


@pytest.mark.parametrize(
    "program", ["import sys; sys.exit(1)", "print('no JSON')", "print('{\"tokens\": 1}')"]
)
def test_an_engine_that_cannot_say_is_no_error(tmp_path: Path, program: str) -> None:
    assert ask_engine(tmp_path, "ada", command=(sys.executable, "-c", program)) is None
    assert ask_engine(tmp_path, "ada", command=("/no/such/program",)) is None
