"""The environment of the process: its variables, and the home folder with the ledger.

No other module reads environment variables; they are passed as arguments.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from platformdirs import user_state_path

from ftops.clock import SystemClock
from ftops.ledger.ledger import Ledger
from ftops.spec.secret import is_secret_field, mask_secrets

_MIN_SECRET_LENGTH = 8  # a shorter value may be part of other words


def read_environ() -> Mapping[str, str]:
    """A copy of the current environment variables."""
    return dict(os.environ)


def redact_secrets(text: str, environ: Mapping[str, str]) -> str:
    """The text without keys and without the values of variables whose names mean secrets."""
    for name, value in environ.items():
        if is_secret_field(name) and len(value) >= _MIN_SECRET_LENGTH:
            text = text.replace(value, "***")
    return mask_secrets(text)


def resolve_home(environ: Mapping[str, str]) -> Path:
    """FTOPS_HOME, else the user state folder of the platform."""
    chosen = environ.get("FTOPS_HOME", "")
    if chosen:
        return Path(chosen).expanduser().absolute()
    return user_state_path("ftops", appauthor=False)


def get_home() -> Path:
    """The home folder of this process; it need not exist yet."""
    return resolve_home(read_environ())


@contextlib.contextmanager
def open_ledger() -> Iterator[Ledger]:
    """The ledger in the home folder, created when it is missing."""
    with contextlib.closing(Ledger(_get_ledger_path(), SystemClock())) as ledger:
        yield ledger


@contextlib.contextmanager
def open_existing_ledger() -> Iterator[Ledger | None]:
    """The ledger in the home folder; None when there is none yet."""
    if not _get_ledger_path().exists():
        yield None
        return
    with open_ledger() as ledger:
        yield ledger


def _get_ledger_path() -> Path:
    return get_home() / "ledger.db"
