"""Fixtures for every test: only loopback connections, and a temporary FTOPS_HOME."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.examples import register_profiles

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before NumPy is imported: one thread for equal bits

register_profiles()

pytest_plugins = ("tests.crash.pytest_figures",)

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class NetworkGuardError(AssertionError):
    """A test tried to connect to another machine."""


@pytest.fixture(autouse=True, scope="session")
def only_loopback() -> Iterator[None]:
    """Allow connections to loopback addresses only."""
    original = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in _LOOPBACK:
            raise NetworkGuardError(f"a test tried to connect to {address}")
        original(self, address)

    socket.socket.connect = connect  # type: ignore[method-assign,assignment]
    yield
    socket.socket.connect = original  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def temporary_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set FTOPS_HOME to a temporary folder, and remove provider keys from the environment."""
    home = tmp_path / "ftops-home"
    monkeypatch.setenv("FTOPS_HOME", str(home))
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)
    return home
