"""A saved model comes back, and a damaged one is a clear error."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ftops.engine.checkpoint_file import read_tensors, write_tensors
from ftops.engine.tiny.checkpoint import read_model, write_model
from ftops.engine.tiny.trainer import TinyTrainer
from ftops.errors import EngineError


@pytest.fixture
def folder(model_folder: Path, tmp_path: Path) -> Path:
    """A copy that may be spoilt."""
    return Path(shutil.copytree(model_folder, tmp_path / "copy"))


def test_a_model_written_and_read_is_the_same(model_folder: Path, tmp_path: Path) -> None:
    model = read_model(model_folder)
    write_model(tmp_path, model)
    again = read_model(tmp_path)
    assert again.size == model.size
    np.testing.assert_array_equal(again.parameters.flat, model.parameters.flat)


def test_the_files_are_json_and_numbers(model_folder: Path) -> None:
    assert sorted(path.name for path in model_folder.iterdir()) == [
        "config.json",
        "tokenizer.json",
        "weights.safetensors",
    ]
    tensors = read_tensors(model_folder / "weights.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {np.dtype(np.float32)}


class Bomb:
    """Leaves a file behind if anybody loads it as a pickle."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, str]]:
        return (open, (str(self._path), "w"))


def test_a_pickle_in_place_of_the_weights_is_refused_and_not_run(
    folder: Path, tmp_path: Path
) -> None:
    trace = tmp_path / "it ran"
    weights = folder / "weights.safetensors"
    bomb = np.array([Bomb(trace)], dtype=object)
    with weights.open("wb") as stream:
        np.savez(stream, embedding=bomb, allow_pickle=True)
    contents = [weights.read_bytes(), pickle.dumps(Bomb(trace))]
    for content in contents:
        weights.write_bytes(content)
        with pytest.raises(EngineError, match=r"weights\.safetensors") as caught:
            TinyTrainer().load(folder)
        assert "train it again" in caught.value.hint
    assert not trace.exists()


@pytest.mark.parametrize(
    "header",
    [
        {"embedding": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}},
        {"embedding": {"dtype": "F32", "shape": [4], "data_offsets": [-16, 0]}},
        {"embedding": {"dtype": "BF16", "shape": [8], "data_offsets": [0, 16]}},
        {"embedding": {"dtype": "object", "shape": [2], "data_offsets": [0, 16]}},
        {"__metadata__": {"crc32": 7}},
        ["embedding"],
    ],
)
def test_a_header_that_lies_is_refused(folder: Path, header: object) -> None:
    text = json.dumps(header).encode()
    content = len(text).to_bytes(8, "little") + text + bytes(16)
    (folder / "weights.safetensors").write_bytes(content)
    with pytest.raises(EngineError, match=r"weights\.safetensors"):
        TinyTrainer().load(folder)


def test_a_model_of_another_format_is_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"format": 1}))
    with pytest.raises(EngineError, match="not a model of this trainer"):
        TinyTrainer().load(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "weights.safetensors"])
@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "garbage"])
def test_a_damaged_file_is_named(folder: Path, name: str, damage: str) -> None:
    path = folder / name
    content = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes({"empty": b"", "cut": content[: len(content) // 2]}.get(damage, b"\xff?"))
    with pytest.raises(EngineError, match=name) as caught:
        TinyTrainer().load(folder)
    assert "train it again" in caught.value.hint


@pytest.mark.parametrize("bits", [b"\x00", b"\xff"])
def test_one_wrong_byte_in_the_weights_is_noticed(folder: Path, bits: bytes) -> None:
    path = folder / "weights.safetensors"
    content = bytearray(path.read_bytes())
    place = len(content) // 2
    content[place : place + 1] = bits if content[place] != bits[0] else b"\x55"
    path.write_bytes(content)
    with pytest.raises(EngineError, match=r"weights\.safetensors"):
        TinyTrainer().load(folder)


def change_weights(folder: Path, change: Callable[[dict[str, NDArray[Any]]], None]) -> None:
    tensors = read_tensors(folder / "weights.safetensors")
    change(tensors)
    write_tensors(folder / "weights.safetensors", tensors)


def test_weights_of_another_shape_are_refused(folder: Path) -> None:
    def cut(tensors: dict[str, NDArray[Any]]) -> None:
        tensors["0.up"] = tensors["0.up"][:, 1:]

    change_weights(folder, cut)
    with pytest.raises(EngineError, match=r"0\.up is float32 \(64, 255\)"):
        TinyTrainer().load(folder)


def test_weights_that_are_not_numbers_are_refused(folder: Path) -> None:
    def spoil(tensors: dict[str, NDArray[Any]]) -> None:
        tensors["head"][0, 0] = np.nan

    change_weights(folder, spoil)
    with pytest.raises(EngineError, match="not finite"):
        TinyTrainer().load(folder)


@pytest.mark.parametrize("change", [{"size": "titan"}, {"format": 99}, {"size": None}])
def test_a_config_of_something_else_is_refused(folder: Path, change: dict[str, object]) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(EngineError, match=r"config\.json"):
        TinyTrainer().load(folder)
