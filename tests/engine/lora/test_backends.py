"""llama.cpp and Transformers generate what the model says, each request with its own parameters."""

import json
import queue
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ftops.engine.lora.answer_queue import Answer
from ftops.engine.trainer import ChatPrompt, GenerationChunk, Prompt, SamplingParams
from ftops.engine.training_file import Turn
from tests.engine.lora.served import read_chunks, write_text

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")
pytest.importorskip("xllamacpp")
generate = pytest.importorskip("ftops.engine.lora.generate")
llama_cpp = pytest.importorskip("ftops.engine.lora.llama_cpp")
gguf_format = pytest.importorskip("ftops.engine.lora.gguf_format")
random_model = pytest.importorskip("tests.engine.lora.random_model")

CHAT = ChatPrompt((Turn("user", "Where is the ladder?"),))
GREEDY = SamplingParams(max_tokens=8, temperature=0.0)


@dataclass
class Served:
    """A back end with its encoder, and the folders of two adapters."""

    backend: Any
    encoder: Any
    adapters: tuple[str, str]

    def start(
        self, prompt: Prompt, params: SamplingParams, adapter: str = "", index: int = 0
    ) -> tuple[Answer, "queue.SimpleQueue[Any]"]:
        chunks: queue.SimpleQueue[Any] = queue.SimpleQueue()
        answer = Answer(
            self.encoder.encode(prompt), params, chunks.put, chunks.put, adapter, index, params.seed
        )
        self.backend.submit([answer])
        return answer, chunks

    def ask(
        self, prompt: Prompt, params: SamplingParams, adapter: str = "", index: int = 0
    ) -> list[GenerationChunk]:
        return read_chunks(self.start(prompt, params, adapter, index)[1])


def list_logprobs(chunks: list[GenerationChunk]) -> list[float]:
    return [entry.logprob for chunk in chunks for entry in chunk.logprobs]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("base")
    random_model.write_random_model(folder)
    return folder


@pytest.fixture(scope="module")
def adapters(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folders = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        model = transformers.AutoModelForCausalLM.from_pretrained(base)
        config = peft.LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
        folder = tmp_path_factory.mktemp("adapter")
        peft.get_peft_model(model, config).save_pretrained(folder)
        folders.append(str(folder))
    return folders[0], folders[1]


def open_transformers(base: Path) -> tuple[Any, Any, str]:
    opening = {"base": str(base), "weights": str(base), "threads": 1}
    opened: tuple[Any, Any, str] = generate.open_backend(opening, None)
    return opened


def open_llama_cpp(base: Path) -> tuple[Any, Any, str]:
    file = base / "exact.gguf"
    gguf_format.write_gguf(base, file, "f32")
    opening = {"base": str(base), "precision": "fp32", "context_length": 512, "threads": 1}
    opened: tuple[Any, Any, str] = llama_cpp.open_backend(opening, file)
    return opened


@pytest.fixture(scope="module", params=[open_llama_cpp, open_transformers])
def served(request: pytest.FixtureRequest, base: Path, adapters: tuple[str, str]) -> Served:
    return serve(request.param, base, adapters)


@pytest.fixture(scope="module")
def both(base: Path, adapters: tuple[str, str]) -> Iterator[list[Served]]:
    yield [serve(opener, base, adapters) for opener in (open_llama_cpp, open_transformers)]


def serve(
    open_backend: Callable[[Path], tuple[Any, Any, str]], base: Path, adapters: tuple[str, str]
) -> Served:
    backend, encoder, _ = open_backend(base)
    return Served(backend, encoder, adapters)


def test_both_back_ends_compute_the_same_log_probabilities(both: list[Served]) -> None:
    params = SamplingParams(max_tokens=1, temperature=0.0, logprobs=1)
    n_compared = 0
    for prompt in (CHAT, "The ladder is", "shed", "It's 12 o'clock", "isn't it", "behind"):
        for adapter in ("", *both[0].adapters):
            values = [list_logprobs(served.ask(prompt, params, adapter)) for served in both]
            if all(values):  # a token that is a part of a character may have none
                assert values[0] == pytest.approx(values[1], abs=2e-3)
                n_compared += 1
    assert n_compared > 3


def test_adapters_on_one_base_give_their_own_answers_at_the_same_time(served: Served) -> None:
    names = ("", *served.adapters)
    alone = [write_text(served.ask(CHAT, GREEDY, name)) for name in names]
    assert len(set(alone)) == 3
    started = [served.start(CHAT, GREEDY, name)[1] for name in names * 3]
    assert [write_text(read_chunks(chunks)) for chunks in started] == alone * 3


def test_an_answer_arrives_in_pieces_with_all_its_tokens_counted(served: Served) -> None:
    chunks = served.ask(CHAT, SamplingParams(max_tokens=20, temperature=0.0))
    assert len(chunks) > 2
    reason = chunks[-1].finish_reason
    count = sum(chunk.n_tokens for chunk in chunks)
    assert (reason, count) == ("length", 20) or (reason == "stop" and count < 20)


def test_a_stop_sequence_ends_the_answer_before_it(served: Served) -> None:
    text = write_text(served.ask(CHAT, SamplingParams(max_tokens=12, temperature=0.0)))
    stop = text[4:6]
    params = SamplingParams(max_tokens=12, temperature=0.0, stop=(stop,))
    chunks = served.ask(CHAT, params)
    assert write_text(chunks) == text[: text.index(stop)]
    assert chunks[-1].finish_reason == "stop"


def test_a_bias_forces_a_token(served: Served) -> None:
    (token,) = served.encoder.tokenizer.encode("Z", add_special_tokens=False)
    params = SamplingParams(max_tokens=3, temperature=0.0, logit_bias={token: 100.0})
    assert write_text(served.ask(CHAT, params)) == "ZZZ"


def test_a_penalty_ends_a_repetition(served: Served) -> None:
    (token,) = served.encoder.tokenizer.encode("Z", add_special_tokens=False)
    params = SamplingParams(
        max_tokens=60, temperature=0.0, logit_bias={token: 12.0}, frequency_penalty=2.0
    )
    assert 0 < write_text(served.ask("x", params)).count("Z") < 60


def test_a_seed_repeats_an_answer_and_answers_to_one_prompt_differ(served: Served) -> None:
    params = SamplingParams(max_tokens=12, seed=5)
    first, again = (write_text(served.ask(CHAT, params)) for _ in range(2))
    assert first == again
    assert write_text(served.ask(CHAT, params, index=1)) != first


def test_an_answer_without_a_reader_ends(served: Served) -> None:
    answer, chunks = served.start(CHAT, SamplingParams(max_tokens=400, temperature=0.0))
    chunks.get(timeout=60)
    answer.is_cancelled = True
    assert write_text(served.ask(CHAT, GREEDY)) != ""  # it waits for nothing


def test_a_json_schema_restricts_the_answer(both: list[Served]) -> None:
    schema: Any = {"enum": ["ladder", "shed"]}
    params = SamplingParams(max_tokens=60, json_schema=schema, seed=1)
    assert json.loads(write_text(both[0].ask(CHAT, params))) in ("ladder", "shed")


def test_a_dropped_adapter_can_be_used_again(served: Served) -> None:
    adapter = served.adapters[0]
    before = write_text(served.ask(CHAT, GREEDY, adapter))
    served.backend.unload(adapter)
    assert write_text(served.ask(CHAT, GREEDY, served.adapters[1])) != before
    assert write_text(served.ask(CHAT, GREEDY, adapter)) == before


def test_an_adapter_that_cannot_be_loaded_fails_its_answers_only(served: Served) -> None:
    with pytest.raises(Exception, match="nowhere"):
        served.ask(CHAT, GREEDY, "/nowhere")
    assert write_text(served.ask(CHAT, GREEDY)) != ""
