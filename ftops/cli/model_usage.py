"""How a model is asked from a program: what the ledger knows of it, as the code shall have it."""

from collections.abc import Mapping
from pathlib import Path

from ftops.cli.closing import find_example_prompt
from ftops.cli.named import NamedModel
from ftops.data.plans.inference import find_labels, find_question_steps
from ftops.providers.address import KEY_VARIABLE, get_base_url
from ftops.records import ProviderSettings, RowFormat
from ftops.reports.code_examples import Usage

POINT_AT_ENGINE = 'eval "$(ftops engine env)"'
_PROMPT = "Your prompt"
_MAX_TOKENS = 64


def make_usage(
    named: NamedModel, row_format: RowFormat, *, home: Path, environ: Mapping[str, str]
) -> Usage:
    """How the model is asked, with a short prompt of its own data where there is one.

    `row_format` is that of a model which the ledger does not know.
    """
    tuned, settings = named.tuned, named.provider
    separator = tuned.separator if tuned else ""
    found = find_example_prompt(named.run, home, separator) if named.run else None
    is_local = settings.type == "local"
    return Usage(
        model=named.name,
        row_format=tuned.row_format if tuned else row_format,
        prompt=found or _PROMPT,
        key_env=settings.api_key_env or KEY_VARIABLE,
        base_url=None if is_local else get_base_url(settings, environ),
        set_up=POINT_AT_ENGINE if is_local else "",
        separator=separator,
        stop=tuned.stop if tuned else None,
        system=_find_system(named),
        max_tokens=_find_max_tokens(named),
        labels=dict(find_labels(named.plan)),
        headers={} if is_local else _find_headers(settings, environ),
        notes=_list_notes(named),
    )


def _find_headers(settings: ProviderSettings, environ: Mapping[str, str]) -> dict[str, str]:
    """Who pays, as every request says it."""
    named = {
        "OpenAI-Organization": settings.organization or environ.get("OPENAI_ORG_ID"),
        "OpenAI-Project": settings.project or environ.get("OPENAI_PROJECT_ID"),
    }
    return {name: value for name, value in named.items() if value}


def _find_system(named: NamedModel) -> str | None:
    prepare = named.run.spec.get("prepare") if named.run else None
    system = prepare.get("system") if isinstance(prepare, dict) else None
    return system if isinstance(system, str) else None


def _find_max_tokens(named: NamedModel) -> int:
    evaluate = named.run.spec.get("evaluate") if named.run else None
    most = evaluate.get("max_tokens") if isinstance(evaluate, dict) else None
    return most if isinstance(most, int) else _MAX_TOKENS


def _list_notes(named: NamedModel) -> tuple[str, ...]:
    steps = find_question_steps(named.plan)
    if not steps:
        return ()
    return (
        f"The data's plan has changed prompts, too ({', '.join(steps)}):"
        " `ftops complete` does the same to yours, this code does not.",
    )
