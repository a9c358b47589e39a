"""A small random model for the trainer `lora`, registered before the engine starts."""

import importlib
import importlib.util
from pathlib import Path

from conformance.operation import CannotInstall
from ftops.engine.base_models import BaseModelStore
from ftops.engine.settings import EngineFolder

BASE_MODEL = "small"


def add_base_model(folder: Path) -> None:
    """Register the model in the engine's folder; CannotInstall without the extra `lora`."""
    if importlib.util.find_spec("torch") is None:
        raise CannotInstall("the extra `lora` is not installed: `make test-lora` installs it")
    module = importlib.import_module("tests.engine.lora.random_model")
    BaseModelStore(EngineFolder(folder).base_models).add(BASE_MODEL, module.write_random_model)
