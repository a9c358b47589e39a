"""Runs `ftops` in the process of a test, and writes a small job to disk."""

import json
from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner

from ftops.cli.main import app
from ftops.records import Json


@dataclass(frozen=True)
class CommandResult:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Json]:
        """The JSON object on stdout."""
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value

    @property
    def error(self) -> dict[str, Json]:
        """The error in the JSON document."""
        value = self.document["error"]
        assert isinstance(value, dict)
        return value


def ftops(*arguments: str | Path, stdin: str | bytes | None = None) -> CommandResult:
    """Run a command; stdout and stderr are not terminals."""
    result = CliRunner().invoke(app, [*map(str, arguments)], input=stdin, prog_name="ftops")
    return CommandResult(result.exit_code, result.stdout, result.stderr)


def write_rows(path: Path, rows: int = 12) -> Path:
    """Rows with three labels."""
    lines = [
        json.dumps({"prompt": f"row {number}", "completion": f" {number % 3}"})
        for number in range(rows)
    ]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def write_job(folder: Path, text: str = "", *, provider: str = "local", model: str = "ada") -> Path:
    """A valid job file with its data; `text` is appended to it."""
    write_rows(folder / "train.jsonl")
    path = folder / "job.yaml"
    path.write_text(
        f"name: small\nprovider: {provider}\nmodel: {model}\ntraining_file: train.jsonl\n{text}",
        encoding="utf-8",
    )
    return path
