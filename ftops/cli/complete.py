"""`ftops complete`: sends a prompt to one model and streams its response, or to several."""

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Annotated

import typer
from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ftops.cli.command import command
from ftops.cli.options import ModelRefs, ProviderOptions, SamplingOptions
from ftops.cli.output import Mode, Output, clean
from ftops.cli.target_model import TargetModel, open_target_models
from ftops.errors import DatasetError, FtopsError
from ftops.records import Json, Sampling, render_refused

PromptText = Annotated[
    str, typer.Option("--prompt", "-p", metavar="TEXT", help="The prompt; - for stdin.")
]
_MIN_COLUMN = 36  # characters per model; below this, responses are shown one after the other


@command(
    "complete",
    examples=[
        'ftops complete -m news-topics -p "The striker scored twice."',
        "ftops complete -m ft:ada:local:faq:a1b2c3d4 -p - < question.txt",
        'ftops complete -m run-20261122-1407-k3f9 -m news-topics -p "It rains."',
    ],
)
def complete(
    out: Output,
    prompt: PromptText,
    model: ModelRefs,
    *,
    sampling: SamplingOptions,
    provider: ProviderOptions,
) -> None:
    """Send a prompt to a model and stream the response.

    The responses of several models are shown side by side. The prompt gets the separator, stop
    sequence, system message and fixes of the run that trained the model, as far as the ledger knows
    them; a response that encodes a label is shown as that label.
    """
    text = _read_prompt(prompt)
    with open_target_models(model, provider, raw=sampling.raw) as targets:
        if len(targets) > 1:
            requests = [(target, target.create_sampling(sampling)) for target in targets]
            show_side_by_side(out, complete_in_parallel(requests, text))
            return
        (target,) = targets
        pieces = target.source.stream(
            target.name, target.format_prompt(text), target.create_sampling(sampling)
        )
        labels = target.get_label_map()
        response = _show_pieces(out, target.name, pieces, live=not labels)
        document = response_document(target, response)
        if labels:
            label = labels.get(response.strip())
            shown = response if label is None else label
            document |= {"label": label}
            out.finish(document, essential=[shown], human=lambda: [shown])
        elif out.mode is Mode.JSON:
            out.finish(document, essential=(), human=tuple)
        note_refused_parameters(out, target)


def response_document(target: TargetModel, text: str | None) -> dict[str, Json]:
    """A response as JSON, with the parameters that its model refused."""
    document: dict[str, Json] = {"model": target.name, "text": text}
    refused = target.source.get_refused_parameters(target.name)
    if refused:
        document["refused_parameters"] = dict(refused)
    return document


def note_refused_parameters(out: Output, target: TargetModel) -> None:
    """Print which parameters were left out or renamed because the model refuses them."""
    refused = render_refused(target.source.get_refused_parameters(target.name))
    if refused:
        out.info(f"{target.name}: {refused}")


def _show_pieces(out: Output, model: str, pieces: Iterator[str], *, live: bool) -> str:
    """Collect the response; prints pieces as they arrive if `live`, except in the JSON mode.

    If the response breaks off, the partial response is shown before the error.
    """
    live = live and out.mode is not Mode.JSON
    text = ""
    try:
        for piece in pieces:
            text += piece
            if live:
                out.write(piece)
    except FtopsError:
        if text and out.mode is Mode.JSON:
            out.about = {"model": model, "text": text}
        elif text:
            out.write("\n" if live else f"{text}\n")
        raise
    if live:
        out.write("\n")
    return text


def _read_prompt(prompt: str) -> str:
    text = sys.stdin.buffer.read().decode("utf-8", "surrogateescape") if prompt == "-" else prompt
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DatasetError(
            "the prompt is not UTF-8 text", hint="Give it as UTF-8, for example from a file."
        ) from error
    if prompt == "-":
        text = text.removesuffix("\n")  # of the last line
    if not text:
        raise DatasetError("the prompt is empty", hint='Give one with -p "…", or -p - for stdin.')
    return text


@dataclass(frozen=True, slots=True)
class ModelResponse:
    """The response of one of several models; with an `error`, `text` is the partial response."""

    target: TargetModel
    text: str = ""
    label: str | None = None
    has_labels: bool = False
    error: FtopsError | None = None

    @property
    def model(self) -> str:
        return self.target.name

    @property
    def shown(self) -> str:
        """The label, else the text, else the error."""
        if self.error is not None:
            return f"{self.text} ({self.error.message})".lstrip()
        return self.text if self.label is None else self.label

    def to_json(self) -> dict[str, Json]:
        if self.error is not None:
            return response_document(self.target, self.text or None) | {"error": self.error.message}
        labelled: dict[str, Json] = {"label": self.label} if self.has_labels else {}
        return response_document(self.target, self.text) | labelled


def complete_in_parallel(
    requests: Sequence[tuple[TargetModel, Sampling]], text: str
) -> list[ModelResponse]:
    """The responses of all models; a response may contain an error."""

    def complete_one(target: TargetModel, sampling: Sampling) -> ModelResponse:
        response = ""
        try:
            prompt = target.format_prompt(text)
            for piece in target.source.stream(target.name, prompt, sampling):
                response += piece
        except FtopsError as error:
            return ModelResponse(target, response, error=error)
        labels = target.get_label_map()
        return ModelResponse(target, response, labels.get(response.strip()), bool(labels))

    with ThreadPoolExecutor(len(requests), "ftops-complete") as pool:
        futures = [
            pool.submit(copy_context().run, complete_one, target, sampling)
            for target, sampling in requests
        ]
        return [future.result() for future in futures]


def show_side_by_side(out: Output, responses: Sequence[ModelResponse]) -> None:
    """Print all responses, then raise the first error, if there is one."""
    documents: list[Json] = [response.to_json() for response in responses]
    error = next((response.error for response in responses if response.error is not None), None)
    if error is not None and out.mode is Mode.JSON:
        out.about = {"responses": documents}
        raise error
    is_wide = out.console.is_terminal and out.console.width >= _MIN_COLUMN * len(responses)
    render = _render_columns if is_wide else _render_blocks
    out.finish(
        documents,
        essential=[response.shown for response in responses],
        human=lambda: render(responses),
    )
    for response in responses:
        note_refused_parameters(out, response.target)
    if error is not None:
        raise error


def _render_columns(responses: Sequence[ModelResponse]) -> list[RenderableType]:
    table = Table(box=box.SIMPLE_HEAD, expand=True)
    for response in responses:
        table.add_column(Text(response.model), ratio=1, overflow="fold")
    table.add_row(*(Text(clean(response.shown)) for response in responses))
    return [table]


def _render_blocks(responses: Sequence[ModelResponse]) -> list[RenderableType]:
    lines: list[RenderableType] = []
    for number, response in enumerate(responses):
        lines += [""] if number else []
        lines += [f"{response.model}:", response.shown]
    return lines
