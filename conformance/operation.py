"""Clients of the suite: how each is installed, and its operations in order.

A client is one module in `conformance/clients/`, listed in `clients/__init__.py`. Its operations
run in order against one new server: the engine, or a stand-in for the server of another provider.
They share values (a job, a model) in `OperationContext.kept`; an operation fails if an earlier one
did not store the value that it needs.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from conformance.engine import fresh_engine

_TRAINING_S = 600.0  # timeout of one command
_CUT_TO = 400  # characters of output in a failure message
_PROVIDERS = ("AZURE_", "CRUSOE_", "GOOGLE_", "NEBIUS_", "OPENAI_", "TOGETHER_")


class Failed(Exception):
    """The operation had another result than expected; the message describes it."""


class CannotInstall(Exception):
    """The client cannot be installed on this machine; the message says why."""


@dataclass(frozen=True, slots=True)
class Output:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str

    def expect(self, *words: str, code: int = 0) -> "Output":
        """The output itself; Failed if the exit code differs or a word is missing."""
        ensure(self.code == code, f"exit code {self.code}: {self._tail()}")
        for word in words:
            ensure(word in self.out + self.err, f"{word!r} is not in: {self._tail()}")
        return self

    def _tail(self) -> str:
        text = (self.out + self.err).strip()
        return text[-_CUT_TO:] or "(nothing)"


class Server(Protocol):
    """Where the requests of a client go, and with what key."""

    @property
    def base_url(self) -> str: ...

    @property
    def token(self) -> str: ...


@dataclass(frozen=True, slots=True)
class OperationContext:
    """The server, the client and its working folder."""

    server: Server
    folder: Path
    tool: Path  # what the client's `install` returned
    environment: Mapping[str, str] = field(default_factory=dict)
    base_model: str = "ada"
    kept: dict[str, str] = field(default_factory=dict)

    def run(self, *command: str | Path, input: str = "", limit_s: float = _TRAINING_S) -> Output:
        """Run a command in the client's folder."""
        try:
            done = subprocess.run(
                [str(part) for part in command],
                cwd=self.folder,
                env=self._variables(),
                input=input,
                capture_output=True,
                text=True,
                timeout=limit_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Failed(f"not done after {limit_s:g} s: {command[-1]}") from error
        return Output(done.returncode, done.stdout, done.stderr)

    def interrupt(self, *command: str | Path, when: str, limit_s: float = _TRAINING_S) -> Output:
        """Run a command and send it Ctrl-C as soon as it has printed `when`."""
        with subprocess.Popen(
            [str(part) for part in command],
            cwd=self.folder,
            env=self._variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as child:
            late = threading.Timer(limit_s, child.kill)
            late.start()
            try:
                assert child.stdout is not None
                seen = ""
                while when not in seen and (line := child.stdout.readline()):
                    seen += line
                child.send_signal(signal.SIGINT)
                seen += child.stdout.read()
                code = child.wait()
            finally:
                late.cancel()
                child.kill()
        ensure(when in seen, f"{when!r} was never printed: {seen[-_CUT_TO:]}")
        return Output(code, seen, "")

    def write(self, name: str, text: str) -> Path:
        """Write a file to the client's folder."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def get(self, name: str) -> str:
        """The value that an earlier operation stored; Failed if there is none."""
        if name not in self.kept:
            raise Failed(f"no earlier operation stored a {name}")
        return self.kept[name]

    def _variables(self) -> dict[str, str]:
        """The environment without the user's keys of providers, and the client's variables."""
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(_PROVIDERS)
        }
        own = {"PYTHONWARNINGS": "ignore", "BASE_MODEL": self.base_model}
        return {**inherited, **own, **self.environment}


def ensure(condition: bool, otherwise: str) -> None:
    """Raise Failed with the message `otherwise` unless the condition holds."""
    if not condition:
        raise Failed(otherwise)


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the table. `attempt` raises Failed."""

    name: str
    attempt: Callable[[OperationContext], None]


@dataclass(frozen=True, slots=True)
class Client:
    """An unmodified client.

    `install(cache)` installs it into its own folder under `cache` and returns the path that its
    operations call; it raises CannotInstall if this machine lacks a tool. `environment(server)`
    returns the variables that point the client at the server. `prepare(folder)` writes what the
    server finds in its folder when it starts, and raises the same error. `start(folder)` runs the
    server until its block ends.
    """

    name: str  # for the command line
    title: str  # for the table, with the version
    install: Callable[[Path], Path]
    environment: Callable[[Server], Mapping[str, str]]
    operations: Sequence[Operation]
    prepare: Callable[[Path], None] = lambda _: None
    base_model: str = "ada"  # that most jobs train
    start: Callable[[Path], AbstractContextManager[Server]] = fresh_engine
