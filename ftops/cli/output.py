"""The one sink of all commands: text for people, one JSON document, or only the essential.

Results go to stdout, everything else to stderr. In the JSON mode stdout gets exactly one document.
Text that comes from data, job files or providers is cleaned on its way to a terminal: it never
becomes a control sequence or rich markup. Pipes get the text as it is.
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

# control characters but for tab and new line, and those that turn the direction of writing
_HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
# what json.dumps leaves as it is, though a terminal would act on it or an encoder refuse it
_UNPRINTED_JSON = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_BREAKING = re.compile(f"{_HARMFUL.pattern}|[\n\u2028\u2029]")  # and what ends a line
PIPE_WIDTH = 1000  # nothing is broken into lines where no terminal has a last column


class Mode(Enum):
    """Whom the output is for."""

    HUMAN = "human"
    JSON = "json"
    QUIET = "quiet"


def clean(text: str) -> str:
    """The text with control and direction characters made visible, such as \\x1b."""
    return _HARMFUL.sub(lambda found: _escape(found.group()), text)


def render_json(document: Json) -> str:
    """The document as indented JSON that is safe to print anywhere."""
    text = json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False)
    return _UNPRINTED_JSON.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def render_json_line(document: Json) -> str:
    """The document on one line, as safe to print."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False)
    return _UNPRINTED_JSON.sub(lambda found: f"\\u{ord(found.group()):04x}", text) + "\n"


class Output:
    """Where a command leaves its result, its remarks and its errors."""

    def __init__(self, mode: Mode, *, stdout: TextIO, stderr: TextIO) -> None:
        self.mode = mode
        self.stdout = stdout
        self.stderr = stderr
        self.about: dict[str, Json] = {}  # what an error in the JSON mode is about
        self.job_file: Path | None = None  # the one that the command was given, for hints
        self._console: Console | None = None

    @property
    def console(self) -> Console:
        """Where people watch: stdout, or stderr when stdout belongs to the JSON document."""
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
        """Print the command's result in the form asked for; `human` is only called for people."""
        if self.mode is Mode.JSON:
            self.stdout.write(render_json(document) + "\n")
        elif self.mode is Mode.QUIET:
            self.write_lines(essential)
        else:
            for renderable in human():
                self.show(renderable)
        self.stdout.flush()

    def finish_text(self, document: Json, text: str) -> None:
        """Print the command's result where it is a text that programs read, too."""
        if self.mode is Mode.JSON:
            self.finish(document, essential=(), human=tuple)
        else:
            self.write(text)

    def show(self, renderable: RenderableType) -> None:
        """Print something for people; texts are taken literally, and never broken into lines."""
        if isinstance(renderable, str):
            renderable = clean(renderable)
        soft_wrap = isinstance(renderable, str | Text)
        if self.console.is_terminal:
            self.console.print(renderable, soft_wrap=soft_wrap)
            return
        with self.console.capture() as captured:
            self.console.print(renderable, soft_wrap=soft_wrap)
        lines = captured.get().splitlines()  # tables pad their lines; no file wants that
        self.console.file.write("".join(f"{line.rstrip()}\n" for line in lines))
        self.console.file.flush()

    def write(self, text: str) -> None:
        """Put text on stdout at once and as it is; on a terminal without control characters."""
        self.stdout.write(clean(text) if self.stdout.isatty() else text)
        self.stdout.flush()

    def write_lines(self, lines: Iterable[str]) -> None:
        """Put each text on a line of its own; none can break its line or steer a terminal."""
        for line in lines:
            self.stdout.write(_BREAKING.sub(lambda found: _escape(found.group()), line) + "\n")
        self.stdout.flush()

    def info(self, text: str) -> None:
        """Say something on stderr that is no result; nothing in the quiet mode."""
        if self.mode is not Mode.QUIET:
            self.warn(text)

    def warn(self, text: str) -> None:
        """Say something on stderr in every mode."""
        self.stderr.write(f"{clean(text)}\n")
        self.stderr.flush()

    def error(self, message: str, hint: str, *, label: str = "error:") -> None:
        """Say on stderr what went wrong and what to do next."""
        self._write_labelled(label, "bold red", message)
        if hint := self.name_job_file(hint):
            self._write_labelled("next:", "bold cyan", hint)

    def name_job_file(self, hint: str) -> str:
        """The hint with the path of the command's job file; without one, it cannot be checked."""
        if self.job_file is None:
            return re.sub(r"; `ftops check JOB\.yaml`[^.]*", "", hint)
        return hint.replace("JOB.yaml", shlex.quote(str(self.job_file)))

    def _write_labelled(self, label: str, style: str, text: str) -> None:
        if not self.stderr.isatty():
            self.warn(f"{label} {text}")
            return
        _open_console(self.stderr).print(hang(Text(f"{label} ", style), Text(clean(text))))


def hang(label: Text, text: Text) -> RenderableType:
    """A text that keeps to the right of its label when a narrow terminal breaks it."""
    grid = Table.grid()
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(label, text)
    return grid


def _open_console(stream: TextIO) -> Console:
    class Pipe(Console):
        """rich would end the process when a pipe is closed; a run goes on without its watcher.

        Whatever is shown, in tables, bars and their titles, is cleaned once more on its way out.
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
    """Nothing was done, because nobody said yes."""


def confirm(out: Output, verb: str, names: Sequence[str], *, yes: bool) -> None:
    """Return when the user agrees; NotConfirmed when they do not, or cannot be asked."""
    if yes:
        return
    listed = ", ".join(names)
    if out.mode is not Mode.HUMAN or not sys.stdin.isatty():
        raise NotConfirmed(
            f"nothing was deleted: nobody can be asked about {listed}",
            hint="Give --yes to delete without a question.",
        )
    try:
        agreed = typer.confirm(f"{verb} {clean(listed)}?", err=True)
    except typer.Abort:  # Ctrl-C, or the end of the input
        agreed = False
    if not agreed:
        raise NotConfirmed("nothing was deleted")
