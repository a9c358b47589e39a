"""Packed documents give the same predictions and gradients as one document at a time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from transformers import AutoConfig, LlamaConfig, MistralConfig

from ftops.engine.lora.encoding import EncodedDocument
from ftops.engine.lora.model import add_adapter, list_trained, load_weights
from ftops.engine.lora.objective import predict
from ftops.engine.lora.packing import has_plain_attention, make_pack, split_rows
from ftops.lora_options import LoraOptions
from tests.engine.lora.small_model import write_model

LENGTHS = (5, 40, 7, 6, 23, 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    write_model(folder)
    return folder


@pytest.fixture
def model(folder: Path) -> Any:
    torch.set_num_threads(1)  # more are many times slower on a busy machine
    loaded = load_weights(folder, LoraOptions(), torch.device("cpu"))
    adapted = add_adapter(loaded, LoraOptions(rank=4), seed=1)
    for weight in list_trained(adapted).values():
        torch.nn.init.normal_(weight, std=0.1)  # a new adapter has no effect yet
    return adapted


def make_documents() -> list[EncodedDocument]:
    random = np.random.default_rng(0)
    documents = []
    for length in LENGTHS:
        weights = (random.random(length) < 0.6).astype(np.float32)
        weights[0], weights[-1] = 0, 1
        documents.append(EncodedDocument(random.integers(0, 250, length), weights))
    return documents


def collect(model: Any, packs: Sequence[Any]) -> tuple[dict[int, Any], dict[str, Any]]:
    """The log probabilities by document, and the gradients of their sum."""
    found: dict[int, Any] = {}
    total = torch.zeros(())
    for names, pack in packs:
        values, _ = predict(model, pack)
        total = total + (values * pack.weights).sum()
        for n, name in enumerate(names):
            found[name] = values[pack.documents == n].detach()
    model.zero_grad()
    total.backward()
    return found, {name: weight.grad.clone() for name, weight in list_trained(model).items()}


@pytest.mark.parametrize("attention", ["ftops_packed", "sdpa"])
def test_documents_of_a_pack_do_not_see_each_other(model: Any, attention: str) -> None:
    model.get_base_model().set_attn_implementation(attention)
    documents = make_documents()
    alone, gradients = collect(model, [([n], make_pack([d])) for n, d in enumerate(documents)])
    packed, packed_gradients = collect(model, [(range(len(documents)), make_pack(documents))])
    for n in alone:
        torch.testing.assert_close(packed[n], alone[n], atol=1e-4, rtol=0)
    for name, gradient in gradients.items():
        torch.testing.assert_close(packed_gradients[name], gradient, atol=1e-4, rtol=1e-4)


def test_a_document_alone_has_the_probabilities_of_a_stock_model(folder: Path, model: Any) -> None:
    model.get_base_model().set_attn_implementation("sdpa")
    document = make_documents()[1]
    tokens = torch.from_numpy(document.token_ids)
    stock = torch.log_softmax(model(input_ids=tokens[None]).logits[0], dim=-1)
    values, _ = predict(model, make_pack([document]))
    places = np.flatnonzero(document.weights)
    expected = stock[places - 1, tokens[places]]
    torch.testing.assert_close(values, expected, atol=1e-4, rtol=0)


def test_rows_are_split_by_tokens_and_into_the_requested_parts() -> None:
    assert split_rows([4, 4, 4, 4], n_parts=1, max_tokens=8) == [[0, 1], [2, 3]]
    assert split_rows([4, 4, 4, 4], n_parts=4, max_tokens=100) == [[0], [1], [2], [3]]
    assert split_rows([1, 1, 9], n_parts=1, max_tokens=5) == [[0, 1], [2]]
    assert split_rows([1, 2], n_parts=5, max_tokens=100) == [[0], [1]]
    assert split_rows([], n_parts=1, max_tokens=5) == []


def test_sliding_windows_are_left_to_the_library() -> None:
    assert has_plain_attention(LlamaConfig())
    assert not has_plain_attention(MistralConfig(sliding_window=16))
    qwen = AutoConfig.for_model("qwen3", num_hidden_layers=2)
    assert has_plain_attention(qwen)
