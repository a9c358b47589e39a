"""`ftops models show`: where a model comes from, and code that uses it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from ftops.cli.command import command
from ftops.cli.environment import get_home, open_ledger, read_environ
from ftops.cli.factory import get_model_info, open_provider
from ftops.cli.format import (
    cell,
    heading,
    render_bytes,
    render_pairs,
    render_path,
    render_time,
    to_timestamp,
)
from ftops.cli.models import describe_cost, describe_end, describe_headline
from ftops.cli.options import ProviderOptions
from ftops.cli.output import Output
from ftops.cli.run_view import render_stage_times, stage_document
from ftops.cli.show import find_example_prompt
from ftops.cli.target_model import ResolvedModel, resolve_model
from ftops.clock import SystemClock
from ftops.data.plans.inference import get_label_map, list_prompt_steps
from ftops.errors import UsageError
from ftops.ledger.ledger import Ledger
from ftops.providers.address import OPENAI
from ftops.providers.registry import find_address, get_capabilities
from ftops.records import Checkpoint, Json, ProviderSettings, RowFormat
from ftops.reports.code_examples import Language, ModelUsage, render_code
from ftops.run_folder import RunFolder
from ftops.runs import lineage
from ftops.runs.commands import format_command
from ftops.runs.lineage import ModelVersion, PrimaryMetric, TrainingCost, read_job_file
from ftops.spec.notify import hide_in_spec
from ftops.stage_results import PreparedFile

_UPLOADED_AS = {"train": "training_file", "validation": "validation_file"}
_SHOWN_HASH = 12
POINT_AT_ENGINE = 'eval "$(ftops engine env)"'
_PROMPT = "Your prompt"
_MAX_TOKENS = 64
Name = Annotated[str, typer.Argument(metavar="NAME", help="Model name, run id or job id.")]
CodeLanguage = Annotated[
    Language | None, typer.Option("--code", help="Print only the code, in this language.")
]


@dataclass(frozen=True, slots=True)
class ModelDetails:
    """A model with its lineage, oldest version first; empty if its origin is unknown."""

    name: str
    provider: ProviderSettings
    base: str | None
    lineage: Sequence[ModelVersion]
    headline: PrimaryMetric | None
    cost: TrainingCost | None
    ends: date | None
    checkpoints: Sequence[Checkpoint]
    usage: ModelUsage | None  # None at a provider whose requests are unlike OpenAI's
    home: Path

    @property
    def made(self) -> ModelVersion | None:
        """The version of this model itself."""
        return self.lineage[-1] if self.lineage else None

    def to_json(self) -> dict[str, Json]:
        """The document of `ftops models show --json`."""
        made = self.made
        tuned = made.tuned if made else None
        return {
            "id": self.name,
            "base_model": self.base,
            "provider": self.provider.type,
            "base_url": self.provider.base_url,
            "run_id": tuned.run_id if tuned else None,
            "job_id": tuned.job_id if tuned else None,
            "created_at": to_timestamp(tuned.created_at) if tuned else None,
            "deleted_at": to_timestamp(tuned.deleted_at) if tuned else None,
            "ends_on": self.ends.isoformat() if self.ends else None,
            "metric": self.headline.to_json() if self.headline else None,
            "cost": self.cost.to_json() if self.cost else None,
            "checkpoints": [checkpoint.to_json() for checkpoint in self.checkpoints],
            "lineage": [_version_document(version, self.home) for version in self.lineage],
            "stages": [stage_document(stage) for stage in made.stages] if made else [],
            "code": _render_codes(self.usage),
        }


def _render_codes(usage: ModelUsage | None) -> dict[str, Json]:
    if usage is None:
        return {}
    return {language.value: render_code(usage, language) for language in Language}


def render_details(details: ModelDetails, today: date) -> Iterator[RenderableType]:
    """The model, its origin, its job file and code that uses it."""
    made = details.made
    yield cell(details.name, "bold green")
    yield render_pairs(
        [
            ("base", details.base),
            ("provider", _describe_provider(details.provider)),
            ("run", made.tuned.run_id if made else "not in this ledger"),
            ("job", made.tuned.job_id if made else None),
            ("created", render_time(made.tuned.created_at) if made else None),
            ("deleted", render_time(made.tuned.deleted_at) or None if made else None),
            ("metric", describe_headline(details.headline) or None),
            ("cost", describe_cost(details.cost) or None),
            ("ends", describe_end(details.ends, today) if details.ends else None),
            *(
                ("checkpoint", _describe_checkpoint(checkpoint))
                for checkpoint in details.checkpoints
            ),
        ]
    )
    if made is not None:
        yield heading("Lineage")
        yield from (cell(line) for line in render_chain(details.lineage))
        yield from _render_making(made, details.home)
    if details.usage is None:
        yield heading("Use it")
        yield Text(_format_complete_command(details).strip("`"))
        return
    for language in Language:
        yield heading(f"Use it: {language.value}")
        yield Text(render_code(details.usage, language).rstrip("\n"))


def _format_complete_command(details: ModelDetails) -> str:
    own = () if details.made else ("--provider", details.provider.type)
    return format_command("complete", "--model", details.name, "--prompt", "TEXT", *own)


def render_chain(lineage: Sequence[ModelVersion]) -> Iterator[str]:
    """Data, files, job and model of each version, one line each."""
    for number, made in enumerate(lineage):
        arrow = "  " if number == 0 else "  + "
        for file in made.prepared.files if made.prepared else ():
            remote = _get_remote_id(made, file)
            rows = f"{file.rows:,} rows, sha256 {file.sha256[:_SHOWN_HASH]}" if file.sha256 else ""
            parts = (file.source, rows, remote if remote != file.source else "")
            yield arrow + " -> ".join(part for part in parts if part)
            arrow = "  + "
        run = made.run
        job_file = render_path(run.job_file) if run else "an unknown job file"
        yield f"  -> {job_file} ({made.tuned.run_id}), on {made.tuned.base}"
        yield f"  -> {made.tuned.job_id}"
        yield f"  -> {made.tuned.name}"


def _render_making(made: ModelVersion, home: Path) -> Iterator[RenderableType]:
    if made.prepared is not None:
        yield heading("Data")
        pairs = [pair for file in made.prepared.files for pair in _describe_file(made, file, home)]
        if made.prepared.plan is not None:
            codes = ", ".join(step.code for step in made.prepared.plan.steps)
            pairs.append(("plan", codes or "no steps"))
        yield render_pairs(pairs)
    if made.stages:
        yield heading("Stages")
        yield render_stage_times(made.stages)
    if made.run is None:
        return
    yield heading(f"Job file: {render_path(made.run.job_file)}")
    text = read_job_file(made.run, home)
    if text is None:
        yield Text("  Its copy was deleted; --json shows its values from the ledger.")
        return
    yield cell(text.rstrip("\n"))
    if made.run.overrides:
        yield cell("  with " + " ".join(f"--set {override!r}" for override in made.run.overrides))


def _describe_file(
    made: ModelVersion, file: PreparedFile, home: Path
) -> list[tuple[str, str | None]]:
    kind = "training" if file.role == "train" else file.role
    copy = RunFolder.of(home, made.tuned.run_id).path / file.filename
    size = f"{file.rows:,} rows, {render_bytes(file.bytes)}" if file.sha256 else None
    return [
        (kind, file.source),
        ("", size),
        ("", f"sha256 {file.sha256}" if file.sha256 else None),
        ("", f"at the provider {remote}" if (remote := _get_remote_id(made, file)) else None),
        ("", f"as sent: {render_path(copy)}" if copy.is_file() else None),
    ]


def _get_remote_id(made: ModelVersion, file: PreparedFile) -> str:
    """The id of the file at the provider; "" if it was not uploaded."""
    uploaded = made.results.upload
    file_id = None
    if uploaded:
        file_id = uploaded.training_file if file.role == "train" else uploaded.validation_file
    return file_id or file.file_id or ""


def _describe_checkpoint(checkpoint: Checkpoint) -> str:
    """The model of a checkpoint with its step and validation loss."""
    # valid_loss is measured at each checkpoint, full_valid_loss only at some
    loss = checkpoint.metrics.get("valid_loss", checkpoint.metrics.get("full_valid_loss"))
    measured = "" if loss is None else f", validation loss {loss:.3g}"
    return f"{checkpoint.model} (step {checkpoint.step:,}{measured})"


def _describe_provider(settings: ProviderSettings) -> str:
    return settings.type + (f" at {settings.base_url}" if settings.base_url else "")


def _version_document(made: ModelVersion, home: Path) -> dict[str, Json]:
    run, prepared = made.run, made.prepared
    folder = RunFolder.of(home, made.tuned.run_id).path
    files: list[Json] = [
        {
            "role": file.role,
            "source": file.source,
            "rows": file.rows or None,
            "bytes": file.bytes or None,
            "sha256": file.sha256 or None,
            "file_id": _get_remote_id(made, file) or None,
            "copy": str(path) if (path := folder / file.filename).is_file() else None,
        }
        for file in (prepared.files if prepared else ())
    ]
    return {
        "model": made.tuned.name,
        "base_model": made.tuned.base,
        "run_id": made.tuned.run_id,
        "run_name": run.name if run else None,
        "job_id": made.tuned.job_id,
        "files": files,
        "plan": prepared.plan.to_json() if prepared and prepared.plan else None,
        "job_file": {
            "path": run.job_file,
            "text": read_job_file(run, home),
            "overrides": list(run.overrides),
            "spec": hide_in_spec(run.spec),
        }
        if run
        else None,
    }


def make_usage(
    named: ResolvedModel, row_format: RowFormat, *, home: Path, environ: Mapping[str, str]
) -> ModelUsage:
    """How to send requests to the model, with an example prompt of its own data.

    `row_format` is for a model that the ledger does not know.
    """
    tuned, settings = named.tuned, named.provider
    address = find_address(settings)
    separator = tuned.separator if tuned else ""
    example = find_example_prompt(named.run, home, separator) if named.run else None
    return ModelUsage(
        model=named.name,
        row_format=tuned.row_format if tuned else row_format,
        prompt=example or _PROMPT,
        key_env=settings.api_key_env or (address or OPENAI).key_variable,
        base_url=address.get_base_url(settings, environ) if address else None,
        set_up=POINT_AT_ENGINE if settings.uses_engine else "",
        separator=separator,
        stop=tuned.stop if tuned else None,
        system=_find_system(named),
        max_tokens=_get_max_tokens(named),
        labels=dict(get_label_map(named.plan)),
        headers=_list_headers(settings, environ) if address is OPENAI else {},
        notes=_list_notes(named),
    )


def _list_headers(settings: ProviderSettings, environ: Mapping[str, str]) -> dict[str, str]:
    """The headers that name the account that pays."""
    headers = {
        "OpenAI-Organization": settings.organization or environ.get("OPENAI_ORG_ID"),
        "OpenAI-Project": settings.project or environ.get("OPENAI_PROJECT_ID"),
    }
    return {name: value for name, value in headers.items() if value}


def _find_system(named: ResolvedModel) -> str | None:
    prepare = named.run.spec.get("prepare") if named.run else None
    system = prepare.get("system") if isinstance(prepare, dict) else None
    return system if isinstance(system, str) else None


def _get_max_tokens(named: ResolvedModel) -> int:
    evaluate = named.run.spec.get("evaluate") if named.run else None
    max_tokens = evaluate.get("max_tokens") if isinstance(evaluate, dict) else None
    return max_tokens if isinstance(max_tokens, int) else _MAX_TOKENS


def _list_notes(named: ResolvedModel) -> tuple[str, ...]:
    steps = list_prompt_steps(named.plan)
    if not steps:
        return ()
    return (
        f"The data plan also changed the prompts ({', '.join(steps)}):"
        " `ftops complete` does the same, this code does not.",
    )


@command(
    "models show",
    examples=[
        "ftops models show ft:ada:local:news-topics:a1b2c3d4",
        "ftops models show news-topics --code python > ask.py",
    ],
)
def show(
    out: Output,
    name: Name,
    *,
    provider: ProviderOptions,
    code: CodeLanguage = None,
) -> None:
    """Show the lineage of a model, and code that uses it.

    Shows its job file, training data, base model, times, cost and metrics, then code for Python,
    curl and Node with the right separator, stop sequence, system message and labels. Keys are never
    printed: the code reads an environment variable.
    """
    typed = provider.find_settings()
    with open_ledger() as ledger:
        details = _load_details(ledger, resolve_model(ledger, name, typed), typed)
    if code is not None:
        if details.usage is None:
            raise UsageError(
                f"the code is for OpenAI's API, and {details.provider.type} has its own",
                hint=f"{_format_complete_command(details)} requests a completion.",
            )
        text = render_code(details.usage, code)
        out.finish_text({"id": details.name, "language": code.value, "code": text}, text)
        return
    out.finish(
        details.to_json(),
        essential=[details.name],
        human=lambda: render_details(details, SystemClock().now().date()),
    )


def _load_details(
    ledger: Ledger, named: ResolvedModel, typed: ProviderSettings | None
) -> ModelDetails:
    """The details of the model; a request is sent only if the ledger does not know it."""
    tuned, home = named.tuned, get_home()
    base, shutdown_date, row_format = tuned.base if tuned else None, None, RowFormat.COMPLETION
    if tuned is None:
        with open_provider(named.provider, typed=typed) as source:
            model = source.get_model(named.name)
            row_format = source.row_format(named.name)
        base, shutdown_date = model.base, model.shutdown_date
    figures = get_model_info(named.provider, base or named.name)
    generations = lineage.trace_lineage(ledger, tuned) if tuned else []
    evaluation = lineage.find_evaluation(named.run, home) if named.run else None
    is_whole = named.run is None or named.run.fine_tuned_model == named.name
    return ModelDetails(
        name=named.name,
        provider=named.provider,
        base=base,
        lineage=generations,
        headline=lineage.find_primary_metric(evaluation, "" if is_whole else named.name),
        cost=lineage.find_training_cost(generations[-1], figures) if generations else None,
        ends=lineage.find_shutdown_date(shutdown_date, figures),
        checkpoints=lineage.list_checkpoints(generations[-1]) if generations else [],
        usage=make_usage(named, row_format, home=home, environ=read_environ())
        if get_capabilities(named.provider).openai_requests
        else None,
        home=home,
    )
