"""`ftops complete`: one question to a model, answered as it comes."""

import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from ftops.cli import wiring
from ftops.cli.command import command
from ftops.cli.named import NamedModel, find_named_model
from ftops.cli.options import ApiKeyEnv, BaseUrl, ProviderName
from ftops.cli.output import Mode, Output
from ftops.errors import DatasetError

if TYPE_CHECKING:
    from ftops.providers.protocol import Provider
    from ftops.records import Prompt

ModelRef = Annotated[
    str, typer.Option("--model", "-m", metavar="MODEL", help="Model name, run id or job id.")
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
        ],
    )(complete)


def complete(
    out: Output,
    model: ModelRef,
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

    The separator, stop sequence and system message of the run that made the model are applied when
    the ledger knows them, and so is its plan: the prompt is made ready as the rows were, and a
    number that stands for a label is answered as that label.
    """
    from ftops.dataset.plans.asking import find_labels
    from ftops.records import Sampling

    text = _read_prompt(prompt)
    asked = wiring.find_chosen_provider(provider, base_url, api_key_env)
    with wiring.open_ledger() as ledger:
        named = find_named_model(ledger, model, asked)
    named.check_there()
    sampling = Sampling(
        max_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        stop=tuple(stop or ()) or _find_stop(named, raw),
        seed=seed,
    )
    with wiring.open_provider(named.provider) as source:
        question = _make_prompt(text, named, source, raw=raw)
        pieces = source.stream(named.name, question, sampling)
        labels = find_labels(None if raw else named.plan)
        if labels:
            _answer_with_label(out, named.name, "".join(pieces), labels)
        else:
            _answer(out, named.name, pieces)


def _answer_with_label(out: Output, model: str, text: str, labels: Mapping[str, str]) -> None:
    """The label that the answer stands for; the answer itself when it stands for none."""
    label = labels.get(text.strip())
    shown = text if label is None else label
    out.finish(
        {"model": model, "text": text, "label": label}, essential=[shown], human=lambda: [shown]
    )


def _answer(out: Output, model: str, pieces: Iterator[str]) -> None:
    """The answer piece by piece, or whole in the JSON mode."""
    if out.mode is Mode.JSON:
        answer = "".join(pieces)
        out.finish({"model": model, "text": answer}, essential=(), human=tuple)
        return
    for piece in pieces:
        out.write(piece)
    out.write("\n")


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


def _find_stop(named: NamedModel, raw: bool) -> tuple[str, ...]:
    if raw or named.tuned is None or not named.tuned.stop:
        return ()
    return (named.tuned.stop,)


def _make_prompt(text: str, named: NamedModel, source: "Provider", *, raw: bool) -> "Prompt":
    """The prompt in the shape of the model's training rows."""
    from ftops.dataset.plans.asking import find_marks, prepare_question
    from ftops.records import Message, RowFormat

    tuned = named.tuned
    if named.plan is not None and not raw:
        text = prepare_question(named.plan, text)
    shape = tuned.row_format if tuned else source.row_format(named.name)
    if shape is RowFormat.CHAT:
        system = None if raw else _find_system(named)
        first = (Message("system", system),) if system else ()
        mark = find_marks(named.plan)[0] if named.plan is not None and not raw else ""
        return (*first, Message("user", text.removesuffix(mark)))
    if raw or tuned is None or text.endswith(tuned.separator):
        return text
    return text + tuned.separator


def _find_system(named: NamedModel) -> str | None:
    prepare = named.run.spec.get("prepare") if named.run else None
    system = prepare.get("system") if isinstance(prepare, Mapping) else None
    return system if isinstance(system, str) else None
