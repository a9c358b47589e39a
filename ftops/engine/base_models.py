"""The registered base models of an engine: pre-trained weights, a folder for each.

base_models/NAME/base.json             describes the model
base_models/NAME/config.json …         the files of Hugging Face Transformers
base_models/NAME/base.gguf             the file for llama.cpp, if there is one

Nothing here imports PyTorch or NumPy: the server lists base models without them.
"""

import hashlib
import json
import math
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from ftops.engine.model_store import make_empty_dir, publish_folder
from ftops.engine.tiny.config import PARAMETER_COUNTS
from ftops.errors import EngineError
from ftops.files import remove_path, sha256_file, storage_error, write_atomic
from ftops.locks import hold_lock

BASE_GGUF: Final = "base.gguf"  # in the folder of a base model
CALIBRATION: Final = "calibration.json"  # speed and memory of the last training
CHAT_TEMPLATE: Final = "chat_template.jinja"
MODEL_CARD: Final = "README.md"
_BASE: Final = "base.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # `:` separates the parts of a tuned name
_LONGEST_HEADER_BYTES: Final = 100_000_000  # as in the safetensors library


@dataclass(frozen=True, slots=True)
class BaseModel:
    """A registered base model; `licence` and `source` are empty when they are unknown."""

    name: str
    folder: Path
    architecture: str  # `model_type` of its config.json
    parameters: int
    size_bytes: int  # of its weights
    context_length: int
    sha256: str  # of its weights
    chat_template: bool = False
    tools: bool = False  # its chat template renders tools
    licence: str = ""
    source: str = ""  # the package, file, folder or repository that it comes from


class BaseModelStore:
    """The base models in a folder. A model is there completely or not at all."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def find(self, name: str) -> BaseModel | None:
        """The base model of this name; any text is accepted, for example a path."""
        if _NAME.fullmatch(name) is None:
            return None
        return _read_base(self._root / name)

    def add(self, name: str, write_files: Callable[[Path], None], *, source: str = "") -> BaseModel:
        """Register the files that `write_files` puts into an empty folder.

        EngineError when the name is taken or invalid, when another process adds it, or when the
        files are not a model that can be trained. Nothing is kept then.
        """
        check_name(name)
        with hold_lock(self._root / f".{name}.lock") as is_held:
            if not is_held:
                raise EngineError(f"another command is adding the base model {name!r}")
            if self.find(name) is not None:
                raise EngineError(
                    f"there is a base model {name!r} already",
                    hint=f"Choose another name, or run `ftops engine models rm {name}` first.",
                )
            temporary = make_empty_dir(self._root / f".{name}.part")
            try:
                write_files(temporary)
                facts = _read_facts(temporary) | {"source": source}
                write_atomic(temporary / _BASE, json.dumps(facts, indent=2).encode() + b"\n")
                publish_folder(temporary, self._root / name)
            except OSError as error:
                raise storage_error(error, self._root / name) from error
            finally:
                remove_path(temporary)
        return BaseModel(name=name, folder=self._root / name, **facts)

    def remove(self, name: str) -> bool:
        """Delete a base model; False when there is none. Processes that use it are not affected."""
        if self.find(name) is None:
            return False
        with hold_lock(self._root / f".{name}.lock"):
            removed = self._root / f".{name}.part"
            remove_path(removed)
            try:
                (self._root / name).replace(removed)
            except OSError as error:
                raise storage_error(error, self._root / name) from error
            remove_path(removed)
        return True

    def list(self) -> list[BaseModel]:
        """All base models by name. Folders that cannot be read are left out."""
        if not self._root.is_dir():
            return []
        return sorted(
            (base for path in self._root.iterdir() if (base := self.find(path.name)) is not None),
            key=lambda base: base.name,
        )


def check_name(name: str) -> None:
    """EngineError when no base model can have this name."""
    if name in PARAMETER_COUNTS:
        raise EngineError(f"{name!r} is a base model of the built-in trainer")
    if _NAME.fullmatch(name) is None:
        raise EngineError(
            f"a base model cannot be named {name!r}",
            hint="A name has up to 64 letters, digits, dots, underscores and hyphens.",
        )


def find_chat_template(folder: Path) -> str | None:
    """The chat template of a model in Hugging Face format."""
    path = folder / CHAT_TEMPLATE
    if path.exists():
        return path.read_text(encoding="utf-8")
    template = read_json(folder / "tokenizer_config.json").get("chat_template")
    if isinstance(template, list):  # named templates: [{"name": …, "template": …}]
        named = {entry["name"]: entry["template"] for entry in template}
        template = named.get("default")
    return template if isinstance(template, str) else None


def find_licence(folder: Path) -> str | None:
    """The licence in the metadata of the model card, as an SPDX id or a name of its own."""
    try:
        card = (folder / MODEL_CARD).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    metadata = re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)
    fields = dict(
        re.findall(r"(?m)^(license(?:_name)?):[ \t]*(\S+)", metadata[1] if metadata else "")
    )
    return fields.get("license_name") or fields.get("license")


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file of a model; EngineError when it is missing or invalid."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise EngineError(f"{path}: cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise EngineError(f"{path}: is not a JSON object")
    return document


def find_option_without_gguf(adapter: Mapping[str, Any]) -> str | None:
    """The option of an adapter, by its configuration in PEFT format, that GGUF files lack."""
    options = ("use_dora", "modules_to_save", "rank_pattern", "alpha_pattern")
    return next((option for option in options if adapter.get(option)), None)


def read_safetensors_header(path: Path) -> tuple[dict[str, Any], int]:
    """The tensors of a safetensors file by name, and the offset of their data.

    A tensor is an object with `dtype`, `shape` and `data_offsets` (the first byte and the end).
    EngineError when the file is damaged or truncated.
    """
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > _LONGEST_HEADER_BYTES:
                raise ValueError("its header is too long")
            header = json.loads(stream.read(length))
        header.pop("__metadata__", None)
        ends = [tensor["data_offsets"][1] for tensor in header.values()]
        if path.stat().st_size != 8 + length + max(ends, default=0):
            raise ValueError("it is truncated")
        return header, 8 + length
    except (OSError, ValueError, KeyError, TypeError, struct.error, RecursionError) as error:
        raise EngineError(f"{path}: is not a safetensors file: {error}") from error


def list_weights(folder: Path) -> tuple[Path, ...]:
    """The safetensors files of a model; EngineError when one is missing."""
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        names = {"model.safetensors"}
    else:
        names = set(map(str, dict(read_json(index).get("weight_map", {})).values()))
    paths = tuple(folder / name for name in sorted(names))
    for path in paths:
        if path.parent != folder or not path.is_file():
            raise EngineError(
                f"{folder}: has no weights in safetensors format",
                hint="Pickled weights (.bin, .pt) are not loaded: convert them to safetensors.",
            )
    return paths


def _read_base(folder: Path) -> BaseModel | None:
    try:
        values = json.loads((folder / _BASE).read_text(encoding="utf-8"))
        return BaseModel(name=folder.name, folder=folder, **values)
    except (OSError, ValueError, TypeError):
        return None


def check_model(folder: Path) -> None:
    """EngineError for a folder in Hugging Face format that cannot be trained, weights not read."""
    config = read_json(folder / "config.json")
    read_json(folder / "tokenizer.json")
    read_json(folder / "tokenizer_config.json")
    list_weights(folder)
    for name in ("config.json", "tokenizer_config.json"):
        if "auto_map" in read_json(folder / name):
            raise EngineError(
                f"{name} of the model has `auto_map`: it needs code of its own, which never runs",
                hint="Use a model whose architecture Transformers includes.",
            )
    _get(config, "model_type", str, folder)
    _get(config, "max_position_embeddings", int, folder)


def _read_facts(folder: Path) -> dict[str, Any]:
    """The fields of `BaseModel` that the files of a model contain, as base.json has them."""
    check_model(folder)
    config = read_json(folder / "config.json")
    weights = list_weights(folder)
    template = find_chat_template(folder)
    base = BaseModel(
        name="",
        folder=folder,
        architecture=_get(config, "model_type", str, folder),
        parameters=sum(map(_count_parameters, weights)),
        size_bytes=sum(path.stat().st_size for path in weights),
        context_length=_get(config, "max_position_embeddings", int, folder),
        sha256=hash_weights(weights),
        chat_template=template is not None,
        tools=template is not None and re.search(r"\btools\b", template) is not None,
        licence=find_licence(folder) or "",
    )
    facts = asdict(base)
    del facts["name"], facts["folder"]
    return facts


def _count_parameters(path: Path) -> int:
    tensors, _ = read_safetensors_header(path)
    return sum(math.prod(tensor["shape"]) for tensor in tensors.values())


def hash_weights(paths: tuple[Path, ...]) -> str:
    """The SHA-256 of one file of weights, or of the hashes of several in their order."""
    hashes = [sha256_file(path) for path in paths]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def _get(config: Mapping[str, Any], key: str, kind: type, folder: Path) -> Any:
    text_config = config.get("text_config")  # of models that take images, too
    value = config.get(key, text_config.get(key) if isinstance(text_config, dict) else None)
    if not isinstance(value, kind):
        raise EngineError(f"{folder / 'config.json'}: {key!r} is missing")
    return value
