"""The output of all commands: text, one JSON document, or only the essential values.

Results go to stdout, everything else to stderr. In the JSON mode stdout gets exactly one document.
Text from data, job files and providers is escaped for a terminal: it never becomes a control
sequence or rich markup. Pipes get the text unchanged.
"""

import json
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from pathlib import Path
from typing import TextIO

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from ftops.errors import FtopsError
from ftops.records import Json

# control characters except tab and newline, and those that change the writing direction
_HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
# not escaped by json.dumps, but interpreted by terminals or refused by encoders
_UNPRINTED_JSON = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_BREAKING = re.compile(f"{_HARMFUL.pattern}|[\n\u2028\u2029]")  # and line breaks
PIPE_WIDTH = 1000  # pipes get unwrapped lines


class Mode(Enum):
    """The form of the output."""

    HUMAN = "human"
    JSON = "json"
    QUIET = "quiet"


def clean(text: str) -> str:
    """The text with control and direction characters made visible, such as \\x1b."""
    return _HARMFUL.sub(lambda match: _escape(match.group()), text)


def render_json(document: Json) -> str:
    """The document as indented JSON that is safe to print anywhere."""
    text = json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False)
    return _UNPRINTED_JSON.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def render_json_line(document: Json) -> str:
    """The document on one line, equally safe to print."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False)
    return _UNPRINTED_JSON.sub(lambda match: f"\\u{ord(match.group()):04x}", text) + "\n"


class Output:
    """Prints the result, the notes and the errors of a command."""

    def __init__(self, mode: Mode, *, stdout: TextIO, stderr: TextIO) -> None:
        self.mode = mode
        self.stdout = stdout
        self.stderr = stderr
        self.about: dict[str, Json] = {}  # fields for the document of an error
        self.job_file: Path | None = None  # for hints
        self._console: Console | None = None

    @property
    def console(self) -> Console:
        """For progress: stdout, or stderr in the JSON and quiet modes."""
        if self._console is None:
            stream = self.stdout if self.mode is Mode.HUMAN else self.stderr
            self._console = _open_console(stream)
        return self._console

    def finish(
        self,
        document: Json,
        *,
        essential: Iterable[str],
        human: Callable[[], Iterable[RenderableType]],
    ) -> None:
        """Print the result of the command in the form of the mode."""
        if self.mode is Mode.JSON:
            self.stdout.write(render_json(document) + "\n")
        elif self.mode is Mode.QUIET:
            self.write_lines(essential)
        else:
            for renderable in human():
                self.show(renderable)
        self.stdout.flush()

    def finish_text(self, document: Json, text: str) -> None:
        """Print a result that is itself a text for programs."""
        if self.mode is Mode.JSON:
            self.finish(document, essential=(), human=tuple)
        else:
            self.write(text)

    def show(self, renderable: RenderableType) -> None:
        """Print a text or table to the console; texts are literal and never wrapped."""
        if isinstance(renderable, str):
            renderable = clean(renderable)
        soft_wrap = isinstance(renderable, str | Text)
        if self.console.is_terminal:
            self.console.print(renderable, soft_wrap=soft_wrap)
            return
        with self.console.capture() as captured:
            self.console.print(renderable, soft_wrap=soft_wrap)
        lines = captured.get().splitlines()  # tables pad their lines
        self.console.file.write("".join(f"{line.rstrip()}\n" for line in lines))
        self.console.file.flush()

    def write(self, text: str) -> None:
        """Write text to stdout at once; on a terminal without control characters."""
        self.stdout.write(clean(text) if self.stdout.isatty() else text)
        self.stdout.flush()

    def write_lines(self, lines: Iterable[str]) -> None:
        """Write one text per line; none can break its line or control a terminal."""
        for line in lines:
            self.stdout.write(_BREAKING.sub(lambda match: _escape(match.group()), line) + "\n")
        self.stdout.flush()

    def info(self, text: str) -> None:
        """Print a note to stderr; nothing in the quiet mode."""
        if self.mode is not Mode.QUIET:
            self.warn(text)

    def warn(self, text: str) -> None:
        """Print a line to stderr in every mode."""
        self.stderr.write(f"{clean(text)}\n")
        self.stderr.flush()

    def error(self, message: str, hint: str, *, label: str = "error:") -> None:
        """Print an error and what to do next to stderr."""
        self._write_labelled(label, "bold red", message)
        if hint := self.name_job_file(hint):
            self._write_labelled("next:", "bold cyan", hint)

    def name_job_file(self, hint: str) -> str:
        """The hint with the path of the command's job file instead of JOB.yaml."""
        if self.job_file is None:
            return re.sub(r"; `ftops check JOB\.yaml`[^.]*", "", hint)
        return hint.replace("JOB.yaml", shlex.quote(str(self.job_file)))

    def _write_labelled(self, label: str, style: str, text: str) -> None:
        if not self.stderr.isatty():
            self.warn(f"{label} {text}")
            return
        _open_console(self.stderr).print(hang(Text(f"{label} ", style), Text(clean(text))))


def hang(label: Text, text: Text) -> RenderableType:
    """The text with a hanging indent as wide as its label."""
    grid = Table.grid()
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(label, text)
    return grid


def _open_console(stream: TextIO) -> Console:
    class Pipe(Console):
        """Raises BrokenPipeError where rich would exit the process.

        Escapes all output once more, also in tables, bars and titles.
        """

        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                if segment.control is None and _HARMFUL.search(segment.text):
                    segment = Segment(clean(segment.text), segment.style)
                yield segment

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    return Pipe(
        file=stream,
        markup=False,
        highlight=False,
        emoji=False,
        width=None if stream.isatty() else PIPE_WIDTH,
    )


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


class NotConfirmed(FtopsError):
    """Nothing was done: the user did not confirm."""


def confirm(out: Output, verb: str, names: Sequence[str], *, yes: bool) -> None:
    """Return when the user agrees; NotConfirmed when they do not, or without a terminal."""
    if yes:
        return
    listed = ", ".join(names)
    if out.mode is not Mode.HUMAN or not sys.stdin.isatty():
        raise NotConfirmed(
            f"not a terminal: cannot confirm; nothing was deleted: {listed}",
            hint="Give --yes to delete without confirmation.",
        )
    if not ask_user(f"{verb} {listed}?"):
        raise NotConfirmed("nothing was deleted")


def ask_user(question: str) -> bool:
    """Whether the user at the terminal agrees."""
    try:
        return typer.confirm(clean(question), err=True)
    except typer.Abort:  # Ctrl-C or end of input
        return False
