"""The one place that reads the process's environment; everybody else is handed what they need."""

import os
from collections.abc import Mapping
from pathlib import Path

_SHORTEST_SECRET = 8  # a shorter value may be a part of any word


def read_environ() -> Mapping[str, str]:
    """A copy of the environment variables as they stand now."""
    return dict(os.environ)


def clear_secrets(text: str, environ: Mapping[str, str]) -> str:
    """The text without the values of variables that are named like secrets, and without keys."""
    from ftops.spec.secrets import is_secret_field, mask_secrets

    for name, value in environ.items():
        if is_secret_field(name) and len(value) >= _SHORTEST_SECRET:
            text = text.replace(value, "***")
    return mask_secrets(text)


def find_home(environ: Mapping[str, str]) -> Path:
    """The folder of everything ftops keeps: FTOPS_HOME, else the platform's user state folder."""
    chosen = environ.get("FTOPS_HOME", "")
    if chosen:
        return Path(chosen).expanduser().absolute()
    from platformdirs import user_state_path

    return user_state_path("ftops", appauthor=False)
