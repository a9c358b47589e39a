"""The model that a command sends requests to: named directly, or by its run or job."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ftops.cli.environment import open_ledger
from ftops.cli.factory import find_provider_settings, get_default_provider, open_providers
from ftops.cli.format import quote, render_path
from ftops.data.plans.inference import get_label_map, get_separator_and_stop, prepare_prompt
from ftops.errors import DatasetError, NotFound, RunError, UnknownRun
from ftops.ledger.ledger import Ledger
from ftops.providers.provider import Provider
from ftops.records import (
    DataPlan,
    Message,
    Prompt,
    ProviderSettings,
    RowFormat,
    Run,
    Stage,
    TunedModel,
)
from ftops.runs.commands import list_run_arguments
from ftops.runs.lineage import find_checkpoint_owner
from ftops.stage_results import find_kept_plan
from ftops.text import find_nearest

_OURS = ("run-", "ftjob-")  # how ids of runs and jobs begin, and names of models never do


@dataclass(frozen=True, slots=True)
class ResolvedModel:
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


def resolve_model(ledger: Ledger, ref: str, asked: ProviderSettings | None = None) -> ResolvedModel:
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
        return ResolvedModel(ref, asked or get_default_provider(), near=_find_near(ledger, ref))
    if run.fine_tuned_model is None:
        raise RunError(
            f"{run.id} has made no model: it is {run.status.value}",
            hint=f"`ftops show {run.id}` says how it stands.",
        )
    name = run.fine_tuned_model
    tuned = ledger.find_model(name)
    return ResolvedModel(name, asked or run.provider, tuned, run, _find_plan(ledger, run))


@contextlib.contextmanager
def suggest_near_names(named: Sequence[ResolvedModel]) -> Iterator[None]:
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
) -> ResolvedModel:
    run = _find_run(ledger, tuned.run_id)
    return ResolvedModel(ref, asked or tuned.provider, tuned, run, _find_plan(ledger, run))


def _find_run(ledger: Ledger, ref: str) -> Run | None:
    try:
        return ledger.get_run(ref)
    except UnknownRun:
        return None


def _find_plan(ledger: Ledger, run: Run | None) -> DataPlan | None:
    """The plan by which the rows were prepared that the model has learned of."""
    return find_kept_plan(ledger.get_stage(run.id, Stage.PREPARE).detail) if run else None


@dataclass(frozen=True, slots=True)
class TargetModel:
    """A model at its provider; `raw` leaves questions and answers alone."""

    named: ResolvedModel
    source: Provider
    raw: bool = False

    @property
    def name(self) -> str:
        return self.named.name

    @property
    def takes_chats(self) -> bool:
        """Whether it is asked by messages, so that it can be told what was said before."""
        tuned = self.named.tuned
        shape = tuned.row_format if tuned else self.source.row_format(self.name)
        return shape is not RowFormat.COMPLETION

    def choose_stop(self, given: list[str] | None) -> tuple[str, ...]:
        """What ends an answer: what the user says, else what ended the rows' completions."""
        tuned = self.named.tuned
        own = (tuned.stop,) if tuned and tuned.stop and not self.raw else ()
        return tuple(given or ()) or own

    def get_label_map(self) -> Mapping[str, str]:
        """What answers stand for, where numbers stand for labels."""
        return get_label_map(None if self.raw else self.named.plan)

    def find_system(self) -> str | None:
        """The system message of the rows."""
        run = self.named.run
        prepare = run.spec.get("prepare") if run and not self.raw else None
        system = prepare.get("system") if isinstance(prepare, Mapping) else None
        return system if isinstance(system, str) else None

    def make_prompt(self, asked: Prompt) -> Prompt:
        """The question in the shape of the model's training rows.

        DatasetError for a chat that a model of completions cannot be asked.
        """
        if not isinstance(asked, str):
            return self._make_chat(asked)
        if self.takes_chats:
            return self._make_chat((Message("user", self._prepare(asked)),))
        text = self._prepare(asked)
        tuned = self.named.tuned
        if self.raw or tuned is None or text.endswith(tuned.separator):
            return text
        return text + tuned.separator

    def make_turn(self, text: str) -> Message:
        """What a user says in a chat, as the rows said it."""
        return Message("user", self._prepare(text))

    def _prepare(self, text: str) -> str:
        plan = self.named.plan
        if plan is None or self.raw:
            return text
        text = prepare_prompt(plan, text)
        return text.removesuffix(get_separator_and_stop(plan)[0]) if self.takes_chats else text

    def _make_chat(self, messages: tuple[Message, ...]) -> Prompt:
        if not self.takes_chats:
            raise DatasetError(
                f"the rows are chats, and {self.name} goes on from a text",
                hint="Give rows with a prompt, or name a chat model.",
            )
        system = self.find_system()
        if system is None or any(one.role in ("system", "developer") for one in messages):
            return messages
        return (Message("system", system), *messages)


@contextlib.contextmanager
def open_target_models(
    refs: Sequence[str],
    provider: str | None,
    base_url: str | None,
    api_key_env: str | None,
    *,
    raw: bool = False,
) -> Iterator[list[TargetModel]]:
    """The models that the user names, ready to be asked; NotFound for one that was deleted."""
    asked = find_provider_settings(provider, base_url, api_key_env)
    with open_ledger() as ledger:
        named = [resolve_model(ledger, ref, asked) for ref in refs]
    for one in named:
        one.check_there()
    with open_providers(typed=asked) as open_one:
        sources = {settings: open_one(settings) for settings in {one.provider for one in named}}
        with suggest_near_names(named):
            yield [TargetModel(one, sources[one.provider], raw) for one in named]
