"""The trainers of the engine, by base model.

Listing the base models is cheap. A trainer, and NumPy or PyTorch with it, is imported on first use:
a server that only manages the queue stays small and starts at once.
"""

import functools
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass

from ftops.engine.base_models import BaseModel, BaseModelStore
from ftops.engine.settings import EngineFolder
from ftops.engine.tiny.config import PARAMETER_COUNTS
from ftops.engine.trainer import Trainer
from ftops.errors import EngineError

_LORA_PACKAGES = ("torch", "transformers", "peft")
INSTALL_LORA = "pip install 'ftops[lora]'"


@dataclass(frozen=True, slots=True)
class BaseInfo:
    """A base model: its approximate number of parameters, and what it can do.

    `install` is the command that installs the packages which training needs; empty if they are
    there.
    """

    parameters: int
    is_pretrained: bool = False
    tools: bool = False
    install: str = ""


_TINY = {base: BaseInfo(count) for base, count in PARAMETER_COUNTS.items()}


def list_bases(folder: EngineFolder) -> Mapping[str, BaseInfo]:
    """All base models: the sizes of `tiny`, then the registered ones of the folder."""
    registered = BaseModelStore(folder.base_models).list()
    if not registered:
        return _TINY
    install = _find_install_command() or ""
    return _TINY | {
        base.name: BaseInfo(base.parameters, True, base.tools, install) for base in registered
    }


def get_trainer(base: str, folder: EngineFolder) -> Trainer:
    """The trainer of this base model; EngineError when there is none."""
    if base in PARAMETER_COUNTS:
        return _load_tiny()
    registered = BaseModelStore(folder.base_models).find(base)
    if registered is None:
        raise EngineError(
            f"no base model {base!r}", hint=f"The engine trains {', '.join(list_bases(folder))}."
        )
    return _load_lora(registered)


@functools.cache
def _load_tiny() -> Trainer:
    # Imports NumPy; see above.
    from ftops.engine.tiny.trainer import TinyTrainer

    return TinyTrainer()


def _load_lora(base: BaseModel) -> Trainer:
    install = _find_install_command()
    if install is not None:
        raise EngineError(f"training {base.name} needs PyTorch", hint=f"Run `{install}`.")
    # Imports PyTorch; see above.
    module = importlib.import_module("ftops.engine.lora.trainer")
    trainer: Trainer = module.LoraTrainer(base)
    return trainer


def _find_install_command() -> str | None:
    """The command that installs what `lora` needs; None if it is installed."""
    missing = [name for name in _LORA_PACKAGES if importlib.util.find_spec(name) is None]
    return INSTALL_LORA if missing else None
