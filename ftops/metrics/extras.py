"""The libraries that some metrics need, each imported when it is first asked for."""

import importlib
import importlib.util
from typing import Any

from ftops.errors import ScoringError


def need(module: str, metric: str) -> Any:
    """The module; ScoringError with what to install where it is missing."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        raise ScoringError(
            f"the metric `{metric}` needs {error.name}, which is not installed",
            hint="Install it with the extra: pip install 'ftops[metrics]'",
        ) from error


def is_installed(module: str) -> bool:
    """Whether the module is there; it is not imported."""
    return importlib.util.find_spec(module) is not None
