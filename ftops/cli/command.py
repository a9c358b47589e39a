"""The common behavior of commands: examples in the help, --json and --quiet, error handling.

A command is a plain function whose first parameter is its `Output`; the others are its arguments
and options. `command` adds the two flags, passes the output, and turns errors into exit codes. A
parameter of a dataclass type adds an option for each field.
"""

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Annotated, Any, get_type_hints

import typer
from typer.main import get_command

from ftops.cli.errors import handle_errors
from ftops.cli.output import Mode, Output

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document, nothing else.")]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print only what scripts need, one value per line.")
]
DEFINED: dict[str, Any] = {}  # the typer commands of the imported modules, by path
_FLAGS = {"as_json": AsJson, "quiet": Quiet}
_KEYWORD = inspect.Parameter.KEYWORD_ONLY


@dataclass(frozen=True, slots=True)
class Flags:
    """The output flags before the name of the command."""

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
    """The examples as an epilog that keeps its line breaks."""
    lines = "\n".join(f"  {example}" for example in examples)
    return f"Example{'s' if len(examples) > 1 else ''}:\n\n\b\n{lines}"


def _adapt(function: Callable[..., None]) -> Callable[..., None]:
    """Adapt `function` for typer: it takes flags instead of an output, and raises only Exit."""
    hints = get_type_hints(function, include_extras=True)
    own = list(inspect.signature(function).parameters.values())[1:]
    bundles = {
        parameter.name: hints[parameter.name]
        for parameter in own
        if is_dataclass(hints[parameter.name])
    }

    # Any: typer passes values of the types that the command declares
    def adapted(ctx: typer.Context, *, as_json: bool, quiet: bool, **arguments: Any) -> None:
        before = ctx.obj if isinstance(ctx.obj, Flags) else Flags()
        out = Output(
            choose_mode(as_json or before.as_json, quiet or before.quiet),
            stdout=sys.stdout,
            stderr=sys.stderr,
        )
        out.job_file = arguments.get("job_file")
        for name, bundle in bundles.items():
            arguments[name] = bundle(
                **{field.name: arguments.pop(field.name) for field in fields(bundle)}
            )
        with handle_errors(out):
            function(out, **arguments)

    parameters = [
        *(option for parameter in own for option in _expand(parameter, hints[parameter.name])),
        *(
            inspect.Parameter(flag, _KEYWORD, default=False, annotation=kind)
            for flag, kind in _FLAGS.items()
        ),
    ]
    adapted.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter("ctx", _KEYWORD, annotation=typer.Context), *parameters]
    )
    adapted.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    adapted.__name__ = function.__name__
    adapted.__doc__ = function.__doc__
    return adapted


def _expand(parameter: inspect.Parameter, hint: Any) -> Iterator[inspect.Parameter]:
    """The parameter, or one for each field when it is a dataclass."""
    if not is_dataclass(hint):
        yield parameter.replace(kind=_KEYWORD, annotation=hint)
        return
    hints = get_type_hints(hint, include_extras=True)
    for field in fields(hint):
        default = inspect.Parameter.empty if field.default is MISSING else field.default
        yield inspect.Parameter(field.name, _KEYWORD, default=default, annotation=hints[field.name])


def choose_mode(as_json: bool, quiet: bool) -> Mode:
    """JSON takes precedence over quiet."""
    if as_json:
        return Mode.JSON
    return Mode.QUIET if quiet else Mode.HUMAN
