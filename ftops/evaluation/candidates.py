"""Who answers the rows beside the tuned model: how each is asked, or why it is left out."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from ftops.errors import FtopsError, ProviderError
from ftops.evaluation.examples import (
    choose_examples,
    find_end,
    put_examples,
)
from ftops.evaluation.questions import Questions, read_examples
from ftops.evaluation.result import CandidateKind, SkippedCandidate
from ftops.evaluation.simple import SIMPLE
from ftops.evaluation.subject import Subject, find_earlier_way
from ftops.evaluation.ways import Way, instruct
from ftops.ledger.ledger import Ledger
from ftops.providers.provider import Provider
from ftops.records import Prompt, ProviderSettings, Run, RunStatus, Stage, TunedModel
from ftops.spec.evaluate import BaseCandidate, FewShotCandidate, OtherModel
from ftops.spec.section import Entry

OpenProvider = Callable[[ProviderSettings], Provider]
_UNTRAINED = (
    "{base} is a built-in size, which knows nothing before it is trained: no fair comparison"
    " (`allow_untrained: true` asks it all the same, where its provider answers for it)"
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that is asked: with which prompts, what ends its answers, how they are read."""

    name: str
    kind: CandidateKind
    model: str
    settings: ProviderSettings
    provider: Provider
    prompts: Sequence[Prompt] = field(repr=False)
    way: Way = field(repr=False)
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Field:
    """Where candidates come from: what is evaluated, on which rows, and what is at hand.

    `ledger` is None where it is only foretold who will be asked: then no model is known.
    """

    subject: Subject
    questions: Questions
    ledger: Ledger | None
    open_provider: OpenProvider
    seed: int


def make_subject_candidate(field: Field) -> Candidate:
    """The model that is evaluated; errors of its provider are the end."""
    subject = field.subject
    return _make(field, subject.name, subject.kind, subject.model, subject.settings, subject.way)


def find_candidates(
    field: Field, entries: Sequence[Entry]
) -> Iterator[Candidate | SkippedCandidate]:
    """Whoever `entries` name and is a model, in their order, each under a name of its own."""
    taken = {field.subject.name, *(kind.value for kind in SIMPLE)}
    for entry in entries:
        try:
            for found in _FINDERS[entry.word](field, entry) if entry.word in _FINDERS else ():
                name = _name_anew(found.name, taken)
                taken.add(name)
                yield replace(found, name=name)
        except ProviderError as error:  # it cannot even be opened: no key, no such provider
            yield SkippedCandidate(_name_entry(entry), f"{error.message}. {error.hint}".strip())
        except FtopsError as error:
            yield SkippedCandidate(_name_entry(entry), error.message)


def _find_base(field: Field, entry: Entry) -> Iterator[Candidate | SkippedCandidate]:
    wanted = entry.settings
    assert isinstance(wanted, BaseCandidate)
    base = _check_base(field, "base", untrained=wanted.allow_untrained)
    if isinstance(base, SkippedCandidate):
        yield base
        return
    subject = field.subject
    found = _make(field, "base", CandidateKind.BASE, base, subject.settings, subject.way)
    yield _instruct(found, wanted.instructions)


def _find_few_shot(field: Field, entry: Entry) -> Iterator[Candidate | SkippedCandidate]:
    wanted, subject = entry.settings, field.subject
    assert isinstance(wanted, FewShotCandidate)
    base = _check_base(field, "few-shot", untrained=wanted.allow_untrained)
    if isinstance(base, SkippedCandidate):
        yield base
        return
    if subject.training is None:
        yield SkippedCandidate(
            "few-shot", "the training rows, of which examples are taken, are not here"
        )
        return
    way = subject.way
    rows = read_examples(subject.training, way)
    chosen = choose_examples(rows, field.questions.prompts, wanted, field.seed)
    prompts = [
        put_examples(examples, prompt, way)
        for examples, prompt in zip(chosen, field.questions.prompts, strict=True)
    ]
    provider = field.open_provider(subject.settings)
    found = Candidate(
        name="few-shot",
        kind=CandidateKind.FEW_SHOT,
        model=base,
        settings=subject.settings,
        provider=provider,
        prompts=prompts,
        way=replace(way, stop=find_end(way)[0] if find_end(way) else None),
        stop=find_end(way),
    )
    yield _instruct(found, wanted.instructions)


def _check_base(field: Field, name: str, *, untrained: bool) -> str | SkippedCandidate:
    """The base model, if it may be asked."""
    subject = field.subject
    if subject.base is None:
        return SkippedCandidate(
            name, f"which model {subject.model} was tuned from is not known here"
        )
    tuned_before = _find_tuned(field, subject.base)
    if tuned_before is not None and tuned_before.deleted_at is not None:
        return SkippedCandidate(name, f"{subject.base} was deleted")
    blank = field.open_provider(subject.settings).capabilities.untrained_bases
    if blank and tuned_before is None and not subject.base.startswith("ft:") and not untrained:
        return SkippedCandidate(name, _UNTRAINED.format(base=subject.base))
    return subject.base


def _find_tuned(field: Field, name: str) -> TunedModel | None:
    """What the ledger knows of a model."""
    return None if field.ledger is None else field.ledger.find_model(name)


def _find_previous(field: Field, _entry: Entry) -> Iterator[Candidate | SkippedCandidate]:
    before, ledger = _find_previous_run(field), field.ledger
    if before is None or before.fine_tuned_model is None or ledger is None:
        yield SkippedCandidate("previous", "no earlier run of this name has made a model")
        return
    tuned = ledger.find_model(before.fine_tuned_model)
    if tuned is None:
        yield SkippedCandidate("previous", f"the ledger does not know {before.fine_tuned_model}")
        return
    if tuned.deleted_at is not None:
        gone = f"{tuned.name} of {before.id} was deleted on {tuned.deleted_at:%Y-%m-%d}"
        yield SkippedCandidate("previous", gone)
        return
    way = find_earlier_way(ledger, tuned)
    kind = CandidateKind.PREVIOUS
    yield _make(field, "previous", kind, tuned.name, tuned.provider, way)


def _find_previous_run(field: Field) -> Run | None:
    """The newest run of the same name that succeeded before this one began."""
    run, ledger = field.subject.run, field.ledger
    if run is None or ledger is None:
        return None
    earlier = [
        one
        for one in ledger.list_runs()
        if one.name == run.name
        and one.id != run.id
        and one.status is RunStatus.SUCCEEDED
        and one.fine_tuned_model not in (None, run.fine_tuned_model)
        and one.created_at <= run.created_at
    ]
    return max(earlier, key=lambda one: (one.created_at, one.id), default=None)


def _find_model(field: Field, entry: Entry) -> Iterator[Candidate | SkippedCandidate]:
    wanted = entry.settings
    assert isinstance(wanted, OtherModel)
    settings = wanted.settings or field.subject.settings
    tuned = _find_tuned(field, wanted.name)
    if tuned is not None and field.ledger is not None:
        if tuned.deleted_at is not None:
            yield SkippedCandidate(wanted.name, f"it was deleted on {tuned.deleted_at:%Y-%m-%d}")
            return
        settings = wanted.settings or tuned.provider
        way = find_earlier_way(field.ledger, tuned)
    else:
        given = field.subject.way
        shape = field.open_provider(settings).row_format(wanted.name)
        way = replace(given, format=shape)
    found = _make(field, wanted.name, CandidateKind.MODEL, wanted.name, settings, way)
    yield _instruct(found, wanted.instructions)


def _find_checkpoints(field: Field, _entry: Entry) -> Iterator[Candidate | SkippedCandidate]:
    subject = field.subject
    if subject.job_id is None:
        yield SkippedCandidate("checkpoints", f"which job made {subject.model} is not known here")
        return
    provider = field.open_provider(subject.settings)
    last = _find_last_step(field)
    found = [
        one
        for one in provider.list_checkpoints(subject.job_id)
        if one.model != subject.model and one.step != last
    ]
    if not found:
        yield SkippedCandidate("checkpoints", f"{subject.job_id} has kept none beside its model")
    for one in found:
        name, kind = f"step {one.step}", CandidateKind.CHECKPOINT
        yield _make(field, name, kind, one.model, subject.settings, subject.way)


def _find_last_step(field: Field) -> int | None:
    """The step after which training ended: what was kept there is the model itself."""
    run, ledger = field.subject.run, field.ledger
    if run is None or ledger is None:
        return None
    step = ledger.get_stage(run.id, Stage.RESULTS).detail.get("step")
    return step if isinstance(step, int) else None


def _make(
    field: Field, name: str, kind: CandidateKind, model: str, settings: ProviderSettings, way: Way
) -> Candidate:
    given = field.questions.way
    return Candidate(
        name=name,
        kind=kind,
        model=model,
        settings=settings,
        provider=field.open_provider(settings),
        prompts=[way.ask(prompt, given) for prompt in field.questions.prompts],
        way=way,
        stop=(way.stop,) if way.stop else (),
    )


_FINDERS: dict[str, Callable[[Field, Entry], Iterator[Candidate | SkippedCandidate]]] = {
    "base": _find_base,
    "few-shot": _find_few_shot,
    "previous": _find_previous,
    "checkpoints": _find_checkpoints,
    "model": _find_model,
}


def _instruct(candidate: Candidate, instructions: str | None) -> Candidate:
    """The candidate that is told so before each question."""
    prompts = [instruct(prompt, instructions) for prompt in candidate.prompts]
    return replace(candidate, prompts=prompts)


def _name_anew(name: str, taken: set[str]) -> str:
    number = 2
    anew = name
    while anew in taken:
        anew, number = f"{name} ({number})", number + 1
    return anew


def _name_entry(entry: Entry) -> str:
    if isinstance(entry.settings, OtherModel):
        return entry.settings.name
    return entry.word
