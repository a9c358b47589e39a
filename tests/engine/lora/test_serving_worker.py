"""The real process: it converts a model once, and is asked through the pool."""

import json
from pathlib import Path
from typing import Any

import pytest

from ftops.engine.base_models import BaseModelStore
from ftops.engine.generation import PooledModel
from ftops.engine.lora.serving import MERGE_AFTER, ServingPool
from ftops.engine.settings import SERVING_COMMAND
from ftops.engine.trainer import ChatPrompt, ModelUnavailable, SamplingParams
from ftops.engine.training_file import Turn
from ftops.rows.messages import JsonObject
from tests.engine.lora.vllm_server import run_vllm
from tests.engine.running import wait_for
from tests.fakes import FakeClock

pytest.importorskip("transformers")
pytest.importorskip("gguf")
pytest.importorskip("xllamacpp")
random_model = pytest.importorskip("tests.engine.lora.random_model")

from ftops.engine.lora.prompt_encoder import PromptEncoder


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


def test_an_adapter_is_merged_into_the_weights(tmp_path: Path) -> None:
    base = BaseModelStore(tmp_path / "base_models").add("random", random_model.write_random_model)
    folder = tmp_path / "models" / "tuned"
    folder.mkdir(parents=True)
    random_model.write_adapter(base.folder, folder)
    pool = ServingPool(FakeClock(), SERVING_COMMAND)
    model = PooledModel(None, pool.open(base, folder))

    def read_fingerprint() -> str:
        request = model.generate(["The ladder"], SamplingParams(max_tokens=1))
        list(request)
        return request.system_fingerprint

    try:
        for _ in range(MERGE_AFTER):
            assert read_fingerprint() == "llama.cpp q8_0"
        wait_for(lambda: read_fingerprint() == "llama.cpp q8_0 merged")
    finally:
        pool.stop()


def test_a_vllm_server_answers_for_the_base_model_that_it_has(tmp_path: Path) -> None:
    store = BaseModelStore(tmp_path / "base_models")
    served, other = (store.add(name, random_model.write_random_model) for name in ("a", "b"))
    with run_vllm(served.folder) as server:
        pool = ServingPool(FakeClock(), SERVING_COMMAND, server.url)
        try:
            for base, fingerprint in ((served, "vLLM"), (other, "llama.cpp q8_0")):
                model = PooledModel(None, pool.open(base))
                request = model.generate(["The ladder"], SamplingParams(max_tokens=4))
                assert sum(chunk.n_tokens for chunk in request) == 4
                assert request.system_fingerprint == fingerprint
        finally:
            pool.stop()
    assert len(server.completions) == 1


TOOL_TEMPLATE = """\
{%- if tools %}<|im_start|>system
{{ tools | tojson }}<|im_end|>
{% endif %}
{%- for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}
{%- for call in message.tool_calls or [] %}<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>
{%- endfor %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def write_model_with_tools(folder: Path) -> None:
    random_model.write_random_model(folder)
    (folder / "chat_template.jinja").write_text(TOOL_TEMPLATE)


def test_a_forced_call_has_the_form_of_the_template_and_arguments_of_its_schema(
    tmp_path: Path,
) -> None:
    base = BaseModelStore(tmp_path / "base_models").add("tools", write_model_with_tools)
    assert PromptEncoder(base.folder).call_format == ("<tool_call>\n", "arguments")
    schema: JsonObject = {
        "type": "object",
        "properties": {"unit": {"enum": ["°C", "°F"]}},
        "required": ["unit"],
        "additionalProperties": False,
    }
    function: JsonObject = {"name": "temperature", "parameters": schema}
    prompt = ChatPrompt(
        (Turn("user", "How warm is it?"),), ({"type": "function", "function": function},)
    )
    params = SamplingParams(max_tokens=200, forced_calls={"temperature": schema})
    pool = ServingPool(FakeClock(), SERVING_COMMAND)
    try:
        chunks = list(PooledModel(None, pool.open(base)).generate([prompt], params))
    finally:
        pool.stop()
    calls: list[Any] = [call["function"] for call in chunks[-1].tool_calls]
    assert [call["name"] for call in calls] == ["temperature"]
    assert json.loads(calls[0]["arguments"])["unit"] in ("°C", "°F")
    assert (chunks[-1].finish_reason, "".join(chunk.text for chunk in chunks)) == ("tool_calls", "")


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
