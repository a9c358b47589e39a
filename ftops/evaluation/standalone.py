"""Evaluates any model on any file (`ftops eval`) and compares runs (`ftops compare`)."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from ftops.clock import Clock
from ftops.data.prepare import Recipe, make_recipe, prepare_file
from ftops.data.reading.options import ReadOptions, options_from_plan
from ftops.data.tokens.counter import CounterFactory
from ftops.errors import RunError, UsageError
from ftops.evaluation.candidates import (
    EvaluatedModel,
    EvaluationContext,
    OpenProvider,
    find_evaluated_model,
    load_prompt_format,
)
from ftops.evaluation.evaluate import ReportProgress, run_evaluation
from ftops.evaluation.inference import ModelClient, create_budget
from ftops.evaluation.prompt_format import PromptFormat, to_text
from ftops.evaluation.result import (
    CandidateKind,
    Evaluation,
    Note,
    NoteKind,
    make_slugs,
    read_evaluation,
    read_predictions,
    write_evaluation,
)
from ftops.evaluation.rows import load_extract, read_evaluation_rows
from ftops.evaluation.scoring import (
    CandidatePredictions,
    ScoringOptions,
    create_named_metrics,
    evaluate,
    select_metrics,
)
from ftops.files import make_private_dir, storage_error
from ftops.inference.cache import ResponseCache
from ftops.ledger.ledger import Ledger
from ftops.metrics.prediction import Prediction
from ftops.records import ProviderSettings, Run
from ftops.run_folder import RunFolder
from ftops.spec.evaluate import EvaluateSpec
from ftops.spec.model import JobSpec
from ftops.stage_results import StageResults
from ftops.text import to_nfc

FOLDER = "evaluations"
_RowKey = tuple[str, str]  # the prompt without separator, and the expected answer


@dataclass(frozen=True, slots=True)
class EvaluationServices:
    """The dependencies of an evaluation.

    `on_note` gets notes for the user, `on_progress` the number of responses; `counting` counts
    tokens.
    """

    ledger: Ledger
    open_provider: OpenProvider
    clock: Clock
    home: Path
    on_note: Callable[[str], None]
    on_progress: ReportProgress
    counting: CounterFactory


def evaluate_model(
    model: str,
    settings: ProviderSettings,
    file: Path,
    spec: EvaluateSpec,
    services: EvaluationServices,
    *,
    run: Run | None = None,
    training: Path | None = None,
) -> Evaluation:
    """Evaluate `model` on `file`, and store the predictions below FTOPS_HOME/evaluations.

    `run` is the run that created the model, if known; otherwise `training` has its training rows.
    """
    metrics = create_named_metrics(spec, Path(), run_code=True)
    provider = services.open_provider(settings)
    if spec.precision != "auto" and not provider.capabilities.takes_precision(model):
        raise UsageError(
            f"{provider.name} takes no precision of the weights of {model}",
            hint="Leave --precision out.",
        )
    provider.ensure_ready()
    with ExitStack() as stack:
        folder = _open_folder(stack, services.home)
        evaluated, recipe = _describe_model(model, settings, run, services)
        path = RunFolder(folder).evaluation_rows
        prepare_file(file, path, recipe)
        if training is not None:
            prepared_training = RunFolder(folder).training_rows
            prepare_file(training, prepared_training, recipe)
            evaluated = replace(evaluated, training=prepared_training)
        extract = load_extract(evaluated.training, path)
        if extract is not None:
            extract.check_leak(str(file), spec)
        rows = read_evaluation_rows(
            path, str(file), evaluated.prompt_format, spec.max_rows, spec.seed
        )
        evaluation, predictions = run_evaluation(
            EvaluationContext(evaluated, rows, services.ledger, services.open_provider, spec.seed),
            spec,
            ModelClient(
                ResponseCache(services.home, services.clock),
                services.clock,
                services.counting,
                create_budget(spec),
                concurrency=spec.concurrency,
                sleep=services.clock.sleep,
                on_note=services.on_note,
            ),
            metrics=metrics,
            training=extract,
            on_progress=services.on_progress,
        )
        target = services.home / FOLDER / _name_folder(model, rows.sha256)
        write_evaluation(target, evaluation, predictions)
        services.on_note(f"note: the predictions are stored in {target}")
    return evaluation


def _open_folder(stack: ExitStack, home: Path) -> Path:
    """A temporary folder for prepared rows, which `stack` deletes."""
    make_private_dir(home)
    try:
        return Path(stack.enter_context(TemporaryDirectory(prefix=".evaluate-", dir=home)))
    except OSError as error:
        raise storage_error(error, home) from error


def _describe_model(
    model: str, settings: ProviderSettings, run: Run | None, services: EvaluationServices
) -> tuple[EvaluatedModel, Recipe]:
    """The model with its origin if known, and the recipe for its rows."""
    ledger = services.ledger
    tuned = ledger.find_model(model)
    evaluated = find_evaluated_model(run, ledger, services.home) if run is not None else None
    if evaluated is not None and run is not None:
        spec = JobSpec.from_json(run.spec)
        prepared = StageResults.read(ledger.list_stages(run.id)).prepare
        plan = prepared.plan if prepared else None
        recipe = make_recipe(spec.prepare, evaluated.prompt_format.row_format, plan)
        return replace(evaluated, settings=settings), recipe
    if tuned is None:
        prompt_format = PromptFormat(services.open_provider(settings).row_format(model))
        evaluated = EvaluatedModel(
            model, settings, prompt_format, kind=CandidateKind.MODEL, name=model
        )
        options = ReadOptions()
    else:
        prompt_format = load_prompt_format(ledger, tuned)
        evaluated = EvaluatedModel(model, settings, prompt_format, base=tuned.base)
        options = options_from_plan({})
    recipe = Recipe(
        prompt_format.row_format, prompt_format.separator, prompt_format.stop, options=options
    )
    return evaluated, recipe


def _name_folder(model: str, sha256: str) -> str:
    digest = hashlib.sha256(f"{model}\n{sha256}".encode()).hexdigest()[:12]
    return f"{make_slugs([model])[model]}-{digest}"


@dataclass(frozen=True, slots=True)
class _StoredRun:
    run: Run
    evaluation: Evaluation
    predictions: dict[_RowKey, Prediction]


def compare_runs(runs: Sequence[Run], ledger: Ledger, home: Path, spec: EvaluateSpec) -> Evaluation:
    """Compare the model of the first run with all others by their stored predictions.

    RunError if they cannot be compared. Duplicate rows and duplicate runs count once.
    """
    runs = list({run.id: run for run in runs}.values())
    if len(runs) < 2:
        raise RunError(
            f"all of these are {runs[0].id}, and a run cannot be compared with itself",
            hint="Name another; `ftops runs` lists them.",
        )
    stored = [_load(run, ledger, home) for run in runs]
    common = [
        key for key in stored[0].predictions if all(key in loaded.predictions for loaded in stored)
    ]
    if not common:
        raise RunError(
            "these runs have no evaluated row in common",
            hint="Evaluate both on the same file: `ftops eval MODEL FILE --against 'model: OTHER'`",
        )
    names = _name_runs(runs)
    candidates = []
    for loaded, name in zip(stored, names, strict=True):
        predictions = [
            replace(loaded.predictions[key], line=line) for line, key in enumerate(common, start=1)
        ]
        candidates.append(
            CandidatePredictions(
                name,
                CandidateKind.MODEL,
                predictions,
                loaded.run.fine_tuned_model,
                loaded.run.provider.type,
                refused_parameters=loaded.evaluation.candidates[0].refused_parameters,
                system_fingerprints=loaded.evaluation.candidates[0].system_fingerprints,
            )
        )
    named = create_named_metrics(spec, Path(runs[0].job_file).parent, run_code=True)
    metrics = select_metrics(spec, candidates[0].predictions, named)
    files = list(dict.fromkeys(loaded.evaluation.file for loaded in stored))
    evaluation = evaluate(" and ".join(files), candidates, metrics, ScoringOptions(seed=spec.seed))
    notes = _list_row_notes(stored, names, len(common))
    return replace(evaluation, notes=(*notes, *evaluation.notes))


def _load(run: Run, ledger: Ledger, home: Path) -> _StoredRun:
    folder = RunFolder.of(home, run.id).path
    evaluation = read_evaluation(folder)
    evaluated = find_evaluated_model(run, ledger, home)
    if evaluation is None or evaluated is None or not evaluation.candidates:
        raise RunError(
            f"{run.id} has no evaluation to compare",
            hint="The same `ftops run` evaluates it, if its job file names rows to evaluate on.",
        )
    names = [candidate.name for candidate in evaluation.candidates]
    predictions = read_predictions(folder, names).get(names[0])
    if predictions is None:
        raise RunError(
            f"{run.id} has no stored predictions",
            hint="Its `ftops run` with another `evaluate` section makes them again.",
        )
    keyed = {_make_key(row, evaluated.prompt_format): row for row in predictions}
    return _StoredRun(run, evaluation, keyed)


def _make_key(prediction: Prediction, prompt_format: PromptFormat) -> _RowKey:
    prompt = to_text(prediction.prompt).removesuffix(prompt_format.separator).strip()
    return to_nfc(prompt), to_nfc(prediction.expected)


def _name_runs(runs: Sequence[Run]) -> list[str]:
    """The names of the runs, or their ids if names are not unique."""
    names = [run.name for run in runs]
    return names if len(set(names)) == len(names) else [str(run.id) for run in runs]


def _list_row_notes(stored: Sequence[_StoredRun], names: Sequence[str], common: int) -> list[Note]:
    """A note if the runs were evaluated on different rows."""
    counts = {name: len(loaded.predictions) for loaded, name in zip(stored, names, strict=True)}
    if all(count == common for count in counts.values()):
        return []
    detail = ", ".join(f"{name}: {count:,}" for name, count in counts.items())
    return [Note(NoteKind.DIFFERENT_ROWS, rows=common, detail=detail)]
