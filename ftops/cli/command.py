"""What all commands have in common: examples in the help, --json and --quiet, one way to fail.

A command is a plain function whose first parameter is its `Output`; the others are its arguments
and options. `command` adds the two flags, hands in the output, and turns errors into exit codes.
Options that go together are fields of a dataclass: a parameter of that kind stands for all of them.
"""

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, Any, get_type_hints

import typer
from typer.main import get_command

from ftops.cli.errors import handle_errors
from ftops.cli.output import Mode, Output

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document, nothing else.")]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print only what a script needs, one a line.")
]
DEFINED: dict[str, Any] = {}  # the typer commands of the imported modules, by path
_FLAGS = {"as_json": AsJson, "quiet": Quiet}


@dataclass(frozen=True, slots=True)
class Flags:
    """The output flags that stood before the command's name."""

    as_json: bool = False
    quiet: bool = False


def command(
    path: str, *, examples: Sequence[str]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Define the decorated function as the command `ftops PATH`; its help shows the examples."""

    def define(function: Callable[..., None]) -> Callable[..., None]:
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(path.rpartition(" ")[2], epilog=render_examples(examples))(_adapt(function))
        DEFINED[path] = get_command(app)
        return function

    return define


def render_examples(examples: Sequence[str]) -> str:
    """An epilog whose lines stay as they are."""
    lines = "\n".join(f"  {example}" for example in examples)
    return f"Examples:\n\n\b\n{lines}" if len(examples) > 1 else f"Example:\n\n\b\n{lines}"


def _adapt(function: Callable[..., None]) -> Callable[..., None]:
    """`function` as typer wants it: flags instead of an output, no exceptions but Exit."""
    hints = get_type_hints(function, include_extras=True)
    own = list(inspect.signature(function).parameters.values())[1:]
    bundles = {one.name: hints[one.name] for one in own if is_dataclass(hints[one.name])}

    # Any: typer hands over whatever the command's own annotations say
    def adapted(ctx: typer.Context, *, as_json: bool, quiet: bool, **arguments: Any) -> None:
        before = ctx.obj if isinstance(ctx.obj, Flags) else Flags()
        out = Output(
            choose_mode(as_json or before.as_json, quiet or before.quiet),
            stdout=sys.stdout,
            stderr=sys.stderr,
        )
        for name, bundle in bundles.items():
            arguments[name] = bundle(
                **{one.name: arguments.pop(one.name) for one in fields(bundle)}
            )
        out.job_file = arguments.get("job_file")
        with handle_errors(out):
            function(out, **arguments)

    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        *(spread for one in own for spread in _spread(one, hints[one.name])),
        *(
            inspect.Parameter(flag, keyword, default=False, annotation=kind)
            for flag, kind in _FLAGS.items()
        ),
    ]
    adapted.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter("ctx", keyword, annotation=typer.Context), *parameters]
    )
    adapted.__annotations__ = {one.name: one.annotation for one in parameters}
    adapted.__name__ = function.__name__
    adapted.__doc__ = function.__doc__
    return adapted


def _spread(parameter: inspect.Parameter, hint: Any) -> Iterator[inspect.Parameter]:
    """The parameter, or one for each field of the dataclass that it is."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    if not is_dataclass(hint):
        yield parameter.replace(kind=keyword, annotation=hint)
        return
    hints = get_type_hints(hint, include_extras=True)
    for one in fields(hint):
        yield inspect.Parameter(one.name, keyword, default=one.default, annotation=hints[one.name])


def choose_mode(as_json: bool, quiet: bool) -> Mode:
    """JSON wins over quiet: whoever asks for both wants a document and no remarks."""
    if as_json:
        return Mode.JSON
    return Mode.QUIET if quiet else Mode.HUMAN
