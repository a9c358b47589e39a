"""The vocabularies of models, and the vocabulary of the engine for a file."""

import sys
from pathlib import Path

import pytest

from ftops.data.tokens.vocabulary import SHA256
from ftops.errors import EngineError
from ftops.providers.engine_process import estimate_with_engine
from ftops.providers.model_catalog import ENGINE_VOCABULARY, EngineJob, get_vocabulary_name
from ftops.providers.registry import get_capabilities
from ftops.records import ProviderSettings


@pytest.mark.parametrize(
    ("model", "vocabulary"),
    [
        ("gpt-4.1-mini-2025-04-14", "o200k_base"),
        ("gpt-4o-mini", "o200k_base"),
        ("gpt-3.5-turbo-0125", "cl100k_base"),
        ("babbage-002", "cl100k_base"),
        ("ada", "r50k_base"),
        ("llama-3", ""),
    ],
)
def test_a_model_has_its_vocabulary(model: str, vocabulary: str) -> None:
    assert get_vocabulary_name(get_capabilities(ProviderSettings("openai")), model) == vocabulary
    assert not vocabulary or vocabulary in SHA256


def test_the_engine_creates_its_own_vocabulary() -> None:
    assert (
        get_vocabulary_name(get_capabilities(ProviderSettings("local")), "ada") == ENGINE_VOCABULARY
    )


@pytest.mark.parametrize(
    "program", ["import sys; sys.exit(1)", "print('no JSON')", "print('{\"tokens\": 1}')"]
)
def test_a_failing_engine_program_is_no_error(tmp_path: Path, program: str) -> None:
    for command in ((sys.executable, "-c", program), ("/no/such/program",)):
        assert (
            estimate_with_engine(EngineJob(tmp_path, "ada"), home=tmp_path, command=command) is None
        )


def test_a_refusal_of_the_engine_program_is_an_error(tmp_path: Path) -> None:
    program = 'import sys; print(\'{"message": "no memory", "hint": "less"}\'); sys.exit(3)'
    with pytest.raises(EngineError, match="no memory") as info:
        estimate_with_engine(
            EngineJob(tmp_path, "ada"), home=tmp_path, command=(sys.executable, "-c", program)
        )
    assert info.value.hint == "less"
