"""`ftops check` and `ftops run --dry-run`: validation, costs and what would be sent."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from rich.console import RenderableType
from rich.text import Text

from ftops.cli.command import command
from ftops.cli.environment import open_existing_ledger
from ftops.cli.factory import open_providers
from ftops.cli.format import cell, heading, render_bytes, render_pairs, render_path
from ftops.cli.job_file import load_job_to_run
from ftops.cli.options import JobFile, JobFileOptions
from ftops.cli.output import Mode, Output
from ftops.cli.run_context import create_token_counter
from ftops.cli.trust import OutgoingData, collect_outgoing_data
from ftops.clock import SystemClock
from ftops.data.plans.planner import dry_run, open_for_plan
from ftops.data.prepare import prepare_row
from ftops.data.reading.options import ReadOptions
from ftops.data.rows import read_rows
from ftops.data.summary import DataSummary
from ftops.data.tokens.counter import format_method
from ftops.errors import UsageError
from ftops.evaluation.estimate import EvaluationEstimate
from ftops.inference.budget import CostEstimate
from ftops.providers.model_catalog import SHIPPED, ModelInfo
from ftops.providers.provider import Provider
from ftops.records import (
    ENGINE_PROVIDER,
    DataPlan,
    Hyperparameters,
    Json,
    ProviderSettings,
    RowFormat,
)
from ftops.reports.format import format_bytes, format_seconds
from ftops.runs.cost_limits import MonthCosts, load_month
from ftops.runs.estimate import TokenCounter
from ftops.runs.open_run import make_key
from ftops.runs.preprocessing import choose_recipe
from ftops.runs.preview import Preview, preview
from ftops.spec.job_file import LoadedJob, list_code, list_defaults
from ftops.text import format_count, format_usd

_SHOWN_CLASSES = 5


@command("check", examples=["ftops check job.yaml", "ftops check job.yaml --set model=babbage"])
def check(out: Output, job_file: JobFile, *, options: JobFileOptions) -> None:
    """Validate a job file and its data, offline.

    Needs no key, no network and no engine, runs nothing that the job file names, and writes
    nothing. Exits with 1 on any error.
    """
    show_preview(out, load_job_to_run(job_file, options), with_request=False)


def show_preview(
    out: Output, job: LoadedJob, *, with_request: bool, is_measured: bool = False
) -> None:
    """Print what the job would send and cost; raises when a limit or the provider prevents it.

    When `is_measured`, two steps of the training are taken; UsageError when that is not possible.
    """
    outgoing = collect_outgoing_data(job)
    with open_providers() as get_provider:
        provider = get_provider(job.spec.provider_settings())
        able, model = provider.capabilities, job.spec.model
        if is_measured and (not able.own_vocabulary or able.is_untrained(model)):
            raise UsageError(
                f"--measure: {model} is not a pre-trained base model of the provider"
                f" {ENGINE_PROVIDER}",
                hint="Leave it out.",
            )
        result = preview_job(
            job, provider, create_token_counter(is_measured=is_measured), get_provider
        )
    document = {**result.to_json(with_request=with_request), "sends": outgoing.to_json()}
    if result.preview.problems and out.mode is Mode.JSON:
        out.about = document  # the error document contains it
    else:
        out.finish(
            document,
            essential=() if result.preview.problems else ("ok",),
            human=lambda: render_preview(result, outgoing, with_request=with_request),
        )
    result.preview.check()


@dataclass(frozen=True, slots=True)
class JobPreview:
    """A preview with its job file, and what the prepare stage changes in the rows."""

    job: LoadedJob
    preview: Preview
    provider: str
    changes: tuple[str, ...]  # one sentence each
    left_out: Collection[str] = ()  # hyperparameters that are not sent

    def to_json(self, *, with_request: bool) -> dict[str, Json]:
        """The document of `ftops check --json` and `ftops run --dry-run --json`."""
        estimate = self.preview.estimate
        document: dict[str, Json] = {
            "job_file": str(self.job.path),
            "name": self.job.spec.name,
            "provider": self.provider,
            "model": self.job.spec.model,
            "row_format": self.preview.row_format.value,
            "training": _summary_to_json(self.preview.training),
            "validation": _summary_to_json(self.preview.validation),
            "overlap_rows": self.preview.overlap_rows,
            "changes": list(self.changes),
            "estimated_tokens": estimate.tokens if estimate else None,
            "tokens_method": estimate.method if estimate else None,
            "tokens_error": estimate.error if estimate else None,
            "long_rows": estimate.long_rows if estimate else None,
            "n_epochs": estimate.n_epochs if estimate else None,
            "n_epochs_assumed": estimate.epochs_assumed if estimate else None,
            "batch_size_assumed": estimate.batch_size if estimate else None,
            "estimated_trained_tokens": estimate.trained_tokens if estimate else None,
            "estimated_cost_usd": estimate.cost_usd if estimate else None,
            "estimated_training_s": estimate.training_s if estimate else None,
            "estimated_memory_bytes": estimate.memory_bytes if estimate else None,
            "tokens_per_second": estimate.tokens_per_second if estimate else None,
            "measured_step_s": estimate.step_s if estimate else None,
            "deployment": self.preview.deployment,
            "evaluation": evaluation_to_json(self.preview.evaluation),
            "code": [
                {"field": field, "runs": runs}
                for field, runs in list_code(self.job.spec, self.job.path)
            ],
            "model_info": self.preview.figures.to_json(),
            "problems": list(self.preview.problems),
        }
        if with_request:
            document["uploads"] = dict(self.preview.uploads)
            document["request"] = self.render_request()
        return document

    def render_request(self) -> dict[str, Json]:
        """The request body for the API, without unset fields."""
        document = asdict(self.preview.request)
        document |= document.pop("sections")
        hyperparameters = document.pop("hyperparameters")
        document["hyperparameters"] = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in hyperparameters.items()
            if value is not None and name not in self.left_out
        }
        return {name: value for name, value in document.items() if value not in (None, "")}


def preview_job(
    job: LoadedJob,
    provider: Provider,
    tokens: TokenCounter,
    get_provider: Callable[[ProviderSettings], Provider] | None = None,
) -> JobPreview:
    """Read the data and estimate the job; DatasetError when the data is invalid."""
    return JobPreview(
        job,
        preview(job, provider, tokens, get_provider, _load_month(job, provider)),
        provider.name,
        _list_changes(job, provider),
        _list_left_out(job, provider),
    )


def _list_left_out(job: LoadedJob, provider: Provider) -> frozenset[str]:
    """The hyperparameters that are not sent, because the provider has or takes only a default."""
    defaults = list_defaults(job.spec, provider.capabilities)
    known = provider.capabilities.hyperparameters
    names = {field.name for field in fields(Hyperparameters)}
    return frozenset(defaults) | (names - known)


def _load_month(job: LoadedJob, provider: Provider) -> MonthCosts | None:
    """The runs that count for the limit of the month, without that of this job file."""
    if job.spec.limits.max_month_usd is None:
        return None
    now = SystemClock().now()
    with open_existing_ledger() as ledger:
        if ledger is None:
            return MonthCosts(now, ())
        known = ledger.find_run_by_key(make_key(job, provider.account))
        return load_month(ledger, provider, now, without=known.id if known else "")


def render_preview(
    result: JobPreview, outgoing: OutgoingData, *, with_request: bool
) -> Iterator[RenderableType]:
    """The data, the estimates and what would be sent, as text."""
    details, spec = result.preview, result.job.spec
    yield cell(spec.name, "bold")
    yield render_pairs(
        [
            ("job file", render_path(result.job.path)),
            *outgoing.list_pairs(),
            ("model", spec.model + (f", suffix {spec.suffix}" if spec.suffix else "")),
            ("training", _describe_data(details.training, spec.training_file)),
            ("validation", _describe_data(details.validation, spec.validation_file)),
            ("labels", _describe_classes(details.training)),
            *(("preparing", change) for change in result.changes),
            ("tokens", _describe_tokens(details)),
            ("batch size", _describe_batch(details)),
            ("time", _describe_time(details)),
            ("memory", _describe_memory(details)),
            ("cost", _describe_cost(details)),
            ("deployment", details.deployment),
            ("price", _describe_price(details.figures)),
            ("ends", _describe_ends(details.figures)),
        ]
    )
    yield from render_evaluation_estimate(details.evaluation)
    for warning in [
        *_list_warnings(details),
        *warn_of_evaluation(details.evaluation, spec.evaluate.max_cost_usd),
    ]:
        yield Text(f"  note: {warning}", style="yellow")
    if code := list_code(spec, result.job.path):
        yield heading("Code that a run executes on this machine")
        yield render_pairs(code)
    if with_request:
        yield from _render_request(result)
    yield ""
    if details.problems:
        yield Text("This job cannot be run as it is.", style="red")
    else:
        sent = "Nothing was sent." if with_request else "Nothing was sent or written."
        yield Text(f"Job file and data are valid. {sent}", style="green")


def _render_request(result: JobPreview) -> Iterator[RenderableType]:
    yield heading("Files to upload")
    uploads = result.preview.uploads
    yield render_pairs((name, f"from {source}") for name, source in uploads.items())
    yield heading("Request")
    request = result.render_request()
    sections = [request.pop(name) for name, value in [*request.items()] if isinstance(value, dict)]
    pairs = [*request.items()]
    for section in sections:
        pairs += section.items() if isinstance(section, dict) else ()
    yield render_pairs(pairs)


def _list_changes(job: LoadedJob, provider: Provider) -> tuple[str, ...]:
    """What the prepare stage changes in the rows of each file."""
    recipe = choose_recipe(job.spec, job.path, provider)
    changes = []
    for value in (job.spec.training_file, job.spec.validation_file):
        path = job.find_data(value) if value else None
        if path is None:
            continue
        if recipe.plan is not None:
            changes.append(_describe_plan(path, recipe.plan, recipe.options))
            continue
        total, changed, source = 0, 0, recipe.format
        for row in read_rows(path, recipe.options):
            total, source = total + 1, row.format
            changed += prepare_row(row, recipe) != row.raw
        if changed:
            how = _describe_change(source, recipe.format, job)
            changes.append(f"{changed:,} of {total:,} rows of {Path(path).name} {how}")
    return tuple(changes)


def _describe_plan(path: Path, plan: DataPlan, options: ReadOptions) -> str:
    outcome = dry_run(open_for_plan(path, options, plan), plan)
    fix_stats = [
        f"{stats.code} {f'({stats.check}) ' if stats.check else ''}{stats.count:,}"
        for stats in outcome.changed
    ]
    return (
        f"rows of {path.name} by {Path(plan.name).name}: {', '.join(fix_stats) or 'none changed'}"
    )


def _describe_change(source: RowFormat, target: RowFormat, job: LoadedJob) -> str:
    prepare = job.spec.prepare
    if source is not target:
        return f"become {target.value} rows" + (
            ", with the system message" if prepare.system else ""
        )
    if target is RowFormat.CHAT:
        return "get the system message"
    ends = [
        f"the {name} {text!r}"
        for name, text in (("separator", prepare.separator), ("stop", prepare.stop))
        if text
    ]
    return f"get {' and '.join(ends)}"


def _describe_data(summary: DataSummary | None, source: str | None) -> str | None:
    if source is None:
        return None
    if summary is None:
        return f"{source}, a file at the provider"
    return f"{source}: {summary.rows:,} rows, {render_bytes(summary.bytes)}"


def _describe_classes(summary: DataSummary | None) -> str | None:
    """The labels with their numbers of rows, if the completions are labels."""
    if summary is None or not summary.classes:
        return None
    shown = [f"{label!r} x {count:,}" for label, count in summary.classes.items()]
    more = len(shown) - _SHOWN_CLASSES
    return ", ".join(shown[:_SHOWN_CLASSES]) + (f", and {more} more" if more > 0 else "")


def _describe_tokens(details: Preview) -> str | None:
    estimate = details.estimate
    if estimate is None:
        return None
    about = f"about {estimate.tokens:,}" if estimate.error else f"{estimate.tokens:,}"
    how = f"; {format_method(estimate.method, estimate.error)}"
    if estimate.n_epochs is None:
        return f'{about} an epoch; the provider chooses the epochs ("auto"){how}'
    assumed = ' (assumed for "auto")' if estimate.epochs_assumed else ""
    return f"{about} x {estimate.n_epochs} epochs{assumed} = {estimate.trained_tokens:,}{how}"


def _describe_batch(details: Preview) -> str | None:
    size = details.estimate.batch_size if details.estimate else None
    return f'{size} (assumed for "auto")' if size else None


def _describe_time(details: Preview) -> str | None:
    estimate = details.estimate
    if estimate is not None and estimate.needs_calibration:
        return "unknown: no calibration yet, `ftops run JOB.yaml --dry-run --measure` measures it"
    if estimate is None or estimate.training_s is None:
        return None
    speed = f"{estimate.tokens_per_second:,.0f} tokens per second"
    if estimate.step_s is not None:
        speed += f", {format_seconds(estimate.step_s)} for the longest step"
    return f"about {format_seconds(estimate.training_s)} on this machine ({speed})"


def _describe_memory(details: Preview) -> str | None:
    estimate = details.estimate
    if estimate is None or estimate.memory_bytes is None:
        return None
    how = "measured" if estimate.step_s is not None else "estimated"
    return f"{format_bytes(estimate.memory_bytes)} ({how})"


def _describe_cost(details: Preview) -> str | None:
    estimate = details.estimate
    if details.is_cost_later and (estimate is None or estimate.cost_usd is None):
        return "unknown: the provider estimates it before the job is created"
    if estimate is None:
        return None
    if estimate.cost_usd is None:
        if details.figures.train_usd is None:
            return "unknown: no price for this model and provider"
        return "unknown: the provider chooses the epochs"
    return f"about {format_usd(estimate.cost_usd)}" if estimate.cost_usd else "nothing"


def _describe_price(figures: ModelInfo) -> str | None:
    """The price of training, with its date and source."""
    origin = figures.origins.get("train_usd")
    if figures.train_usd is None or origin is None:
        return None
    if figures.train_usd == 0 and origin.source == SHIPPED:
        return None  # the built-in engine is free
    source = "the list of ftops" if origin.source == SHIPPED else origin.source
    where = f", from {origin.reference}" if origin.reference else ""
    doubt = "" if origin.confirmed else ", not confirmed by the provider"
    return (
        f"${figures.train_usd:g} per million trained tokens, as of {origin.as_of}"
        f" ({source}{where}{doubt})"
    )


def _describe_ends(figures: ModelInfo) -> str | None:
    """The shutdown dates of the model and of its fine-tuning."""
    days = [
        f"no new jobs from {figures.no_jobs_from} on" if figures.no_jobs_from else "",
        f"shut down on {figures.shutdown}, with its fine-tuned models" if figures.shutdown else "",
    ]
    return ", ".join(day for day in days if day) or None


def _list_warnings(details: Preview) -> Sequence[str]:
    warnings = []
    if details.training and details.training.duplicate_rows:
        warnings.append(f"{details.training.duplicate_rows:,} training rows are duplicates")
    if details.estimate and (cut := details.estimate.describe_long_rows()):
        warnings.append(cut)
    if details.overlap_rows:
        warnings.append(
            f"{details.overlap_rows:,} validation rows are also training rows:"
            " metrics on them are not meaningful"
        )
    return warnings


def _summary_to_json(summary: DataSummary | None) -> Json:
    if summary is None:
        return None
    return {
        "rows": summary.rows,
        "bytes": summary.bytes,
        "sha256": summary.sha256,
        "classes": None if summary.classes is None else dict(summary.classes),
        "duplicate_rows": summary.duplicate_rows,
        "longest_completion_chars": summary.longest_completion_chars,
    }


def render_evaluation_estimate(estimate: EvaluationEstimate | None) -> Iterator[RenderableType]:
    """One line per model that gets requests, and the total."""
    if estimate is None:
        return
    yield heading(f"Evaluation on {estimate.file} ({format_count(estimate.rows, 'row')})")
    pairs = [
        (request.name, _describe_evaluation_cost(request.cost)) for request in estimate.requests
    ]
    pairs += [(candidate.name, f"skipped: {candidate.reason}") for candidate in estimate.skipped]
    pairs += [(name, "evaluated, too, if there are any by then") for name in estimate.later]
    if len(estimate.requests) > 1:
        pairs.append(("total", _format_price(estimate.usd)))
    yield render_pairs(pairs)


def warn_of_evaluation(
    estimate: EvaluationEstimate | None, max_cost_usd: float | None
) -> Iterator[str]:
    """Warnings when the cost limit would stop the evaluation."""
    if estimate is None or max_cost_usd is None:
        return
    if estimate.usd is None:
        yield "evaluate.max_cost_usd cannot be enforced: a price is unknown (docs/prices.md)"
    elif estimate.usd > max_cost_usd:
        yield (
            f"the evaluation may cost up to {format_usd(estimate.usd)}, and"
            f" evaluate.max_cost_usd is {format_usd(max_cost_usd)}: it would not start"
        )


def evaluation_to_json(estimate: EvaluationEstimate | None) -> Json:
    """The estimate as JSON; the cost is null when a price is unknown."""
    if estimate is None:
        return None
    candidates: list[Json] = [
        {
            "name": request.name,
            "model": request.model,
            "provider": request.provider,
            "requests": request.cost.requests,
            "prompt_tokens": request.cost.prompt_tokens,
            "max_completion_tokens": request.cost.completion_tokens,
            "max_cost_usd": request.cost.usd,
        }
        for request in estimate.requests
    ]
    skipped: list[Json] = [
        {"name": candidate.name, "reason": candidate.reason} for candidate in estimate.skipped
    ]
    return {
        "file": estimate.file,
        "rows": estimate.rows,
        "candidates": candidates,
        "skipped": skipped,
        "later": list(estimate.later),
        "max_cost_usd": estimate.usd,
    }


def _describe_evaluation_cost(cost: CostEstimate) -> str:
    requests = format_count(cost.requests, "request")
    return (
        f"{requests}, about {cost.prompt_tokens:,} prompt tokens, up to"
        f" {cost.completion_tokens:,} completion tokens; {_format_price(cost.usd)}"
    )


def _format_price(usd: float | None) -> str:
    if usd is None:
        return "price unknown"
    return "free" if usd == 0 else f"up to {format_usd(usd)}"
