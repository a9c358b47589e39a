"""The environment of the process: its variables, and the home folder with the ledger.

No other module reads environment variables; they are handed in.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from platformdirs import user_state_path

from ftops.clock import SystemClock
from ftops.ledger.ledger import Ledger
from ftops.spec.secret import is_secret_field, mask_secrets

_SHORTEST_SECRET = 8  # a shorter value may be a part of any word


def read_environ() -> Mapping[str, str]:
    """A copy of the environment variables as they stand now."""
    return dict(os.environ)


def clear_secrets(text: str, environ: Mapping[str, str]) -> str:
    """The text without the values of variables that are named like secrets, and without keys."""
    for name, value in environ.items():
        if is_secret_field(name) and len(value) >= _SHORTEST_SECRET:
            text = text.replace(value, "***")
    return mask_secrets(text)


def find_home(environ: Mapping[str, str]) -> Path:
    """The folder of everything ftops keeps: FTOPS_HOME, else the platform's user state folder."""
    chosen = environ.get("FTOPS_HOME", "")
    if chosen:
        return Path(chosen).expanduser().absolute()
    return user_state_path("ftops", appauthor=False)


def get_home() -> Path:
    """The folder of everything that ftops keeps; it need not exist yet."""
    return find_home(read_environ())


@contextlib.contextmanager
def open_ledger() -> Iterator[Ledger]:
    """The ledger of this home, made when it is missing."""
    with contextlib.closing(Ledger(get_home() / "ledger.db", SystemClock())) as ledger:
        yield ledger
