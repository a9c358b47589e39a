"""Renders docs/providers.md from the registry of providers, their sections and models.toml."""

import importlib
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel

from ftops.capabilities import Capabilities, DeploymentRule
from ftops.providers.openai_quirks import QUIRKS
from ftops.providers.registry import PROVIDERS, ProviderEntry, render_provider
from ftops.spec.section import get_expected

PROOFS = Path(__file__).with_name("provider-proofs.toml")
_MOVE = ("openai", "nebius")  # in the example of a moved job file
_SENT, _KEPT = "sent", "kept in the ledger"
_ENDS = {
    "idle": "by the provider, after a time without requests",
    "expiry": "by the provider, after a time",
    "never": "by ftops alone, which needs `--allow-open-ended`",
}
_CURVES = {
    "file": "results file",
    "metrics": "a request for metrics",
    "checkpoints": "checkpoints, one per epoch",
    "none": "none",
}


def _describe_rates(capabilities: Capabilities) -> str:
    rates = {"learning_rate_multiplier": "multiplier", "learning_rate": "absolute"}
    return " or ".join(text for name, text in rates.items() if name in capabilities.hyperparameters)


def _describe_auto(capabilities: Capabilities) -> str:
    if capabilities.auto:
        return _SENT
    defaults = ", ".join(f"{name} {value}" for name, value in capabilities.defaults.items())
    return f"left out: {defaults}"


def _describe_metadata(capabilities: Capabilities) -> str:
    if not capabilities.metadata:
        return _KEPT
    return _SENT if capabilities.custom_metadata else f"{_KEPT}; the run's marks are sent"


def _describe_mark(capabilities: Capabilities) -> str:
    if capabilities.metadata:
        return "metadata" if capabilities.custom_metadata else "labels"
    return "end of the suffix" if capabilities.mark_in_suffix else "same parameters"


def _describe_rows(capabilities: Capabilities) -> str:
    least, most = capabilities.min_rows, capabilities.max_validation_rows
    return f"from {least:,}" + (f"; at most {most:,} for validation" if most else "")


def _describe_deployment(rule: DeploymentRule | None) -> str:
    if rule is None:
        return "not needed"
    if not rule.hourly:
        return "by the token"
    price = "" if rule.hourly_usd is None else f", ${rule.hourly_usd:.2f}"
    return f"by the hour{price}"


def _describe_end(rule: DeploymentRule | None) -> str:
    if rule is None:
        return "–"
    return _ENDS[rule.ends] if rule.hourly or rule.ends != "never" else "by ftops, after a run"


ROWS: Mapping[str, Callable[[Capabilities], str]] = {
    "methods": lambda known: ", ".join(sorted(known.methods, reverse=True)),
    "learning rate": _describe_rates,
    "auto": _describe_auto,
    "seed": lambda known: _SENT if known.seed else _KEPT,
    "metadata": _describe_metadata,
    "exactly one job": _describe_mark,
    "suffix": lambda known: f"up to {known.free_suffix_max} characters",
    "rows": _describe_rows,
    "tool calls": lambda known: "yes" if known.tools else "no",
    "events": lambda known: "made from states" if known.events == "states" else "yes",
    "curve": lambda known: _CURVES[known.curve],
    "price before the job": lambda known: (
        "asked of the provider" if known.estimates_cost else "list of prices"
    ),
    "deployment": lambda known: _describe_deployment(known.deployment),
    "its end": lambda known: _describe_end(known.deployment),
    "weights": lambda known: "`ftops models download`" if known.weights else "no",
    "pause and resume": lambda known: "yes" if known.pauses else "no",
}


def render_providers() -> str:
    """The page about providers."""
    names = list(PROVIDERS)
    proofs = tomllib.loads(PROOFS.read_text(encoding="utf-8"))
    head = ["provider", *(f"[{name}](#{name})" for name in names)]
    lines = [_row(head), _row(["---"] * len(head))]
    for label, describe in ROWS.items():
        cells = (describe(entry.capabilities) for entry in PROVIDERS.values())
        lines.append(_row([f"**{label}**", *cells]))
    lines.append(
        _row(["**models known**", *(str(len(entry.models)) for entry in PROVIDERS.values())])
    )
    lines.append(_row(["**facts of**", *(entry.as_of or "–" for entry in PROVIDERS.values())]))
    return f"""# Providers

One job file runs at each of these providers. This page is generated from `ftops/providers/`. `ftops check` shows for a job file
what is sent, what stays in the ledger, which defaults apply, and what it may cost.

{chr(10).join(lines)}

## Moving a job file

Two lines change, `provider` and `model`:

```yaml
name: support-answers
provider: {_MOVE[0]}                   # then: {_MOVE[1]}
model: {PROVIDERS[_MOVE[0]].models[0]}     # then: {PROVIDERS[_MOVE[1]].models[0]}
training_file: data/train.jsonl
validation_file: data/validation.jsonl
hyperparameters: {{n_epochs: 3}}
limits: {{max_cost_usd: 5}}
```

A learning rate does not move: a multiplier and an absolute rate cannot be converted into each other, so `ftops check` refuses
the wrong one and says what to write instead. It is the same with every other field that would change the training. `seed`,
`metadata` and `name` never prevent a job: they stay in the ledger where the provider does not take them.

{chr(10).join(_render_section(name, entry) for name, entry in PROVIDERS.items())}
## Proofs

Each row of the table is proved by tests. They run against the built-in engine or against stand-ins of the providers, which are
written from the documents of the date in the table, and which refuse what the real service would refuse. `any` is a test of the
code that all providers share, or one that runs for each of them; the others are tests of one provider.

| row | provider | test |
| --- | --- | --- |
{chr(10).join(_list_proofs(proofs))}

## What only the real service proves

A stand-in cannot prove that its documents are right. This trains on 20 short rows for one epoch, which costs some cents; it
says the most that it may cost, asks first, reports what held, and deletes what it made:

    ftops doctor --provider NAME --live MODEL

Not proved for any provider: its prices, its limits on rows, and which models it trains today. In particular:

| provider | not proved |
| --- | --- |
{chr(10).join(_list_unproved())}
"""


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _list_proofs(proofs: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    for label, tests in proofs.items():
        for provider, test in tests.items():
            path, _, name = test.partition("::")
            yield _row([label, provider, f"[`{name}`](../{path})"])


def _list_unproved() -> Iterator[str]:
    for name, entry in PROVIDERS.items():
        for question in entry.unproved:
            yield _row([name, question])


def _render_section(name: str, entry: ProviderEntry) -> str:
    parts = [f"## {name}\n", f"{entry.summary[0].upper()}{entry.summary[1:]}.\n"]
    parts.append(f"```yaml\n{_render_head(name, entry)}\n```\n")
    if variables := list(_list_variables(entry)):
        parts += [*variables, ""]
    if differences := _describe_module(name):
        parts.append(f"{differences}\n")
    for (field, value), rule in (QUIRKS[name].deployment_rules if name in QUIRKS else {}).items():
        parts.append(
            f"With `{name}: {{{field}: {value}}}`, a deployment costs {_describe_deployment(rule)}, and is"
            f" ended {_describe_end(rule)}.\n"
        )
    for section, load in entry.sections.items():
        parts += [*_list_fields(section, load()), ""]
    return "\n".join(parts)


def _render_head(name: str, entry: ProviderEntry) -> str:
    """The two lines of a job file."""
    first, others = (*entry.models, "…")[0], entry.models[1:]
    note = f"   # also {', '.join(others)}" if others else ""
    return f"provider: {render_provider(name)}\nmodel: {first}{note}"


def _list_variables(entry: ProviderEntry) -> Iterator[str]:
    address = entry.address
    if address is None:
        return
    yield "| variable | has |"
    yield "| --- | --- |"
    yield _row([f"`{address.key_variable}`", "the key, or `api_key_env` names another variable"])
    if address.base_url_variable:
        yield _row([f"`{address.base_url_variable}`", "another address, like `base_url`"])
    for variable, (meaning, setting) in address.account_variables.items():
        yield _row([f"`{variable}`", meaning + (f", like `{setting}`" if setting else "")])


def _describe_module(name: str) -> str:
    """What the module of the provider says about it."""
    try:
        text = importlib.import_module(f"ftops.providers.{name}").__doc__ or ""
    except ModuleNotFoundError:
        return ""
    title, _, details = text.partition("\n\n")
    text = details if title.startswith("The provider") else text
    lines = [line for line in text.splitlines() if not line.startswith("https:")]
    return "\n".join(lines).strip() if QUIRKS.get(name) != QUIRKS["openai"] else ""


def _list_fields(section: str, model: type[BaseModel]) -> Iterator[str]:
    yield "| field | value | default | meaning |"
    yield "| --- | --- | --- | --- |"
    for name, field in model.model_fields.items():
        default = "" if field.default is None else f"`{_show(field.default)}`"
        expected = get_expected(field).text.replace("|", "\\|")
        yield _row([f"`{section}.{name}`", expected, default, field.description or ""])


def _show(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
