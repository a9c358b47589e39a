"""The supported tools, with their libraries and environments."""

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ftops.exports.run_data import RunData


class Writer(Protocol):
    """A module that writes runs to one tool."""

    def write(self, run: RunData, settings: Mapping[str, str], folder: Path) -> str:
        """Create or update the run in the tool, and return its location.

        Paths in `settings` are relative to `folder`. Every exception counts as a failure.
        """


@dataclass(frozen=True, slots=True)
class ExportTool:
    """One tool: the module that writes to it, its libraries, and the environment of its process.

    `module` and `libraries` are empty for a tool that needs no library. The process gets `environ`,
    and `defaults` for variables that the user's environment does not set.
    """

    name: str
    module: str = ""
    libraries: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)

    @property
    def install_command(self) -> str:
        """The command that installs the libraries."""
        return f"pip install 'ftops[{self.name}]'"

    def find_missing_library(self) -> str | None:
        """The first library that is not installed."""
        missing = (name for name in self.libraries if importlib.util.find_spec(name) is None)
        return next(missing, None)

    def load_writer(self) -> Writer:
        """The module that writes to the tool; ImportError if a library is not installed."""
        writer: Writer = importlib.import_module(self.module)
        return writer


_NO_TELEMETRY = {"DO_NOT_TRACK": "true"}
TOOLS: Mapping[str, ExportTool] = {
    tool.name: tool
    for tool in (
        ExportTool(
            "mlflow",
            "ftops.exports.mlflow",
            ("mlflow",),
            environ={**_NO_TELEMETRY, "MLFLOW_DISABLE_TELEMETRY": "true"},
            defaults={
                "MLFLOW_ALLOW_FILE_STORE": "true",  # such a store is the user's explicit choice
                "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
                "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
                "GIT_PYTHON_REFRESH": "quiet",
            },
        ),
        ExportTool("tensorboard", "ftops.exports.tensorboard", ("tensorboard",)),
        ExportTool(
            "wandb",
            "ftops.exports.wandb",
            ("wandb",),
            environ={**_NO_TELEMETRY, "WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true"},
            defaults={"WANDB_MODE": "offline"},
        ),
        ExportTool("json"),
    )
}
