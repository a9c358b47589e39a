import json
import struct
from pathlib import Path

import pytest

from ftops.engine.base_models import BaseModelStore, check_name, read_safetensors_header
from ftops.errors import EngineError
from ftops.locks import hold_lock

CONFIG = {"model_type": "llama", "max_position_embeddings": 64}
TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"


def write_safetensors(path: Path, **shapes: list[int]) -> None:
    """A safetensors file with tensors of 32-bit zeros."""
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 4
        for dimension in shape:
            size *= dimension
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(end))


# Of bytes; Transformers loads it where it is installed.
TOKENIZER = {
    "version": "1.0",
    "added_tokens": [],
    "pre_tokenizer": {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": True,
    },
    "model": {
        "type": "BPE",
        "vocab": {chr(code): code - 33 for code in range(33, 324)},
        "merges": [],
    },
}


def write_model(folder: Path, *, config: object = CONFIG, template: str | None = TEMPLATE) -> None:
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text(json.dumps(TOKENIZER))
    tokenizer = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "!"}
    tokenizer |= {} if template is None else {"chat_template": template}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    (folder / "README.md").write_text("---\nlanguage: en\nlicense: apache-2.0\n---\n# Small\n")
    write_safetensors(folder / "model.safetensors", embed=[8, 4], head=[4])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "base_models"


@pytest.fixture
def store(root: Path) -> BaseModelStore:
    return BaseModelStore(root)


def test_an_added_model_is_found_with_what_its_files_say(store: BaseModelStore, root: Path) -> None:
    added = store.add("small", write_model, source="small.gguf")

    assert store.find("small") == added
    assert store.list() == [added]
    assert added.folder == root / "small"
    assert (added.architecture, added.parameters, added.context_length) == ("llama", 36, 64)
    assert (added.licence, added.source) == ("apache-2.0", "small.gguf")
    assert added.size_bytes == (added.folder / "model.safetensors").stat().st_size
    assert added.chat_template
    assert not added.tools


def test_tools_are_read_from_the_chat_template(store: BaseModelStore) -> None:
    def write_files(folder: Path) -> None:
        write_model(folder, template=None)
        (folder / "chat_template.jinja").write_text("{% if tools %}{{ tools }}{% endif %}")

    assert store.add("small", write_files).tools


def test_a_model_without_a_template_takes_no_chats(store: BaseModelStore) -> None:
    assert not store.add("small", lambda folder: write_model(folder, template=None)).chat_template


def test_the_parts_of_large_weights_are_counted_together(store: BaseModelStore) -> None:
    def write_files(folder: Path) -> None:
        write_model(folder)
        (folder / "model.safetensors").rename(folder / "one.safetensors")
        write_safetensors(folder / "two.safetensors", more=[10])
        index = {"weight_map": {"embed": "one.safetensors", "more": "two.safetensors"}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    assert store.add("large", write_files).parameters == 46


def test_a_removed_model_is_gone(store: BaseModelStore) -> None:
    store.add("small", write_model)

    assert store.remove("small")
    assert store.list() == []
    assert not store.remove("small")


def test_a_taken_name_is_refused(store: BaseModelStore) -> None:
    store.add("small", write_model)

    with pytest.raises(EngineError, match="already") as refused:
        store.add("small", write_model)
    assert "ftops engine models rm small" in refused.value.hint


def test_two_commands_cannot_add_the_same_model(store: BaseModelStore, root: Path) -> None:
    with hold_lock(root / ".small.lock"), pytest.raises(EngineError, match="another command"):
        store.add("small", write_model)


def test_files_of_a_killed_command_are_replaced(store: BaseModelStore, root: Path) -> None:
    (root / ".small.part").mkdir(parents=True)
    (root / ".small.part" / "half").write_text("")

    assert not (store.add("small", write_model).folder / "half").exists()


@pytest.mark.parametrize("name", ["ada", "a:b", "", "../other", ".hidden", "a" * 65])
def test_a_name_that_cannot_be_used_is_refused(name: str) -> None:
    with pytest.raises(EngineError):
        check_name(name)


@pytest.mark.parametrize("name", ["../small", "/etc", ".small.part", "a\0b", "missing"])
def test_other_names_are_not_found(store: BaseModelStore, name: str) -> None:
    store.add("small", write_model)

    assert store.find(name) is None


def test_a_failed_addition_keeps_nothing(store: BaseModelStore, root: Path) -> None:
    def fail(folder: Path) -> None:
        write_model(folder)
        raise EngineError("the file is damaged")

    with pytest.raises(EngineError, match="damaged"):
        store.add("small", fail)
    assert [path.name for path in root.iterdir()] == [".small.lock"]


def test_code_in_a_model_is_refused(store: BaseModelStore) -> None:
    config = CONFIG | {"auto_map": {"AutoModel": "modeling_small.Small"}}

    with pytest.raises(EngineError, match="auto_map"):
        store.add("small", lambda folder: write_model(folder, config=config))


def test_pickled_weights_are_refused(store: BaseModelStore) -> None:
    def write_files(folder: Path) -> None:
        write_model(folder)
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")

    with pytest.raises(EngineError, match="no weights in safetensors format"):
        store.add("small", write_files)


@pytest.mark.parametrize("config", [[], {}, {"model_type": "llama", "text_config": 3}])
def test_a_config_without_a_context_length_is_refused(
    store: BaseModelStore, config: object
) -> None:
    with pytest.raises(EngineError, match=r"config\.json"):
        store.add("small", lambda folder: write_model(folder, config=config))


def test_truncated_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_safetensors(path, embed=[8, 4])
    path.write_bytes(path.read_bytes()[:-1])

    with pytest.raises(EngineError, match="truncated"):
        read_safetensors_header(path)


@pytest.mark.parametrize("content", [b"", b"\xff" * 8, b"\x02\0\0\0\0\0\0\0[]"])
def test_other_files_are_no_weights(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)

    with pytest.raises(EngineError, match="not a safetensors file"):
        read_safetensors_header(path)
