"""The model that is evaluated, and all that is known of where it comes from."""

from dataclasses import dataclass
from pathlib import Path

from ftops.data.plans.inference import get_label_map, get_separator_and_stop
from ftops.evaluation.result import CandidateKind
from ftops.evaluation.ways import Way
from ftops.ledger.ledger import Ledger
from ftops.records import ProviderSettings, Run, Stage, TunedModel
from ftops.run_folder import get_run_folder
from ftops.stage_results import PreparedData, find_kept_plan


@dataclass(frozen=True, slots=True)
class Subject:
    """A model, how it is asked, and where it comes from as far as that is known.

    `base` is what it was tuned from, by the job `job_id`; `training` the rows it learned of, as
    they were prepared; `run` what made it. `training_usd` is what that has cost.
    """

    model: str
    settings: ProviderSettings
    way: Way
    kind: CandidateKind = CandidateKind.TUNED
    base: str | None = None
    job_id: str | None = None
    training: Path | None = None
    training_usd: float | None = None
    run: Run | None = None
    name: str = "tuned"


def find_earlier_way(ledger: Ledger, tuned: TunedModel) -> Way:
    """How a model that the ledger knows is asked, by the plan of the run that made it."""
    plan = find_kept_plan(ledger.get_stage(tuned.run_id, Stage.PREPARE).detail)
    separator, stop = tuned.separator, tuned.stop
    if plan is not None:
        marked, ends = get_separator_and_stop(plan)
        separator, stop = separator or marked, stop or ends
    return Way(tuned.row_format, separator, stop, get_label_map(plan))


def find_training(home: Path, run: Run, prepared: PreparedData) -> Path | None:
    """The prepared training rows of a run; None where they are at the provider, or gone."""
    path = get_run_folder(home, run.id) / prepared.training.filename
    return path if prepared.training.file_id is None and path.is_file() else None


def describe_run(run: Run, ledger: Ledger, home: Path) -> Subject | None:
    """The model of a run, with all that the ledger knows of it; None where it made none."""
    if run.fine_tuned_model is None:
        return None
    detail = ledger.get_stage(run.id, Stage.PREPARE).detail
    prepared = PreparedData.from_json(detail) if "recipe" in detail else None
    tuned = ledger.find_model(run.fine_tuned_model)
    if prepared is not None:
        way = Way(
            prepared.get_request_format,
            prepared.separator,
            prepared.stop,
            get_label_map(prepared.plan),
        )
    elif tuned is not None:
        way = find_earlier_way(ledger, tuned)
    else:
        way = Way()
    return Subject(
        model=run.fine_tuned_model,
        settings=run.provider,
        way=way,
        base=run.model,
        job_id=run.job_id,
        training=find_training(home, run, prepared) if prepared else None,
        training_usd=prepared.cost_usd if prepared else None,
        run=run,
    )
