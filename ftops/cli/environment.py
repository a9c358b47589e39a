"""The one place that reads the process's environment; everybody else is handed what they need."""

import os
from collections.abc import Mapping
from pathlib import Path


def read_environ() -> Mapping[str, str]:
    """A copy of the environment variables as they stand now."""
    return dict(os.environ)


def find_home(environ: Mapping[str, str]) -> Path:
    """The folder of everything ftops keeps: FTOPS_HOME, else the platform's user state folder."""
    chosen = environ.get("FTOPS_HOME", "")
    if chosen:
        return Path(chosen).expanduser().absolute()
    from platformdirs import user_state_path

    return user_state_path("ftops", appauthor=False)
