import json
from pathlib import Path
from typing import Any

import pytest

from ftops.engine.base_models import BaseModelStore
from ftops.engine.lora.gguf_format import FileType, convert_gguf, write_gguf, write_gguf_adapter
from ftops.errors import EngineError
from tests.engine.lora.random_model import (
    TEXTS,
    compute_logits,
    torch,
    transformers,
    write_adapter,
    write_random_model,
)

gguf = pytest.importorskip("gguf")
AutoModelForCausalLM = transformers.AutoModelForCausalLM
AutoTokenizer = transformers.AutoTokenizer
# Transformers 5.24 warns when PEFT 0.21 asks for an old name.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
_PRINTABLE = 40  # llama.cpp returns no log probabilities for a part of a character
FILE_TYPES: tuple[FileType, ...] = ("f32", "f16", "q8_0")
FAMILIES: dict[str, dict[str, Any]] = {
    "Llama": {"tie_word_embeddings": True, "rope_parameters": {"rope_theta": 500.0}},
    "Qwen2": {"tie_word_embeddings": False},
    "Qwen3": {"tie_word_embeddings": True, "head_dim": 16},
}
CHAT = [{"role": "user", "content": "Where is it?"}, {"role": "assistant", "content": "Here."}]


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    folder = tmp_path / "model"
    folder.mkdir()
    write_random_model(folder, request.param, **FAMILIES[request.param])
    return str(request.param)


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    write_random_model(folder)
    return folder


def convert_back(path: Path, tmp_path: Path) -> Path:
    store = BaseModelStore(tmp_path / "bases")
    return store.add("back", lambda folder: convert_gguf(path, folder)).folder


def test_a_model_is_the_same_after_both_conversions(family: str, tmp_path: Path) -> None:
    write_gguf(tmp_path / "model", tmp_path / "model.gguf", "f32")
    back = convert_back(tmp_path / "model.gguf", tmp_path)

    before, after = (
        AutoModelForCausalLM.from_pretrained(folder) for folder in (tmp_path / "model", back)
    )
    ids = list(range(3, 200))
    assert torch.equal(compute_logits(before, ids), compute_logits(after, ids))
    assert after.config.tie_word_embeddings == FAMILIES[family]["tie_word_embeddings"]
    assert after.generation_config.eos_token_id == 2


def test_a_tokenizer_is_the_same_after_both_conversions(llama: Path, tmp_path: Path) -> None:
    write_gguf(llama, tmp_path / "model.gguf", "f32")
    back = convert_back(tmp_path / "model.gguf", tmp_path)

    before, after = (AutoTokenizer.from_pretrained(folder) for folder in (llama, back))
    for text in TEXTS:
        assert after(text).input_ids == before(text).input_ids
        assert after.decode(after(text).input_ids) == text
    assert after.apply_chat_template(CHAT, tokenize=False) == before.apply_chat_template(
        CHAT, tokenize=False
    )
    assert (after.eos_token, after.pad_token) == ("<|im_end|>", "<|endoftext|>")
    assert after("a<|im_end|>b").input_ids == before("a<|im_end|>b").input_ids


def test_smaller_weights_are_close(llama: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(llama)
    ids = list(range(3, 200))
    logits = compute_logits(model, ids)
    sizes = []
    for file_type in FILE_TYPES:
        path, folder = tmp_path / f"{file_type}.gguf", tmp_path / file_type
        write_gguf(llama, path, file_type)
        folder.mkdir()
        convert_gguf(path, folder)
        other = compute_logits(AutoModelForCausalLM.from_pretrained(folder), ids)
        assert (other - logits).abs().mean() < 0.03 * logits.std()
        sizes.append(path.stat().st_size)
    assert sizes == sorted(sizes, reverse=True)


def test_scaled_rotary_positions_of_llama_3_become_factors(tmp_path: Path) -> None:
    rope = {
        "rope_type": "llama3",
        "rope_theta": 10000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }
    write_random_model(tmp_path, rope_parameters=rope)
    write_gguf(tmp_path, tmp_path / "model.gguf", "f32")

    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(tmp_path / "model.gguf").tensors}
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    plain = 10000.0 ** -(torch.arange(0, 8, 2) / 8)
    factors = plain / model.model.rotary_emb.inv_freq
    assert torch.allclose(torch.tensor(tensors["rope_freqs.weight"].data), factors)


def compute_llama_cpp(path: Path, ids: list[int], adapter: Path | None = None) -> dict[int, float]:
    """The log probabilities of the next token in llama.cpp."""
    xllamacpp = pytest.importorskip("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx, params.n_parallel, params.verbosity = 512, 1, 1
    params.fit_params = params.warmup = False
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    if adapter is not None:
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(adapter), 1.0)]
    answers: list[dict[str, Any]] = []
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    request = {"prompt": ids, "max_tokens": 1, "logprobs": 8, "logit_bias": [[_PRINTABLE, 1000.0]]}
    xllamacpp.Server(params).handle_completions(request, answers.append)
    top = answers[0]["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
    return {entry["id"]: entry["logprob"] for entry in top}


def assert_close(found: dict[int, float], logits: Any) -> None:
    expected = torch.log_softmax(logits[-1], -1)
    assert len(found) == 8
    for token_id, logprob in found.items():
        assert logprob == pytest.approx(float(expected[token_id]), abs=1e-3)


def test_llama_cpp_computes_the_same(family: str, tmp_path: Path) -> None:
    write_gguf(tmp_path / "model", tmp_path / "model.gguf", "f32")
    ids = list(range(3, 200, 7))

    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert_close(compute_llama_cpp(tmp_path / "model.gguf", ids), compute_logits(model, ids))


@pytest.mark.parametrize("options", [{}, {"use_rslora": True}], ids=["lora", "rslora"])
def test_llama_cpp_applies_an_adapter_to_the_same_result(
    llama: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    model = write_adapter(llama, tmp_path / "adapter", **options)
    write_gguf(llama, tmp_path / "model.gguf", "f32")
    write_gguf_adapter(tmp_path / "adapter", llama, tmp_path / "adapter.gguf")

    ids = list(range(3, 200, 7))
    found = compute_llama_cpp(tmp_path / "model.gguf", ids, tmp_path / "adapter.gguf")
    write_gguf(llama, tmp_path / "merged.gguf", "f32", tmp_path / "adapter")
    assert_close(compute_llama_cpp(tmp_path / "merged.gguf", ids), compute_logits(model, ids))
    assert_close(found, compute_logits(model, ids))


def test_an_adapter_that_llama_cpp_cannot_apply_is_refused(llama: Path, tmp_path: Path) -> None:
    write_adapter(llama, tmp_path / "adapter", use_dora=True)

    with pytest.raises(EngineError, match="use_dora") as refused:
        write_gguf_adapter(tmp_path / "adapter", llama, tmp_path / "adapter.gguf")
    assert "--as gguf" in refused.value.hint
    assert not (tmp_path / "adapter.gguf").exists()


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.99])
def test_a_truncated_file_is_refused(llama: Path, tmp_path: Path, share: float) -> None:
    path = tmp_path / "model.gguf"
    write_gguf(llama, path, "f32")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])

    with pytest.raises(EngineError, match="not a complete GGUF file"):
        convert_back(path, tmp_path)
    assert BaseModelStore(tmp_path / "bases").list() == []


def test_an_unknown_architecture_is_named(llama: Path, tmp_path: Path) -> None:
    config = json.loads((llama / "config.json").read_text())
    (llama / "config.json").write_text(json.dumps(config | {"model_type": "mamba"}))

    with pytest.raises(EngineError, match="unknown architecture 'mamba'") as refused:
        write_gguf(llama, tmp_path / "model.gguf", "f32")
    assert "qwen3" in refused.value.hint


def test_an_adapter_is_not_a_base_model(llama: Path, tmp_path: Path) -> None:
    write_adapter(llama, tmp_path / "adapter")
    write_gguf_adapter(tmp_path / "adapter", llama, tmp_path / "adapter.gguf")

    with pytest.raises(EngineError, match="unknown architecture"):
        convert_back(tmp_path / "adapter.gguf", tmp_path)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("pre_tokenizer", {"pretokenizers": [{"type": "Whitespace"}]}),
        ("model", {"merges": []}),
    ],
)
def test_another_tokenizer_is_refused(
    llama: Path, tmp_path: Path, part: str, change: dict[str, Any]
) -> None:
    document = json.loads((llama / "tokenizer.json").read_text())
    document[part] |= change
    (llama / "tokenizer.json").write_text(json.dumps(document))

    with pytest.raises(EngineError, match="tokenizer") as refused:
        write_gguf(llama, tmp_path / "model.gguf", "f32")
    assert "smollm" in refused.value.hint
