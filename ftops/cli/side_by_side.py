"""One question to several models, and their answers beside each other."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftops.cli.addressee import Addressee
from ftops.cli.complete import describe_answer, remark_refused
from ftops.cli.output import Mode, Output, clean
from ftops.errors import FtopsError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ftops.records import Json, Sampling

_LEAST_COLUMN = 36  # characters; where there are fewer for each model, answers stand in blocks


@dataclass(frozen=True, slots=True)
class Said:
    """What one of several models answered; with an `error`, only the part that came before it."""

    addressee: Addressee
    text: str = ""
    label: str | None = None
    has_labels: bool = False
    error: FtopsError | None = None

    @property
    def model(self) -> str:
        return self.addressee.name

    @property
    def shown(self) -> str:
        """What people see: the label, else the text, else why there is none."""
        if self.error is not None:
            return f"{self.text} ({self.error.message})".lstrip()
        return self.text if self.label is None else self.label

    def to_json(self) -> "dict[str, Json]":
        if self.error is not None:
            return describe_answer(self.addressee, self.text or None) | {
                "error": self.error.message
            }
        labelled: dict[str, Json] = {"label": self.label} if self.has_labels else {}
        return describe_answer(self.addressee, self.text) | labelled


def ask_all(asked: "Sequence[tuple[Addressee, Sampling]]", text: str) -> list[Said]:
    """All at the same time; an error of one is told in its place."""

    def ask(addressee: Addressee, sampling: "Sampling") -> Said:
        answer = ""
        try:
            prompt = addressee.make_prompt(text)
            for piece in addressee.source.stream(addressee.name, prompt, sampling):
                answer += piece
        except FtopsError as error:
            return Said(addressee, answer, error=error)
        labels = addressee.find_labels()
        return Said(addressee, answer, labels.get(answer.strip()), bool(labels))

    with ThreadPoolExecutor(len(asked), "ftops-ask") as pool:
        waiting = [pool.submit(copy_context().run, ask, one, how) for one, how in asked]
        return [future.result() for future in waiting]


def show_side_by_side(out: Output, said: Sequence[Said]) -> None:
    """All answers; then the first error, if there was one, is raised."""
    documents: list[Json] = [one.to_json() for one in said]
    error = next((one.error for one in said if one.error is not None), None)
    if error is not None and out.mode is Mode.JSON:
        out.about = {"answers": documents}
        raise error
    is_wide = out.console.is_terminal and out.console.width >= _LEAST_COLUMN * len(said)
    render = _render_columns if is_wide else _render_blocks
    out.finish(documents, essential=[one.shown for one in said], human=lambda: render(said))
    for one in said:
        remark_refused(out, one.addressee)
    if error is not None:
        raise error


def _render_columns(said: Sequence[Said]) -> "list[RenderableType]":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, expand=True)
    for one in said:
        table.add_column(Text(one.model), ratio=1, overflow="fold")
    table.add_row(*(Text(clean(one.shown)) for one in said))
    return [table]


def _render_blocks(said: Sequence[Said]) -> "list[RenderableType]":
    lines: list[RenderableType] = []
    for number, one in enumerate(said):
        lines += [""] if number else []
        lines += [f"{one.model}:", one.shown]
    return lines
