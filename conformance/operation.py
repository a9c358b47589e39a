"""What a client is to this suite: a way to install it, and named operations to try in order.

A client is one module in `conformance/clients/`, listed in `clients/__init__.py`. Its operations
run against one fresh engine, one after the other; what an operation leaves in `Scene.kept` (a job,
a model) is there for the later ones, and one that misses what an earlier one should have left
fails.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ftops.records import EngineAddress

_TRAINING_S = 300.0  # the longest that one command may take
_CUT_TO = 400  # characters of output that a failure shows


class Failed(Exception):
    """The operation did not do what it should; the text says what was seen."""


class NotHere(Exception):
    """The client cannot be installed on this machine; the text says why."""


@dataclass(frozen=True, slots=True)
class Output:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    def expect(self, *words: str, code: int = 0) -> "Output":
        """The same, or Failed when it ended otherwise or did not print all `words`."""
        ensure(self.code == code, f"exit code {self.code}: {self._tail()}")
        for word in words:
            ensure(word in self.out + self.err, f"{word!r} is not in: {self._tail()}")
        return self

    def _tail(self) -> str:
        text = (self.out + self.err).strip()
        return text[-_CUT_TO:] or "(nothing)"


@dataclass(frozen=True, slots=True)
class Scene:
    """Where an operation takes place: the engine, a folder of its client's own, the client."""

    engine: EngineAddress
    folder: Path
    tool: Path  # what the client's `install` returned
    environment: Mapping[str, str] = field(default_factory=dict)
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
        """A file in the client's folder."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def get(self, name: str) -> str:
        """What an earlier operation left; Failed when it did not."""
        if name not in self.kept:
            raise Failed(f"an earlier operation left no {name}")
        return self.kept[name]

    def _variables(self) -> dict[str, str]:
        """This process's variables without any key of the user's, and the client's own."""
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")
        }
        return {**inherited, "PYTHONWARNINGS": "ignore", **self.environment}


def ensure(condition: bool, otherwise: str) -> None:
    """Failed, saying `otherwise`, unless the condition holds."""
    if not condition:
        raise Failed(otherwise)


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the table: its name, and what to do. `attempt` raises Failed."""

    name: str
    attempt: Callable[[Scene], None]


@dataclass(frozen=True, slots=True)
class Client:
    """A stock client.

    `install(cache)` puts it into a folder of its own under `cache` and returns what its operations
    call; it raises NotHere when this machine lacks what that needs. `environment(engine)` gives
    the variables by which it finds the engine.
    """

    name: str  # for the command line
    title: str  # for the table, with the version
    install: Callable[[Path], Path]
    environment: Callable[[EngineAddress], Mapping[str, str]]
    operations: Sequence[Operation]
