"""Optional libraries of metrics, imported on first use."""

import importlib
import importlib.util
from typing import Any

from ftops.errors import ScoringError


def load_optional(module: str, metric: str) -> Any:
    """The module; ScoringError, which names the package to install, if it is missing."""
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
    """Whether the module can be imported, without importing it."""
    return importlib.util.find_spec(module) is not None
