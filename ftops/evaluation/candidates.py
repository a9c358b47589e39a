"""The candidates of an evaluation and their few-shot prompts."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ftops.data.baselines import NearestNeighbour
from ftops.data.plans.inference import get_label_map, get_separator_and_stop
from ftops.data.rows import read_rows
from ftops.errors import FtopsError, ProviderError, RunError
from ftops.evaluation.prompt_format import PromptFormat, add_instructions, to_chat, to_text
from ftops.evaluation.result import FREE_KINDS, CandidateKind, SkippedCandidate
from ftops.evaluation.rows import EvaluationRows
from ftops.ledger.ledger import Ledger
from ftops.providers.provider import Provider
from ftops.records import Message, Prompt, ProviderSettings, RowFormat, Run, RunStatus, TunedModel
from ftops.run_folder import RunFolder
from ftops.spec.evaluate import BaseCandidate, FewShotCandidate, OtherModel
from ftops.spec.section import ListEntry
from ftops.stage_results import PreparedData, StageResults

OpenProvider = Callable[[ProviderSettings], Provider]
_UNTRAINED = (
    "{base} is a built-in size, which has random weights before training; the comparison would not"
    " be fair (`allow_untrained: true` evaluates it anyway)"
)
# Separates examples if there is no stop sequence; a response ends there too.
GAP = "\n\n###\n\n"
_HEAD_ROLES = ("system", "developer")


@dataclass(frozen=True, slots=True)
class EvaluatedModel:
    """The evaluated model, its prompt format, and its origin if known.

    `base` is the model that the job `job_id` fine-tuned, `training` its prepared training rows,
    `training_usd` the cost of training, `run` the run that created the model.
    """

    model: str
    settings: ProviderSettings
    prompt_format: PromptFormat
    kind: CandidateKind = CandidateKind.TUNED
    base: str | None = None
    job_id: str | None = None
    training: Path | None = None
    training_usd: float | None = None
    run: Run | None = None
    name: str = "tuned"


def load_prompt_format(ledger: Ledger, tuned: TunedModel) -> PromptFormat:
    """The prompt format of a model in the ledger, from the plan of its run."""
    prepared = StageResults.read(ledger.list_stages(tuned.run_id)).prepare
    plan = prepared.plan if prepared else None
    separator, stop = tuned.separator, tuned.stop
    if plan is not None:
        plan_separator, plan_stop = get_separator_and_stop(plan)
        separator, stop = separator or plan_separator, stop or plan_stop
    return PromptFormat(tuned.row_format, separator, stop, get_label_map(plan))


def find_evaluated_model(run: Run, ledger: Ledger, home: Path) -> EvaluatedModel | None:
    """The model of a run, with its origin from the ledger; None if the run has no model."""
    if run.fine_tuned_model is None:
        return None
    prepared = StageResults.read(ledger.list_stages(run.id)).prepare
    tuned = ledger.find_model(run.fine_tuned_model)
    if prepared is not None:
        prompt_format = PromptFormat(
            prepared.request_format,
            prepared.separator,
            prepared.stop,
            get_label_map(prepared.plan),
        )
    elif tuned is not None:
        prompt_format = load_prompt_format(ledger, tuned)
    else:
        prompt_format = PromptFormat()
    return EvaluatedModel(
        model=run.fine_tuned_model,
        settings=run.provider,
        prompt_format=prompt_format,
        base=run.model,
        job_id=run.job_id,
        training=_find_training_file(home, run, prepared) if prepared else None,
        training_usd=prepared.cost_usd if prepared else None,
        run=run,
    )


def _find_training_file(home: Path, run: Run, prepared: PreparedData) -> Path | None:
    """The prepared training rows of a run; None if they are at the provider or deleted."""
    path = RunFolder.of(home, run.id).path / prepared.training.filename
    return path if prepared.training.file_id is None and path.is_file() else None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model with its prompts, its stop sequences, and the format of its responses."""

    name: str
    kind: CandidateKind
    model: str
    settings: ProviderSettings
    provider: Provider
    prompts: Sequence[Prompt] = field(repr=False)
    prompt_format: PromptFormat = field(repr=False)
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EvaluationContext:
    """The data to create candidates from: the evaluated model, rows, ledger and providers.

    `ledger` is None for an estimate before the run, when no model is known. `keep_rows` are those
    of `evaluate.keep`.
    """

    evaluated: EvaluatedModel
    rows: EvaluationRows
    ledger: Ledger | None
    open_provider: OpenProvider
    seed: int
    keep_rows: EvaluationRows | None = None

    def find_tuned(self, name: str) -> TunedModel | None:
        """The model with this name in the ledger."""
        return None if self.ledger is None else self.ledger.find_model(name)


def create_evaluated_candidate(context: EvaluationContext) -> Candidate:
    """The candidate for the evaluated model; RunError if it is not deployed, but must be."""
    model = context.evaluated
    tuned = context.find_tuned(model.model)
    if tuned is not None and (reason := _reason_not_to_answer(context, tuned)):
        raise RunError(reason)
    return _create(context, model.name, model.kind, model.model, model.settings)


def list_candidates(
    context: EvaluationContext, entries: Sequence[ListEntry]
) -> Iterator[Candidate | SkippedCandidate]:
    """The candidates for `entries`, in order, with unique names."""
    taken = {context.evaluated.name, *(kind.value for kind in FREE_KINDS)}
    for entry in entries:
        if entry.word not in _LISTERS:
            continue
        try:
            for candidate in _LISTERS[entry.word](context, entry):
                name = _make_unique(candidate.name, taken)
                taken.add(name)
                yield replace(candidate, name=name)
        except ProviderError as error:  # no key, or an unknown provider
            yield SkippedCandidate(_name_entry(entry), f"{error.message}. {error.hint}".strip())
        except FtopsError as error:
            yield SkippedCandidate(_name_entry(entry), error.message)


def _list_base(
    context: EvaluationContext, entry: ListEntry
) -> Iterator[Candidate | SkippedCandidate]:
    spec = entry.settings
    assert isinstance(spec, BaseCandidate)
    base = _check_base(context, "base", allow_untrained=spec.allow_untrained)
    if isinstance(base, SkippedCandidate):
        yield base
        return
    settings = context.evaluated.settings
    candidate = _create(context, "base", CandidateKind.BASE, base, settings)
    yield _instruct(candidate, spec.instructions)


def _list_few_shot(
    context: EvaluationContext, entry: ListEntry
) -> Iterator[Candidate | SkippedCandidate]:
    spec, evaluated = entry.settings, context.evaluated
    assert isinstance(spec, FewShotCandidate)
    base = _check_base(context, "few-shot", allow_untrained=spec.allow_untrained)
    if isinstance(base, SkippedCandidate):
        yield base
        return
    if evaluated.training is None:
        yield SkippedCandidate(
            "few-shot", "the training rows, which provide the examples, are not on this machine"
        )
        return
    prompt_format = evaluated.prompt_format
    examples = read_examples(evaluated.training, prompt_format)
    selections = select_examples(examples, context.rows.prompts, spec, context.seed)
    prompts = [
        build_prompt(selected, prompt, prompt_format)
        for selected, prompt in zip(selections, context.rows.prompts, strict=True)
    ]
    stops = list_stops(prompt_format)
    candidate = Candidate(
        name="few-shot",
        kind=CandidateKind.FEW_SHOT,
        model=base,
        settings=evaluated.settings,
        provider=context.open_provider(evaluated.settings),
        prompts=prompts,
        prompt_format=replace(prompt_format, stop=stops[0] if stops else None),
        stop=stops,
    )
    yield _instruct(candidate, spec.instructions)


def _check_base(
    context: EvaluationContext, name: str, *, allow_untrained: bool
) -> str | SkippedCandidate:
    """The base model, if it can be evaluated."""
    evaluated = context.evaluated
    base = evaluated.base
    if base is None:
        return SkippedCandidate(name, f"the base model of {evaluated.model} is not known here")
    tuned = context.find_tuned(base)
    if tuned is not None and tuned.deleted_at is not None:
        return SkippedCandidate(name, f"{base} was deleted")
    untrained = context.open_provider(evaluated.settings).capabilities.untrained_bases
    if base in untrained and not allow_untrained:
        return SkippedCandidate(name, _UNTRAINED.format(base=base))
    return base


def _list_previous(
    context: EvaluationContext, _entry: ListEntry
) -> Iterator[Candidate | SkippedCandidate]:
    previous, ledger = _find_previous_run(context), context.ledger
    if previous is None or previous.fine_tuned_model is None or ledger is None:
        yield SkippedCandidate("previous", "no earlier run of this name has made a model")
        return
    tuned = ledger.find_model(previous.fine_tuned_model)
    if tuned is None:
        reason = f"{previous.fine_tuned_model} is not in the ledger"
        yield SkippedCandidate("previous", reason)
        return
    if tuned.deleted_at is not None:
        reason = f"{tuned.name} of {previous.id} was deleted on {tuned.deleted_at:%Y-%m-%d}"
        yield SkippedCandidate("previous", reason)
        return
    if undeployed := _reason_not_to_answer(context, tuned):
        yield SkippedCandidate("previous", undeployed)
        return
    prompt_format = load_prompt_format(ledger, tuned)
    kind = CandidateKind.PREVIOUS
    yield _create(context, "previous", kind, tuned.name, tuned.provider, prompt_format)


def _find_previous_run(context: EvaluationContext) -> Run | None:
    """The newest run with the same name that succeeded before this one was created."""
    run, ledger = context.evaluated.run, context.ledger
    if run is None or ledger is None:
        return None
    earlier = [
        other
        for other in ledger.list_runs()
        if other.name == run.name
        and other.id != run.id
        and other.status is RunStatus.SUCCEEDED
        and other.fine_tuned_model not in (None, run.fine_tuned_model)
        and other.created_at <= run.created_at
    ]
    return max(earlier, key=lambda other: (other.created_at, other.id), default=None)


def _reason_not_to_answer(context: EvaluationContext, tuned: TunedModel) -> str | None:
    """Why a model that exists cannot answer now."""
    provider, ledger = context.open_provider(tuned.provider), context.ledger
    if provider.capabilities.deployment is None or ledger is None:
        return None
    if ledger.find_deployment(provider.account, tuned.name):
        return None
    return f"{tuned.name} is not deployed; `ftops deploy {tuned.run_id}` deploys it"


def _list_model(
    context: EvaluationContext, entry: ListEntry
) -> Iterator[Candidate | SkippedCandidate]:
    spec = entry.settings
    assert isinstance(spec, OtherModel)
    settings = spec.settings or context.evaluated.settings
    tuned = context.find_tuned(spec.name)
    if tuned is not None and context.ledger is not None:
        if tuned.deleted_at is not None:
            yield SkippedCandidate(spec.name, f"it was deleted on {tuned.deleted_at:%Y-%m-%d}")
            return
        if undeployed := _reason_not_to_answer(context, tuned):
            yield SkippedCandidate(spec.name, undeployed)
            return
        settings = spec.settings or tuned.provider
        prompt_format = load_prompt_format(context.ledger, tuned)
    else:
        row_format = context.open_provider(settings).row_format(spec.name)
        prompt_format = replace(context.evaluated.prompt_format, row_format=row_format)
    kind = CandidateKind.MODEL
    candidate = _create(context, spec.name, kind, spec.name, settings, prompt_format)
    yield _instruct(candidate, spec.instructions)


def _list_checkpoints(
    context: EvaluationContext, _entry: ListEntry
) -> Iterator[Candidate | SkippedCandidate]:
    evaluated = context.evaluated
    if evaluated.job_id is None:
        reason = f"the job that made {evaluated.model} is not known here"
        yield SkippedCandidate("checkpoints", reason)
        return
    provider = context.open_provider(evaluated.settings)
    if provider.capabilities.deployment is not None:
        yield SkippedCandidate("checkpoints", "each needs a deployment of its own to answer")
        return
    last_step = _find_last_step(context)
    checkpoints = [
        checkpoint
        for checkpoint in provider.list_checkpoints(evaluated.job_id)
        if checkpoint.model != evaluated.model and checkpoint.step != last_step
    ]
    if not checkpoints:
        reason = f"{evaluated.job_id} has no checkpoints beside its model"
        yield SkippedCandidate("checkpoints", reason)
    for checkpoint in checkpoints:
        name, kind = f"step {checkpoint.step}", CandidateKind.CHECKPOINT
        yield _create(context, name, kind, checkpoint.model, evaluated.settings)


def _find_last_step(context: EvaluationContext) -> int | None:
    """The last step of training: its checkpoint is the model itself."""
    run, ledger = context.evaluated.run, context.ledger
    if run is None or ledger is None:
        return None
    results = StageResults.read(ledger.list_stages(run.id)).results
    return results.step if results else None


def _create(
    context: EvaluationContext,
    name: str,
    kind: CandidateKind,
    model: str,
    settings: ProviderSettings,
    prompt_format: PromptFormat | None = None,
) -> Candidate:
    """A candidate; `prompt_format` defaults to that of the evaluated model."""
    prompt_format = prompt_format or context.evaluated.prompt_format
    source = context.rows.prompt_format
    return Candidate(
        name=name,
        kind=kind,
        model=model,
        settings=settings,
        provider=context.open_provider(settings),
        prompts=[prompt_format.convert(prompt, source) for prompt in context.rows.prompts],
        prompt_format=prompt_format,
        stop=(prompt_format.stop,) if prompt_format.stop else (),
    )


_LISTERS: dict[
    str, Callable[[EvaluationContext, ListEntry], Iterator[Candidate | SkippedCandidate]]
]
_LISTERS = {
    "base": _list_base,
    "few-shot": _list_few_shot,
    "previous": _list_previous,
    "checkpoints": _list_checkpoints,
    "model": _list_model,
}


def _instruct(candidate: Candidate, instructions: str | None) -> Candidate:
    prompts = [add_instructions(prompt, instructions) for prompt in candidate.prompts]
    return replace(candidate, prompts=prompts)


def _make_unique(name: str, taken: set[str]) -> str:
    number = 2
    unique = name
    while unique in taken:
        unique, number = f"{name} ({number})", number + 1
    return unique


def _name_entry(entry: ListEntry) -> str:
    if isinstance(entry.settings, OtherModel):
        return entry.settings.name
    return entry.word


@dataclass(frozen=True, slots=True)
class FewShotExample:
    """A training row: its prepared prompt, its answer as a label, and an answer with tool calls."""

    prompt: Prompt
    answer: str
    message: Message | None = None


def read_examples(path: Path, prompt_format: PromptFormat) -> list[FewShotExample]:
    """The training rows, with answers as labels."""
    examples = []
    for row in read_rows(path):
        answer = prompt_format.parse(row.completion)
        message = row.answer if row.tool_calls else None
        examples.append(FewShotExample(row.prompt, answer, message))
    return examples


def select_examples(
    rows: Sequence[FewShotExample], prompts: Sequence[Prompt], spec: FewShotCandidate, seed: int
) -> Iterator[Sequence[FewShotExample]]:
    """The examples for each prompt; deterministic for a given seed.

    The nearest rows are in ascending order of similarity, with the most similar next to the prompt.
    """
    generator = random.Random(seed if spec.seed is None else spec.seed)
    if spec.selection == "nearest":
        nearest = NearestNeighbour(
            [to_text(row.prompt) for row in rows], [row.answer for row in rows]
        )
        for numbers in nearest.rank([to_text(prompt) for prompt in prompts], spec.examples):
            yield [rows[number] for number in reversed(numbers)]
        return
    if spec.selection == "random":
        selected = generator.sample(list(rows), min(spec.examples, len(rows)))
    else:
        selected = _select_balanced(rows, spec.examples, generator)
    for _ in prompts:
        yield selected


def _select_balanced(
    rows: Sequence[FewShotExample], count: int, generator: random.Random
) -> list[FewShotExample]:
    """A stratified random sample: rows of each class in turn, in random order."""
    classes: dict[str, list[FewShotExample]] = {}
    for row in rows:
        classes.setdefault(row.answer, []).append(row)
    order = sorted(classes)
    generator.shuffle(order)
    order = order[:count]  # a random sample if there are more classes than examples
    for name in order:
        classes[name] = generator.sample(classes[name], min(count, len(classes[name])))
    selected: list[FewShotExample] = []
    while len(selected) < min(count, len(rows)) and any(classes[name] for name in order):
        for name in order:
            if classes[name] and len(selected) < count:
                selected.append(classes[name].pop())
    generator.shuffle(selected)
    return selected


def build_prompt(
    examples: Sequence[FewShotExample], prompt: Prompt, prompt_format: PromptFormat
) -> Prompt:
    """The prompt with the examples before it: as turns of a chat, or as text."""
    if prompt_format.row_format is RowFormat.CHAT:
        chat = to_chat(prompt, prompt_format.separator)
        head = tuple(message for message in chat.messages if message.role in _HEAD_ROLES)
        turns: list[Message] = []
        for example in examples:
            messages = to_chat(example.prompt, prompt_format.separator).messages
            turns += [message for message in messages if message.role not in _HEAD_ROLES]
            answer = example.message or Message("assistant", example.answer)
            turns += [answer, *_list_tool_answers(answer)]
        return replace(chat, messages=(*head, *turns, *chat.messages[len(head) :]))
    gap = prompt_format.stop or GAP
    texts = [f"{to_text(example.prompt)} {example.answer}{gap}" for example in examples]
    return "".join([*texts, to_text(prompt)])


def _list_tool_answers(message: Message) -> list[Message]:
    """An empty answer to each tool call of an example: the API requires one after a call."""
    calls = message.extra.get("tool_calls", ())
    answers = [Message("tool", "", {"tool_call_id": call["id"]}) for call in calls]
    if called := message.extra.get("function_call"):
        answers.append(Message("function", "", {"name": called["name"]}))
    return answers


def list_stops(prompt_format: PromptFormat) -> tuple[str, ...]:
    """The stop sequences of a response to a few-shot prompt."""
    if prompt_format.row_format is RowFormat.CHAT:
        return (prompt_format.stop,) if prompt_format.stop else ()
    return (prompt_format.stop or GAP,)
