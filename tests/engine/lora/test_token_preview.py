"""`ftops data preview --for MODEL`: the tokens of a row, and which of them are trained."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from ftops.engine.base_models import BaseModel, BaseModelStore
from ftops.engine.token_preview import preview_tokens
from ftops.errors import DatasetError
from tests.cli.running import ftops
from tests.data.data_files import chat, write_rows
from tests.engine.lora.small_model import TEMPLATE, add_model

DEFAULT = (
    "{%- if messages[0].role != 'system' %}<|im_start|>system\nBe kind.<|im_end|>\n{% endif %}"
)
ROW: Any = chat("Where?", "Here.")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    add_model(home / "engine" / "base_models", template=DEFAULT + TEMPLATE)
    return home


@pytest.fixture
def base(home: Path) -> BaseModel:
    base = BaseModelStore(home / "engine" / "base_models").find("small")
    assert base is not None
    return base


def test_the_default_system_prompt_and_the_trained_tokens_are_shown(base: BaseModel) -> None:
    preview = preview_tokens(base, [("a:1", ROW)])
    assert preview.default_system_prompt == "Be kind."
    (document,) = preview.rows[0]
    assert "".join(document.texts).startswith("<|im_start|>system\nBe kind.<|im_end|>\n")
    trained = [
        text for text, weight in zip(document.texts, document.weights, strict=True) if weight == 1
    ]
    assert trained == ["H", "e", "r", "e", ".", "<|im_end|>"]


def test_a_template_without_a_default_system_prompt(tmp_path: Path) -> None:
    preview = preview_tokens(add_model(tmp_path), [("a:1", ROW)])
    assert preview.default_system_prompt is None


def test_a_row_that_cannot_be_trained_on_is_named(base: BaseModel) -> None:
    row: Any = {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}
    with pytest.raises(DatasetError, match=r"rows.jsonl:7: messages\[0\].*image parts cannot"):
        preview_tokens(base, [("rows.jsonl:7", row)])


def test_the_command_shows_one_row_as_tokens(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTOPS_HOME", str(home))
    rows = [ROW, chat("Who?", "Me.")]
    data = write_rows(tmp_path / "rows.jsonl", rows)
    shown = ftops("data", "preview", data, "--for", "small")
    assert shown.code == 0, shown.err
    assert "'Be kind.', which the chat template adds" in shown.out
    assert "⟦Here.<|im_end|>⟧" in shown.out
    assert "Me." not in shown.out
    second = ftops("data", "preview", data, "--for", "local/small", "--row", "2", "--json")
    (row,) = json.loads(second.out)["rows"]
    assert (row["location"], row["trained_tokens"]) == (2, 4)
    (document,) = row["documents"]
    assert len(document["token_ids"]) == len(document["weights"]) == row["tokens"]


def test_a_model_that_can_be_added_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTOPS_HOME", str(tmp_path))
    data = write_rows(tmp_path / "rows.jsonl", [chat("Where?", "Here.")])
    result = ftops("data", "preview", data, "--for", "smollm2-135m")
    assert result.code != 0
    assert "ftops engine models add smollm2-135m" in result.err
