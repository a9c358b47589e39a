"""The model that a command sends requests to: named directly, or by its run or job."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ftops.cli.environment import open_ledger
from ftops.cli.factory import find_deployed, get_default_provider, open_providers
from ftops.cli.format import quote, render_path
from ftops.cli.options import ProviderOptions, SamplingOptions
from ftops.data.plans.inference import get_label_map, get_separator_and_stop, prepare_prompt
from ftops.errors import DatasetError, NotFound, RunError, UnknownRun
from ftops.ledger.ledger import Ledger
from ftops.providers.provider import Provider
from ftops.providers.registry import get_capabilities
from ftops.records import (
    Chat,
    DataPlan,
    Message,
    Prompt,
    ProviderSettings,
    RowFormat,
    Run,
    Sampling,
    TunedModel,
)
from ftops.runs.commands import list_run_arguments
from ftops.runs.lineage import find_checkpoint_owner
from ftops.stage_results import StageResults
from ftops.text import find_nearest


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model with its provider, and its record in the ledger, if it has one."""

    name: str
    provider: ProviderSettings
    tuned: TunedModel | None = None
    run: Run | None = None
    plan: DataPlan | None = None
    near: str | None = None  # a similar name, if the ledger does not know this one

    def check_exists(self) -> None:
        """NotFound when the ledger records that the model was deleted."""
        if self.tuned is not None and self.tuned.deleted_at is not None:
            again = "run JOB.yaml"
            if self.run:
                words = list_run_arguments(self.run, job_file=render_path(self.run.job_file))
                again = quote(*words)
            raise NotFound(
                f"the model {self.name} was deleted on"
                f" {self.tuned.deleted_at.astimezone():%Y-%m-%d at %H:%M}",
                hint=f"`ftops {again} --new` trains another;"
                " `ftops models list` shows the models that exist.",
            )


def resolve_model(
    ledger: Ledger, ref: str, chosen: ProviderSettings | None = None
) -> ResolvedModel:
    """The model that `ref` names, at the `chosen` provider, else at the provider that trained it.

    A checkpoint is used like the model of its run. A model that the ledger does not know is looked
    up at the default provider. Raises UnknownRun for an unknown run or job id, RunError for a run
    without a model.
    """
    tuned = ledger.find_model(ref)
    if tuned is not None:
        return _make(ledger, ref, tuned, chosen)
    run = _find_run(ledger, ref)
    if run is None:
        naming = get_capabilities(chosen or get_default_provider()).naming
        if ref.startswith("run-") or naming.is_job_id(ref):
            raise UnknownRun(f"there is no run or job {ref!r}")
        tuned = find_checkpoint_owner(ledger, ref)
        if tuned is not None:
            return _make(ledger, ref, tuned, chosen)
        return ResolvedModel(ref, chosen or get_default_provider(), near=_find_near(ledger, ref))
    if run.fine_tuned_model is None:
        raise RunError(
            f"{run.id} has no model: it is {run.status.value}",
            hint=f"`ftops show {run.id}` shows its stages.",
        )
    name = run.fine_tuned_model
    tuned = ledger.find_model(name)
    return ResolvedModel(name, chosen or run.provider, tuned, run, _find_plan(ledger, run))


@contextlib.contextmanager
def suggest_near_names(models: Sequence[ResolvedModel]) -> Iterator[None]:
    """When a provider does not find one of the models, suggest a similar name."""
    try:
        yield
    except NotFound as error:
        for model in models:
            if model.near is not None and model.name in error.message:
                error.hint = (
                    f"Did you mean {model.near!r}? `ftops models list` and `ftops runs` show what"
                    " exists."
                )
        raise


def _find_near(ledger: Ledger, ref: str) -> str | None:
    """The name most similar to `ref` among existing models and the runs that trained them."""
    names = {model.name for model in ledger.list_models() if model.deleted_at is None}
    names |= {run.name for run in ledger.list_runs() if run.fine_tuned_model in names}
    return find_nearest(ref, sorted(names))


def _make(
    ledger: Ledger, ref: str, tuned: TunedModel, chosen: ProviderSettings | None
) -> ResolvedModel:
    run = _find_run(ledger, tuned.run_id)
    return ResolvedModel(ref, chosen or tuned.provider, tuned, run, _find_plan(ledger, run))


def _find_run(ledger: Ledger, ref: str) -> Run | None:
    try:
        return ledger.get_run(ref)
    except UnknownRun:
        return None


def _find_plan(ledger: Ledger, run: Run | None) -> DataPlan | None:
    """The plan that prepared the training rows of the model."""
    prepared = StageResults.read(ledger.list_stages(run.id)).prepare if run else None
    return prepared.plan if prepared else None


@dataclass(frozen=True, slots=True)
class TargetModel:
    """A model at its provider; `raw` sends prompts unmodified."""

    model: ResolvedModel
    source: Provider
    raw: bool = False

    @property
    def name(self) -> str:
        return self.model.name

    def check_deployed(self) -> None:
        """RunError for a fine-tuned model that answers only when it is deployed, and is not."""
        tuned, capabilities = self.model.tuned, self.source.capabilities
        if not capabilities.serves:
            raise RunError(
                f"the provider {self.source.name!r} answers no requests to its models",
                hint="`ftops models download` writes the weights of the model to a folder.",
            )
        if tuned is None or capabilities.deployment is None:
            return
        if find_deployed(self.source.account, tuned.name) is None:
            raise RunError(
                f"{tuned.name} is not deployed, and answers only then",
                hint=f"{quote('ftops', 'deploy', tuned.run_id)} deploys it, which costs;"
                " `ftops deployments` lists what is deployed.",
            )

    @property
    def takes_chats(self) -> bool:
        """Whether it takes chat messages, not one prompt."""
        tuned = self.model.tuned
        shape = tuned.row_format if tuned else self.source.row_format(self.name)
        return shape is not RowFormat.COMPLETION

    def create_sampling(self, options: SamplingOptions) -> Sampling:
        """The sampling parameters; without --stop, the stop sequence of the training rows."""
        tuned = self.model.tuned
        own_stop = (tuned.stop,) if tuned and tuned.stop and not self.raw else ()
        stop = tuple(options.stop or ()) or own_stop
        return Sampling(options.max_tokens, options.temperature, options.top_p, stop, options.seed)

    def get_label_map(self) -> Mapping[str, str]:
        """The label of each response, if the model was trained on encoded labels."""
        return get_label_map(None if self.raw else self.model.plan)

    def find_system(self) -> str | None:
        """The system message of the training rows."""
        run = self.model.run
        prepare = run.spec.get("prepare") if run and not self.raw else None
        system = prepare.get("system") if isinstance(prepare, Mapping) else None
        return system if isinstance(system, str) else None

    def format_prompt(self, prompt: Prompt) -> Prompt:
        """The prompt in the format of the model's training rows.

        DatasetError for a chat that is sent to a completion model.
        """
        if not isinstance(prompt, str):
            return self._format_chat(prompt)
        if self.takes_chats:
            return self._format_chat(Chat((Message("user", self._prepare(prompt)),)))
        text = self._prepare(prompt)
        tuned = self.model.tuned
        if self.raw or tuned is None or text.endswith(tuned.separator):
            return text
        return text + tuned.separator

    def format_turn(self, text: str) -> Message:
        """A message of the user, in the format of the training rows."""
        return Message("user", self._prepare(text))

    def _prepare(self, text: str) -> str:
        plan = self.model.plan
        if plan is None or self.raw:
            return text
        text = prepare_prompt(plan, text)
        return text.removesuffix(get_separator_and_stop(plan)[0]) if self.takes_chats else text

    def _format_chat(self, chat: Chat) -> Prompt:
        if not self.takes_chats:
            raise DatasetError(
                f"the rows are chat messages, but {self.name} is a completion model",
                hint="Give rows with a prompt, or name a chat model.",
            )
        system = self.find_system()
        roles = {message.role for message in chat.messages}
        if system is None or roles & {"system", "developer"}:
            return chat
        return replace(chat, messages=(Message("system", system), *chat.messages))


@contextlib.contextmanager
def open_target_models(
    refs: Sequence[str], provider: ProviderOptions, *, raw: bool = False
) -> Iterator[list[TargetModel]]:
    """The models that the user names, with open providers; NotFound for one that was deleted."""
    chosen = provider.find_settings()
    with open_ledger() as ledger:
        models = [resolve_model(ledger, ref, chosen) for ref in refs]
    for model in models:
        model.check_exists()
    with open_providers(typed=chosen) as get_provider, suggest_near_names(models):
        targets = [TargetModel(model, get_provider(model.provider), raw) for model in models]
        for target in targets:
            target.check_deployed()
        yield targets
