"""`ftops complete`: one question to a model, answered as it comes; or to several, side by side."""

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
from ftops.cli.options import ApiKeyEnv, BaseUrl, ProviderName
from ftops.cli.output import Mode, Output, clean
from ftops.cli.target_model import TargetModel, open_target_models
from ftops.errors import DatasetError, FtopsError
from ftops.records import Json, Sampling, render_refused

ModelRef = Annotated[
    str, typer.Option("--model", "-m", metavar="MODEL", help="Model name, run id or job id.")
]
ModelRefs = Annotated[
    list[str],
    typer.Option(
        "--model", "-m", metavar="MODEL", help="Model name, run id or job id; may be given again."
    ),
]
PromptText = Annotated[
    str, typer.Option("--prompt", "-p", metavar="TEXT", help="The prompt; - reads it from stdin.")
]
MaxTokens = Annotated[int, typer.Option("--max-tokens", min=1, help="Longest answer, in tokens.")]
Temperature = Annotated[
    float, typer.Option("--temperature", min=0, max=2, help="0 takes the likeliest token.")
]
TopP = Annotated[float, typer.Option("--top-p", min=0, max=1, help="Share of likeliest tokens.")]
Stop = Annotated[
    list[str] | None, typer.Option("--stop", metavar="TEXT", help="Ends the answer; up to 4.")
]
Seed = Annotated[int | None, typer.Option("--seed", help="The same seed draws the same answer.")]
Raw = Annotated[
    bool,
    typer.Option("--raw", help="Leave all alone: no separator, stop, system text, label."),
]

_LEAST_COLUMN = 36  # characters; where there are fewer for each model, answers stand in blocks


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
    model: ModelRefs,
    prompt: PromptText,
    max_tokens: MaxTokens = 64,
    temperature: Temperature = 0.0,
    top_p: TopP = 1.0,
    stop: Stop = None,
    seed: Seed = None,
    raw: Raw = False,
    provider: ProviderName = None,
    base_url: BaseUrl = None,
    api_key_env: ApiKeyEnv = None,
) -> None:
    """Ask a model; the answer comes piece by piece.

    Several models answer side by side. The separator, stop sequence and system message of the run
    that made the model are applied when the ledger knows them, and so is its plan: the prompt is
    made ready as the rows were, and a number that stands for a label is answered as that label.
    """
    text = _read_prompt(prompt)
    with open_target_models(model, provider, base_url, api_key_env, raw=raw) as targets:

        def choose_sampling(target: TargetModel) -> Sampling:
            chosen = target.choose_stop(stop)
            return Sampling(max_tokens, temperature, top_p, chosen, seed)

        if len(targets) > 1:
            show_side_by_side(
                out, stream_all([(one, choose_sampling(one)) for one in targets], text)
            )
            return
        (only,) = targets
        pieces = only.source.stream(only.name, only.make_prompt(text), choose_sampling(only))
        labels = only.get_label_map()
        answer = _show_pieces(out, only.name, pieces, live=not labels)
        document = describe_answer(only, answer)
        if labels:
            label = labels.get(answer.strip())
            shown = answer if label is None else label
            document |= {"label": label}
            out.finish(document, essential=[shown], human=lambda: [shown])
        elif out.mode is Mode.JSON:
            out.finish(document, essential=(), human=tuple)
        remark_refused(out, only)


def describe_answer(target: TargetModel, text: str | None) -> dict[str, Json]:
    """An answer as JSON, with the parameters that its model has refused."""
    answer: dict[str, Json] = {"model": target.name, "text": text}
    refused = target.source.get_refused_parameters(target.name)
    if refused:
        answer["refused_parameters"] = dict(refused)
    return answer


def remark_refused(out: Output, target: TargetModel) -> None:
    """Say which parameters were not sent as they were asked for."""
    refused = render_refused(target.source.get_refused_parameters(target.name))
    if refused:
        out.info(f"{target.name}: {refused}")


def _show_pieces(out: Output, model: str, pieces: Iterator[str], *, live: bool) -> str:
    """The whole answer; shown as it comes where it is `live`, but for the JSON mode.

    Of an answer that breaks off, the part that came is shown before the error.
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
        text = text.removesuffix("\n")  # the one that every file ends with
    if not text:
        raise DatasetError("the prompt is empty", hint='Give one with -p "…", or -p - for stdin.')
    return text


@dataclass(frozen=True, slots=True)
class ModelResponse:
    """What one of several models answered; with an `error`, only the part that came before it."""

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
        """What people see: the label, else the text, else why there is none."""
        if self.error is not None:
            return f"{self.text} ({self.error.message})".lstrip()
        return self.text if self.label is None else self.label

    def to_json(self) -> dict[str, Json]:
        if self.error is not None:
            return describe_answer(self.target, self.text or None) | {"error": self.error.message}
        labelled: dict[str, Json] = {"label": self.label} if self.has_labels else {}
        return describe_answer(self.target, self.text) | labelled


def stream_all(asked: Sequence[tuple[TargetModel, Sampling]], text: str) -> list[ModelResponse]:
    """All at the same time; an error of one is told in its place."""

    def ask(target: TargetModel, sampling: Sampling) -> ModelResponse:
        answer = ""
        try:
            prompt = target.make_prompt(text)
            for piece in target.source.stream(target.name, prompt, sampling):
                answer += piece
        except FtopsError as error:
            return ModelResponse(target, answer, error=error)
        labels = target.get_label_map()
        return ModelResponse(target, answer, labels.get(answer.strip()), bool(labels))

    with ThreadPoolExecutor(len(asked), "ftops-ask") as pool:
        waiting = [pool.submit(copy_context().run, ask, one, how) for one, how in asked]
        return [future.result() for future in waiting]


def show_side_by_side(out: Output, said: Sequence[ModelResponse]) -> None:
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
        remark_refused(out, one.target)
    if error is not None:
        raise error


def _render_columns(said: Sequence[ModelResponse]) -> list[RenderableType]:
    table = Table(box=box.SIMPLE_HEAD, expand=True)
    for one in said:
        table.add_column(Text(one.model), ratio=1, overflow="fold")
    table.add_row(*(Text(clean(one.shown)) for one in said))
    return [table]


def _render_blocks(said: Sequence[ModelResponse]) -> list[RenderableType]:
    lines: list[RenderableType] = []
    for number, one in enumerate(said):
        lines += [""] if number else []
        lines += [f"{one.model}:", one.shown]
    return lines
