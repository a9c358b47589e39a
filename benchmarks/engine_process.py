"""An engine as a process of its own, for benchmarks that ask it over loopback."""

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class EngineProcess:
    """A running engine, and how to reach it."""

    child: subprocess.Popen[bytes]
    port: int
    token: str

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"}

    @property
    def processor_s(self) -> float:
        """Seconds that the engine has kept a processor busy (Linux; 0 elsewhere)."""
        path = Path("/proc", str(self.child.pid), "stat")
        if not path.exists():
            return 0.0
        user, system = path.read_text(encoding="ascii").rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def open(self) -> http.client.HTTPConnection:
        """A connection of the caller's own."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def get(self, connection: http.client.HTTPConnection, path: str) -> bytes:
        """The body that stands at `path`, which must be there."""
        connection.request("GET", path, headers=self.headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise SystemExit(f"GET {path}: {answer.status} {body[:500]!r}")
        return body


@contextmanager
def run_engine(folder: Path, *command: str) -> Iterator[EngineProcess]:
    """An engine in `folder`, started by `command` (left out: as a user would), its log beside."""
    command = command or ("-m", "ftops.engine", "--folder", str(folder))
    log = folder.with_name(f"{folder.name}.log")
    with log.open("wb") as stream:
        child = subprocess.Popen([sys.executable, *command], stdout=stream, stderr=stream)
    try:
        while not (folder / "address.json").exists() and child.poll() is None:
            time.sleep(0.05)
        address = json.loads((folder / "address.json").read_text(encoding="utf-8"))
        port = int(address["base_url"].rpartition(":")[2].removesuffix("/v1"))
        yield EngineProcess(child, port, address["token"])
    finally:
        child.terminate()
        child.wait()
