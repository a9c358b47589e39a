"""Any model on any file, at any time: what `ftops eval` does, without a stage or a job file."""

import hashlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from ftops.clock import Clock
from ftops.data.prepare import Recipe, make_recipe, prepare_file
from ftops.data.reading.options import ReadOptions, options_from_plan
from ftops.data.tokens.counter import CounterFactory
from ftops.evaluation.asking_models import StoredInterview, make_budget
from ftops.evaluation.candidates import Field, OpenProvider
from ftops.evaluation.evaluating import Progress, interview_all
from ftops.evaluation.questions import read_questions
from ftops.evaluation.result import CandidateKind, Evaluation
from ftops.evaluation.rows import check_leak
from ftops.evaluation.scores import make_named_metrics, score_interviews
from ftops.evaluation.storage import make_slugs, write_evaluation
from ftops.evaluation.subject import Subject, describe_run, find_earlier_way
from ftops.evaluation.ways import Way
from ftops.files import make_private_dir, storage_error
from ftops.inference.cache import ResponseCache
from ftops.ledger.ledger import Ledger
from ftops.records import ProviderSettings, Run, Stage
from ftops.spec.evaluate import EvaluateSpec
from ftops.spec.model import JobSpec
from ftops.stage_results import PreparedData

FOLDER = "evaluations"


@dataclass(frozen=True, slots=True)
class Tools:
    """What the evaluation works with.

    `noted` is told what the user should know, `progress` how many answers there are; tokens are
    counted by `counting`.
    """

    ledger: Ledger
    reach: OpenProvider
    clock: Clock
    home: Path
    on_note: Callable[[str], None]
    progress: Progress
    counting: CounterFactory


def evaluate_model(
    model: str,
    settings: ProviderSettings,
    file: Path,
    spec: EvaluateSpec,
    tools: Tools,
    *,
    run: Run | None = None,
    training: Path | None = None,
) -> Evaluation:
    """Evaluate `model` on `file`, and keep the answers below FTOPS_HOME/evaluations.

    `run` made the model, if one did; `training` holds the rows that it learned of, where no run
    tells.
    """
    named = make_named_metrics(spec, Path(), run_code=True)
    provider = tools.reach(settings)
    provider.ensure_ready()
    with ExitStack() as stack:
        folder = _open_folder(stack, tools.home)
        subject, recipe = _describe(model, settings, run, tools)
        path = folder / "evaluate.jsonl"
        prepare_file(file, path, recipe)
        if training is not None:
            learned = folder / "train.jsonl"
            prepare_file(training, learned, recipe)
            subject = replace(subject, training=learned)
        leak = check_leak(subject.training, path, str(file), spec)
        questions = read_questions(path, str(file), subject.way, spec.max_rows, spec.seed)
        field = Field(subject, questions, tools.ledger, tools.reach, spec.seed)
        interview = StoredInterview(
            ResponseCache(tools.home, tools.clock),
            tools.clock,
            tools.counting,
            make_budget(spec),
            concurrency=spec.concurrency,
            sleep=tools.clock.sleep,
            on_note=tools.on_note,
        )
        interviews = interview_all(field, spec, interview, tools.progress)
        evaluation = score_interviews(
            field,
            spec,
            interviews,
            named=named,
            overlap_lines=leak.lines if leak else None,
        )
        kept = tools.home / FOLDER / _name_folder(model, questions.sha256)
        write_evaluation(kept, evaluation, interviews.answers)
        tools.on_note(f"note: the answers are kept in {kept}")
    return evaluation


def _open_folder(stack: ExitStack, home: Path) -> Path:
    """A folder for prepared rows that is gone at the end."""
    make_private_dir(home)
    try:
        return Path(stack.enter_context(TemporaryDirectory(prefix=".evaluate-", dir=home)))
    except OSError as error:
        raise storage_error(error, home) from error


def _describe(
    model: str, settings: ProviderSettings, run: Run | None, tools: Tools
) -> tuple[Subject, Recipe]:
    """The model as it is known, and how rows are made ready for it."""
    tuned = tools.ledger.find_model(model)
    subject = describe_run(run, tools.ledger, tools.home) if run is not None else None
    if subject is not None and run is not None:
        spec = JobSpec.from_json(run.spec)
        detail = tools.ledger.get_stage(run.id, Stage.PREPARE).detail
        plan = PreparedData.from_json(detail).plan if "recipe" in detail else None
        shape = subject.way.format
        return replace(subject, settings=settings), make_recipe(spec.prepare, shape, plan)
    way = (
        find_earlier_way(tools.ledger, tuned)
        if tuned is not None
        else Way(tools.reach(settings).row_format(model))
    )
    kind = CandidateKind.TUNED if tuned is not None else CandidateKind.MODEL
    name = "tuned" if tuned is not None else model
    base = tuned.base if tuned is not None else None
    described = Subject(model, settings, way, kind=kind, base=base, name=name)
    options = ReadOptions() if tuned is None else options_from_plan({})
    return described, Recipe(way.format, way.separator, way.stop, options=options)


def _name_folder(model: str, sha256: str) -> str:
    digest = hashlib.sha256(f"{model}\n{sha256}".encode()).hexdigest()[:12]
    return f"{make_slugs([model])[model]}-{digest}"
