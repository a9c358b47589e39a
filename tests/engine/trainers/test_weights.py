"""A saved model comes back, and a damaged one is a clear error."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from ftops.engine.trainers.tiny.trainer import TinyTrainer
from ftops.engine.trainers.tiny.weights import read_model, write_model
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


def test_the_files_hold_no_pickles(model_folder: Path) -> None:
    assert sorted(path.name for path in model_folder.iterdir()) == [
        "config.json",
        "tokenizer.json",
        "weights.npz",
    ]
    with np.load(model_folder / "weights.npz", allow_pickle=False) as archive:
        assert {archive[name].dtype for name in archive} == {np.dtype(np.float32)}


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "weights.npz"])
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
    path = folder / "weights.npz"
    content = bytearray(path.read_bytes())
    place = len(content) // 2
    content[place : place + 1] = bits if content[place] != bits[0] else b"\x55"
    path.write_bytes(content)
    with pytest.raises(EngineError, match=r"weights\.npz"):
        TinyTrainer().load(folder)


def test_weights_of_another_shape_are_refused(folder: Path) -> None:
    with np.load(folder / "weights.npz") as archive:
        tensors = dict(archive)
    tensors["0.up"] = tensors["0.up"][:, 1:]
    np.savez(folder / "weights.npz", **tensors)
    with pytest.raises(EngineError, match=r"0\.up is float32 \(64, 255\)"):
        TinyTrainer().load(folder)


def test_weights_that_are_not_numbers_are_refused(folder: Path) -> None:
    with np.load(folder / "weights.npz") as archive:
        tensors = dict(archive)
    tensors["head"][0, 0] = np.nan
    np.savez(folder / "weights.npz", **tensors)
    with pytest.raises(EngineError, match="not finite"):
        TinyTrainer().load(folder)


@pytest.mark.parametrize("change", [{"size": "titan"}, {"format": 99}, {"size": None}])
def test_a_config_of_something_else_is_refused(folder: Path, change: dict[str, object]) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(EngineError, match=r"config\.json"):
        TinyTrainer().load(folder)
