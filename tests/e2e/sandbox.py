"""A home with a small job, and `ftops` as a real process."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner

from ftops.cli.main import app
from ftops.records import Json

LABELS = (" red", " green", " blue")
THINGS = ("the apple", "a leaf", "the sea", "one rose", "wet grass", "clear sky", "ripe cherries")
PLACES = ("in the morning", "at noon", "after the rain", "far away", "on the table", "by the door")
COMMAND = (sys.executable, "-m", "ftops")
LIMIT_S = 60


@dataclass(frozen=True)
class Result:
    """The exit code and output of a command."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Json:
        """The JSON document on stdout."""
        value: Json = json.loads(self.out)
        return value


@dataclass(frozen=True)
class Sandbox:
    """A folder with job files, data and a home."""

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def job(self) -> Path:
        return self.folder / "colours.yaml"

    def write_data(self, name: str, places: tuple[str, ...]) -> None:
        rows = [
            {"prompt": f"{thing} {place}", "completion": LABELS[number % 3]}
            for number, thing in enumerate(THINGS)
            for place in places
        ]
        text = "".join(f"{json.dumps(row)}\n" for row in rows)
        (self.folder / name).write_text(text, encoding="utf-8")

    def write_job(
        self,
        name: str = "colours",
        *,
        epochs: int = 2,
        seed: int | None = 1,
        provider: str = "local",
    ) -> Path:
        path = self.folder / f"{name}.yaml"
        path.write_text(
            f"name: {name}\nprovider: {provider}\nmodel: ada\nsuffix: {name}\n"
            "training_file: train.jsonl\nvalidation_file: validation.jsonl\n"
            f"hyperparameters: {{n_epochs: {epochs}}}\nseed: {'' if seed is None else seed}\n"
            "prepare: {separator: ' ->', stop: \"\\n\"}\n",
            encoding="utf-8",
        )
        return path

    def environ(self) -> dict[str, str]:
        variables = {
            name: value for name, value in os.environ.items() if not name.startswith("OPENAI")
        }
        return {**variables, "FTOPS_HOME": str(self.home), "COLUMNS": "80"}

    def ftops(self, *arguments: str | Path, stdin: str = "", **variables: str) -> Result:
        completed = subprocess.run(
            [*COMMAND, *map(str, arguments)],
            input=stdin,
            capture_output=True,
            text=True,
            encoding="utf-8",
            env={**self.environ(), **variables},
            cwd=self.folder,
            timeout=LIMIT_S,
            check=False,
        )
        return Result(completed.returncode, completed.stdout, completed.stderr)

    def invoke(self, *arguments: str | Path) -> Result:
        """Run the command in this process, which is faster."""
        result = CliRunner().invoke(app, [*map(str, arguments)], env=self.environ())
        return Result(result.exit_code, result.stdout, result.stderr)

    def start(self, *arguments: str | Path) -> "subprocess.Popen[str]":
        """Start the command as a process, as a shell does."""
        return subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env=self.environ(),
            cwd=self.folder,
        )


def interrupt_after(process: "subprocess.Popen[str]", text: str) -> Result:
    """Send Ctrl-C when a line of the output contains `text`; return the result."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            process.send_signal(signal.SIGINT)
            break
    rest = finish(process)
    return Result(rest.code, "".join(lines) + rest.out, rest.err)


def finish(process: "subprocess.Popen[str]") -> Result:
    """Wait for the end of the process; return the rest of its output."""
    assert process.stdout is not None
    assert process.stderr is not None
    # communicate() loses lines that are already in the buffer.
    with process:
        out, err = process.stdout.read(), process.stderr.read()
    return Result(process.returncode, out, err)
