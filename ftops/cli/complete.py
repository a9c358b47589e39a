"""`ftops complete`: one question to a model, answered as it comes; or to several, side by side."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from ftops.cli.addressee import Addressee, open_addressees
from ftops.cli.command import command
from ftops.cli.options import ApiKeyEnv, BaseUrl, ProviderName
from ftops.cli.output import Mode, Output
from ftops.errors import DatasetError, FtopsError

if TYPE_CHECKING:
    from ftops.records import Json, Sampling

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


def add_to(app: typer.Typer) -> None:
    command(
        app,
        "complete",
        examples=[
            'ftops complete -m news-topics -p "The striker scored twice."',
            "ftops complete -m ft:ada:local:faq:a1b2c3d4 -p - < question.txt",
            'ftops complete -m run-20261122-1407-k3f9 -m news-topics -p "It rains."',
        ],
    )(complete)


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
    from ftops.cli.side_by_side import ask_all, show_side_by_side
    from ftops.records import Sampling

    text = _read_prompt(prompt)
    with open_addressees(model, provider, base_url, api_key_env, raw=raw) as addressees:

        def choose_sampling(addressee: Addressee) -> "Sampling":
            chosen = addressee.choose_stop(stop)
            return Sampling(max_tokens, temperature, top_p, chosen, seed)

        if len(addressees) > 1:
            show_side_by_side(
                out, ask_all([(one, choose_sampling(one)) for one in addressees], text)
            )
            return
        (only,) = addressees
        pieces = only.source.stream(only.name, only.make_prompt(text), choose_sampling(only))
        labels = only.find_labels()
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


def describe_answer(addressee: Addressee, text: "str | None") -> "dict[str, Json]":
    """An answer as JSON, with the parameters that its model has refused."""
    answer: dict[str, Json] = {"model": addressee.name, "text": text}
    refused = addressee.source.get_refused_parameters(addressee.name)
    if refused:
        answer["refused_parameters"] = dict(refused)
    return answer


def remark_refused(out: Output, addressee: Addressee) -> None:
    """Say which parameters were not sent as they were asked for."""
    from ftops.records import render_refused

    refused = render_refused(addressee.source.get_refused_parameters(addressee.name))
    if refused:
        out.remark(f"{addressee.name}: {refused}")


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
