"""Which model the user means: by its own name, by the run or by the job that made it."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ftops.cli.factory import get_default_provider
from ftops.cli.format import quote, render_path
from ftops.errors import NotFound, RunError, UnknownRun
from ftops.ledger.ledger import Ledger
from ftops.records import DataPlan, ProviderSettings, Run, Stage, TunedModel
from ftops.runs.commands import list_run_arguments
from ftops.runs.lineage import find_checkpoint_owner
from ftops.stage_results import find_kept_plan
from ftops.text import find_nearest

_OURS = ("run-", "ftjob-")  # how ids of runs and jobs begin, and names of models never do


@dataclass(frozen=True, slots=True)
class NamedModel:
    """A model with its provider, and what the ledger knows of it (None: it never met it)."""

    name: str
    provider: ProviderSettings
    tuned: TunedModel | None = None
    run: Run | None = None
    plan: DataPlan | None = None
    near: str | None = None  # of a name that the ledger does not know: one like it that it knows

    def check_there(self) -> None:
        """NotFound when the ledger knows that the model was deleted."""
        if self.tuned is not None and self.tuned.deleted_at is not None:
            again = "run JOB.yaml"
            if self.run:
                words = list_run_arguments(self.run, job_file=render_path(self.run.job_file))
                again = quote(*words)
            raise NotFound(
                f"the model {self.name} was deleted on"
                f" {self.tuned.deleted_at.astimezone():%Y-%m-%d at %H:%M}",
                hint=f"`ftops {again} --new` makes another;"
                " `ftops models list` shows what there is.",
            )


def find_named_model(ledger: Ledger, ref: str, asked: ProviderSettings | None = None) -> NamedModel:
    """The model that `ref` names, at the provider `asked` for, else at the one that made it.

    A checkpoint is asked as the model of its run is. A model that the ledger does not know is taken
    to be at the default provider. Raises UnknownRun for an unknown run or job id, RunError for a
    run without a model.
    """
    tuned = ledger.find_model(ref)
    if tuned is not None:
        return _make(ledger, ref, tuned, asked)
    run = _find_run(ledger, ref)
    if run is None:
        if ref.startswith(_OURS):
            raise UnknownRun(f"no run or job is called {ref!r}")
        tuned = find_checkpoint_owner(ledger, ref)
        if tuned is not None:
            return _make(ledger, ref, tuned, asked)
        return NamedModel(ref, asked or get_default_provider(), near=_find_near(ledger, ref))
    if run.fine_tuned_model is None:
        raise RunError(
            f"{run.id} has made no model: it is {run.status.value}",
            hint=f"`ftops show {run.id}` says how it stands.",
        )
    name = run.fine_tuned_model
    tuned = ledger.find_model(name)
    return NamedModel(name, asked or run.provider, tuned, run, _find_plan(ledger, run))


@contextlib.contextmanager
def near_names_shown(named: Sequence[NamedModel]) -> Iterator[None]:
    """Where a provider does not find one of the models, say which name was probably meant."""
    try:
        yield
    except NotFound as error:
        for one in named:
            if one.near is not None and one.name in error.message:
                error.hint = (
                    f"Did you mean {one.near!r}? `ftops models list` and `ftops runs` show what"
                    " there is."
                )
        raise


def _find_near(ledger: Ledger, ref: str) -> str | None:
    """The name most like `ref` among models that are there and runs that made one."""
    names = {model.name for model in ledger.list_models() if model.deleted_at is None}
    names |= {run.name for run in ledger.list_runs() if run.fine_tuned_model in names}
    return find_nearest(ref, sorted(names))


def _make(
    ledger: Ledger, ref: str, tuned: TunedModel, asked: ProviderSettings | None
) -> NamedModel:
    run = _find_run(ledger, tuned.run_id)
    return NamedModel(ref, asked or tuned.provider, tuned, run, _find_plan(ledger, run))


def _find_run(ledger: Ledger, ref: str) -> Run | None:
    try:
        return ledger.get_run(ref)
    except UnknownRun:
        return None


def _find_plan(ledger: Ledger, run: Run | None) -> DataPlan | None:
    """The plan by which the rows were prepared that the model has learned of."""
    return find_kept_plan(ledger.get_stage(run.id, Stage.PREPARE).detail) if run else None
