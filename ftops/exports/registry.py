"""The tools that can be told of a run: what each needs, and the one list of them."""

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ftops.exports.run_data import RunData


class Writer(Protocol):
    """The door to one tool: a module with this one function."""

    def write(self, run: RunData, settings: Mapping[str, str], folder: Path) -> str:
        """Tell the tool of the run, or bring what it knows up to date; where the run now is.

        Relative paths of `settings` begin at `folder`. Whatever is raised counts as a failure.
        """


@dataclass(frozen=True, slots=True)
class ExportTool:
    """One tool: the module that knows it, what must be installed, what its process is told.

    `imports` is empty where nothing must be. `environ` is set in the process that writes, and
    `defaults` where the user has not said otherwise.
    """

    name: str
    module: str
    imports: tuple[str, ...] = ()
    environ: Mapping[str, str] | None = None
    defaults: Mapping[str, str] | None = None

    @property
    def extra(self) -> str:
        """What is installed for it."""
        return f"pip install 'ftops[{self.name}]'"

    def find_lacking(self) -> str | None:
        """The first library that is not installed; None when all are."""
        return next((one for one in self.imports if not _is_there(one)), None)

    def open(self) -> Writer:
        """The module that writes; ImportError when its library is not installed."""
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
                "MLFLOW_ALLOW_FILE_STORE": "true",  # whoever names such a store means it
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
        ExportTool("json", "ftops.exports.to_json_file"),
    )
}


def _is_there(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
