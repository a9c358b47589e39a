"""The fixtures of conftest.py for the network and the home folder."""

import os
import socket
from pathlib import Path

import pytest

from tests.conftest import NetworkGuardError


def test_a_connection_to_another_machine_is_refused() -> None:
    with socket.socket() as client, pytest.raises(NetworkGuardError):
        client.connect(("192.0.2.1", 80))


def test_the_home_folder_is_temporary(tmp_path: Path) -> None:
    assert Path(os.environ["FTOPS_HOME"]).is_relative_to(tmp_path)
