"""A home of its own with a small job in it, and `ftops` as a real process."""

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
class Answer:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Json:
        """The one JSON document on stdout."""
        value: Json = json.loads(self.out)
        return value


@dataclass(frozen=True)
class Sandbox:
    """A folder with job files and data, and the home beside it."""

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
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI")}
        return {**kept, "FTOPS_HOME": str(self.home), "COLUMNS": "80"}

    def ftops(self, *arguments: str | Path, stdin: str = "", **variables: str) -> Answer:
        done = subprocess.run(
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
        return Answer(done.returncode, done.stdout, done.stderr)

    def look(self, *arguments: str | Path) -> Answer:
        """The command inside this process, for those that need no process: much faster."""
        result = CliRunner().invoke(app, [*map(str, arguments)], env=self.environ())
        return Answer(result.exit_code, result.stdout, result.stderr)

    def start(self, *arguments: str | Path) -> "subprocess.Popen[str]":
        """The command as a process of its own, as a shell would start it."""
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


def interrupt_after(process: "subprocess.Popen[str]", text: str) -> Answer:
    """Press Ctrl-C once a line of the process's output holds `text`."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if text in line:
            process.send_signal(signal.SIGINT)
            break
    ended = finish(process)
    return Answer(ended.code, "".join(seen) + ended.out, ended.err)


def finish(process: "subprocess.Popen[str]") -> Answer:
    """What the process says from here on, until its end."""
    assert process.stdout is not None
    assert process.stderr is not None
    # communicate() would pass over the lines that were read ahead together with the last one.
    with process:
        out, err = process.stdout.read(), process.stderr.read()
    return Answer(process.returncode, out, err)
