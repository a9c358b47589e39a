"""The real process: it converts a model once, and is asked through the pool."""

from pathlib import Path

import pytest

from ftops.engine.base_models import BaseModelStore
from ftops.engine.generation import PooledModel
from ftops.engine.lora.serving import ServingPool
from ftops.engine.settings import SERVING_COMMAND
from ftops.engine.trainer import ChatPrompt, ModelUnavailable, SamplingParams
from ftops.engine.training_file import Turn
from tests.fakes import FakeClock

pytest.importorskip("transformers")
pytest.importorskip("gguf")
pytest.importorskip("xllamacpp")
random_model = pytest.importorskip("tests.engine.lora.random_model")


def test_a_registered_model_answers_through_llama_cpp(tmp_path: Path) -> None:
    store = BaseModelStore(tmp_path / "base_models")
    base = store.add("random", random_model.write_random_model)
    pool = ServingPool(FakeClock(), SERVING_COMMAND)
    try:
        model = pool.open(base)
        prompt = ChatPrompt((Turn("user", "Where is the ladder?"),))
        request = PooledModel(None, model).generate([prompt], SamplingParams(max_tokens=4))
        assert sum(chunk.n_tokens for chunk in request) == 4
        assert request.system_fingerprint == "llama.cpp q8_0"
        assert model.count_tokens(prompt) > 4
        assert (base.folder / "serving-q8_0.gguf").exists()
        params = SamplingParams(max_tokens=1, precision="bf16")
        request = PooledModel(None, model).generate([prompt], params)
        assert sum(chunk.n_tokens for chunk in request) == 1
        assert request.system_fingerprint == "llama.cpp bf16"
    finally:
        pool.stop()


def test_a_damaged_model_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    store = BaseModelStore(tmp_path / "base_models")
    base = store.add("random", random_model.write_random_model)
    (base.folder / "serving-q8_0.gguf").write_bytes(b"GGUF and nothing else")
    pool = ServingPool(FakeClock(), SERVING_COMMAND)
    try:
        request = PooledModel(None, pool.open(base)).generate(["x"], SamplingParams(max_tokens=4))
        with pytest.raises(ModelUnavailable, match="cannot load serving-q8_0"):
            list(request)
    finally:
        pool.stop()
