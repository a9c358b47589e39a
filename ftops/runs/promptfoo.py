"""Gathers a run's evaluation, so that other tools can repeat it."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path

from ftops.data.rows import read_rows
from ftops.errors import RunError
from ftops.evaluation.result import CandidateKind, CandidateScore, Evaluation
from ftops.ledger.ledger import Ledger
from ftops.records import ENGINE_PROVIDER, Json, Run, TunedModel
from ftops.run_folder import RunFolder
from ftops.runs.commands import format_run_command
from ftops.runs.lineage import find_evaluation
from ftops.spec.promptfoo_export import EvaluationExport, ExportedModel, ExportedRow
from ftops.stage_results import find_value

_MAX_ROWS = 1000
_MAX_TOKENS = 64


def gather_export(
    run: Run, ledger: Ledger, home: Path, *, engine_url: str | None = None
) -> EvaluationExport:
    """The evaluation's rows, models and metrics.

    `engine_url` is the address of the built-in engine if it runs; otherwise requests to its models
    go to `OPENAI_BASE_URL`. RunError for a run without a model or rows.
    """
    tuned = ledger.find_model(run.fine_tuned_model) if run.fine_tuned_model else None
    if tuned is None:
        raise RunError(f"{run.id} has made no model: it is {run.status.value}")
    path = _get_rows(run, home)
    evaluate = run.spec.get("evaluate")
    section: Mapping[str, Json] = evaluate if isinstance(evaluate, dict) else {}
    evaluation = find_evaluation(run, home)
    candidates, skipped = _choose_candidates(run, tuned, evaluation, engine_url)
    providers = _list_providers(section.get("against"))
    candidates = [
        _set_provider(candidate, providers.get(candidate.model)) for candidate in candidates
    ]
    if section.get("require"):
        skipped.append("evaluate.require: promptfoo has thresholds of single tests only")
    metrics, max_tokens = section.get("metrics"), section.get("max_tokens")
    return EvaluationExport(
        description=f"{run.name} ({run.id})",
        file=str(path),
        rows=_read(path, tuned, section.get("max_rows")),
        candidates=candidates,
        is_chat=tuned.row_format.value != "completion",
        separator=tuned.separator,
        stop=tuned.stop,
        max_tokens=max_tokens if isinstance(max_tokens, int) else _MAX_TOKENS,
        metrics=metrics if isinstance(metrics, list) else (),
        folder=Path(run.job_file).parent,
        skipped=tuple(skipped),
    )


def _get_rows(run: Run, home: Path) -> Path:
    folder = RunFolder.of(home, run.id)
    for path in (folder.evaluation_rows, folder.validation_rows):
        if path.is_file():
            return path
    raise RunError(
        f"{run.id} has no rows whose answers are known",
        hint=f"Name a file with evaluate.file; {format_run_command(run)} then evaluates with it.",
    )


def _read(path: Path, tuned: TunedModel, max_rows: Json) -> Iterator[ExportedRow]:
    stop = tuned.stop
    for row in islice(read_rows(path), max_rows if isinstance(max_rows, int) else _MAX_ROWS):
        answer = row.completion.split(stop, 1)[0] if stop else row.completion
        yield ExportedRow(row.line, row.prompt, answer.strip())


def _choose_candidates(
    run: Run, tuned: TunedModel, evaluation: Evaluation | None, engine_url: str | None
) -> tuple[list[ExportedModel], list[str]]:
    """The models that promptfoo can use, the tuned model first, and the reasons for others."""
    chosen = {tuned.name: _to_candidate(run, "tuned", tuned.name, None, engine_url)}
    skipped = []
    for candidate in evaluation.candidates if evaluation else ():
        reason = _reason_to_skip(candidate)
        if reason:
            skipped.append(f"the candidate {candidate.name}: {reason}")
        elif candidate.model and candidate.model not in chosen:
            chosen[candidate.model] = _to_candidate(
                run, candidate.name, candidate.model, candidate.provider, engine_url
            )
    return list(chosen.values()), skipped


def _reason_to_skip(candidate: CandidateScore) -> str:
    if candidate.kind is CandidateKind.FEW_SHOT:
        return "its prompts contain examples"
    return "" if candidate.model else "it is not a model"


def _to_candidate(
    run: Run, label: str, model: str, provider: str | None, engine_url: str | None
) -> ExportedModel:
    """The model at this provider; None is the run's provider."""
    settings = run.provider if provider in (None, run.provider.type) else None
    if (provider or run.provider.type) == ENGINE_PROVIDER:
        return ExportedModel(label, model, engine_url)
    if settings is None:
        return ExportedModel(label, model)
    return ExportedModel(
        label, model, settings.base_url, settings.api_key_env, settings.organization
    )


def _list_providers(against: Json) -> Mapping[str, Mapping[str, Json]]:
    """The provider of each model that has one in `evaluate.against`."""
    providers: dict[str, Mapping[str, Json]] = {}
    for item in against if isinstance(against, list) else ():
        model = item.get("model") if isinstance(item, dict) else None
        if isinstance(model, dict) and isinstance(provider := model.get("provider"), dict):
            providers[str(model.get("name"))] = provider
    return providers


def _set_provider(candidate: ExportedModel, provider: Mapping[str, Json] | None) -> ExportedModel:
    if provider is None or provider.get("type") == ENGINE_PROVIDER:
        return candidate
    return replace(
        candidate,
        base_url=find_value(provider, "base_url", str),
        key_env=find_value(provider, "api_key_env", str),
        organization=find_value(provider, "organization", str),
    )
