"""From data to a plan that makes it ready: look, propose, ask, look again, propose the rest."""

import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, cast

from ftops.data.checks.check import Aim
from ftops.data.checks.size import AMOUNTS, NO_ROWS, judge_amount
from ftops.data.examining.examination import Verdict, examine
from ftops.data.findings import Finding
from ftops.data.fixes.records import DropBadRows
from ftops.data.plans.execution import Outcome, apply_plan, treat_early
from ftops.data.plans.proposals import (
    Proposal,
    choose_codes,
    drop_covered,
    is_covered,
    is_doubtful,
    make_plan,
    propose_early,
    propose_late,
    propose_wanted,
)
from ftops.data.plans.treatment import Deed, Treatment
from ftops.data.reading.batches import Batch, Batches
from ftops.data.reading.options import Format, ReadOptions, from_read, to_read
from ftops.data.reading.recognition import match
from ftops.data.reading.source import Source, open_source
from ftops.data.samples.marking import Marked
from ftops.errors import DatasetError
from ftops.files import open_atomic
from ftops.records import DataPlan
from ftops.rows.messages import JsonObject

Ask = Callable[[Proposal, Deed], bool]
_KEPT_BYTES = 8 << 20  # of a workbook, which is packed
_LINES = (Format.JSONL, Format.JSON)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user wants of a preparation; `only` and `skip` hold codes of fixes or checks.

    `private` asks for the scan for private data and secrets, `redact` for placeholders of every
    kind. `marked` says which rows are to be left out.
    """

    aim: Aim = field(default_factory=Aim)
    task: str | None = None
    only: Collection[str] = ()
    skip: Collection[str] = ()
    most_characters: int | None = None
    environ: Mapping[str, str] | None = None
    private: bool = False
    redact: bool = False
    marked: Marked | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """The plan that came out, the proposals in it, those that were refused, and what was found.

    `first` is what was found before any fix, `verdict` what was found once the early ones are done.
    """

    plan: DataPlan
    taken: tuple[Proposal, ...]
    refused: tuple[Proposal, ...]
    first: Verdict
    verdict: Verdict
    aim: Aim

    def find_left(self, rows: int) -> list[Finding]:
        """What no fix of the plan answers; of the amount, what the plan leaves: so many rows."""
        answered = {code for one in self.taken for code in one.answers} | AMOUNTS
        steps = {step.code for step in self.plan.steps}
        others = (
            found
            for found in self.verdict.findings
            if found.code not in answered and not is_covered(found.fix or "", steps)
        )
        return [*judge_amount(rows, self.aim), *others]


def find_plan(
    reopen: Callable[[], Source], options: ReadOptions, wishes: Wishes, ask: Ask | None = None
) -> Found:
    """The plan for the source that `reopen` opens each time anew.

    `ask` is told of each proposal, with what it would do, and decides; without it all are taken
    but for those that are doubtful, unless `wishes.only` names what is to be done. DatasetError,
    with what was found, when no row can be used and no fix makes one usable.
    """
    source = reopen()
    options = pin_layout(options, source)
    first = verdict = _judge(source, wishes)
    if not first.rows and {one.step.code for one in propose_early(first)} <= {DropBadRows.CODE}:
        raise _useless(source, first)
    taken: list[Proposal] = []
    refused: list[Proposal] = []
    while True:  # what is mended may show what else is wrong with it
        known = {one.key for one in (*taken, *refused)}
        early = {one.key: one for one in (*propose_early(verdict), *_propose_wanted(wishes))}
        proposed = choose_codes([*early.values()], wishes.only, wishes.skip)
        proposed = [one for one in proposed if one.key not in known]
        if not proposed:
            break
        more, declined = _decide(proposed, taken, reopen, ask)
        taken, refused = taken + more, refused + declined
        if more:
            verdict = _judge(treat_early(reopen(), make_plan(taken, {})), wishes)
    if not first.rows and not verdict.rows:
        raise _useless(source, first)
    late = propose_late(
        verdict, {one.step.code for one in taken}, most_characters=wishes.most_characters
    )
    late = choose_codes(late, wishes.only, wishes.skip)
    doubtful = [one for one in late if ask is None and not wishes.only and is_doubtful(one)]
    certain = [one for one in late if one not in doubtful]
    more, declined = _decide(certain, taken, reopen, ask)
    taken, refused = taken + more, refused + declined + doubtful
    plan = make_plan(taken, to_read(options))
    return Found(plan, tuple(taken), tuple(refused), first, verdict, wishes.aim)


def can_prepare(path: Path, options: ReadOptions) -> bool:
    """Whether a plan makes any row of data usable of which none is."""
    try:
        find_plan(make_reopen(path, options), options, Wishes())
    except DatasetError:
        return False
    return True


def _useless(source: Source, verdict: Verdict) -> DatasetError:
    """What a check says of data of which no row can be used."""
    wrong = [found for found in verdict.findings if found.code != NO_ROWS.code]
    lines = [f"{source.name}: no row can be used", *(f"{one.code}: {one.message}" for one in wrong)]
    return DatasetError("\n".join(lines), hint=wrong[0].advice if wrong else "Add rows to it.")


def pin_layout(options: ReadOptions, source: Source) -> ReadOptions:
    """The options with the layout that was recognised, so that other data is read by the same."""
    return options if source.layout is None else replace(options, layout=source.layout)


def _propose_wanted(wishes: Wishes) -> list[Proposal]:
    marked = wishes.marked or Marked("")
    return propose_wanted(wishes.redact, marked.dropped, f"{marked.file} says so")


def _judge(source: Source, wishes: Wishes) -> Verdict:
    asked = ["private"] if wishes.private else []
    examination = examine(source, asked=asked, environ=wishes.environ)
    return examination.conclude(wishes.aim, task=wishes.task, unit=source.unit)


def _decide(
    proposed: Sequence[Proposal],
    before: Sequence[Proposal],
    reopen: Callable[[], Source],
    ask: Ask | None,
) -> tuple[list[Proposal], list[Proposal]]:
    """Which proposals are taken, and which are refused, when those `before` are taken already."""
    taken: list[Proposal] = []
    refused: list[Proposal] = []
    deeds = _rehearse(reopen(), [*before, *proposed]) if ask and proposed else ()
    for number, one in enumerate(proposed):
        codes = {other.step.code for other in taken}
        if not drop_covered([one], codes) or (_comes(proposed, one) and not ask):
            continue
        deed = find_deed(deeds, one)
        if ask is None or deed is None or not deed.count or ask(one, deed):
            taken.append(one)
        else:
            refused.append(one)  # and what follows does something else without it
            deeds = _rehearse(reopen(), [*before, *taken, *proposed[number + 1 :]])
    return taken, refused


def _comes(proposed: Sequence[Proposal], one: Proposal) -> bool:
    """Whether a proposal that follows makes this one useless."""
    return not drop_covered([one], {other.step.code for other in proposed})


def find_deed(deeds: Sequence[Deed], proposal: Proposal) -> Deed | None:
    """What a proposal's step did; of rows that are left out, what was done for its check."""
    for deed in deeds:
        if deed.code == proposal.step.code and (not deed.check or deed.check in proposal.answers):
            return deed
    return None


def _rehearse(source: Source, proposals: Sequence[Proposal]) -> Sequence[Deed]:
    """What the proposals would do; nothing is left of it."""
    plan = make_plan(proposals, {})
    treatment = Treatment(plan, source.name, source.unit)
    if treatment.choices:
        return rehearse(source, plan).deeds
    for batch in source.batches():
        treatment.treat(batch)
    return list(treatment.deeds.values())


def rehearse(source: Source, plan: DataPlan) -> Outcome:
    """What the plan would do; nothing is left of it."""
    with tempfile.TemporaryFile(prefix="ftops-") as stream:
        return apply_plan(source, plan, cast(BinaryIO, stream))


def write_prepared(source: Source, plan: DataPlan, path: Path, mode: int = 0o644) -> Outcome:
    """Put the rows, made ready, at `path`: whole, or (DatasetError, StorageError) not at all."""
    with open_atomic(path, mode=mode) as stream:
        return apply_plan(source, plan, stream)


def make_reopen(path: Path, options: ReadOptions) -> Callable[[], Source]:
    """Opens the source anew each time; a workbook, slow to read, is read once while it is small."""
    first = open_source(path, options)
    if first.format is not Format.XLSX or path.stat().st_size > _KEPT_BYTES:
        return lambda: open_source(path, options)
    kept = list(first.batches())

    def read() -> Batches:
        for batch in kept:  # whoever sifts a batch adds to its faults
            yield Batch(batch.values, batch.places, batch.lines, list(batch.faults))

    return lambda: replace(first, batches=read)


def open_planned(path: Path, options: ReadOptions, plan: DataPlan) -> Source:
    """The source as the plan reads it; what `options` say counts more.

    Rows that need no columns or layout are taken as they are, whatever the plan names: a plan may
    be given data that it has prepared.
    """
    said = to_read(options)
    by_column = bool({"prompt", "completion"} & set(said))
    overruled = {"layout"} if by_column else {"prompt", "completion"} if "layout" in said else ()
    read = {name: text for name, text in plan.read.items() if name not in overruled}
    wanted = from_read({**read, **said})
    bare = replace(wanted, prompt=None, completion=None, layout=None)
    if wanted == bare:
        return open_source(path, wanted)
    try:
        plain = open_source(path, bare)
    except DatasetError:
        return open_source(path, wanted)
    if plain.format in _LINES and not overruled:
        batch = next(plain.batches(), None)
        first = batch.values[0] if batch and batch.values else None
        if isinstance(first, dict) and _is_prepared(first, wanted):
            return plain
    return open_source(path, wanted)


def _is_prepared(record: JsonObject, wanted: ReadOptions) -> bool:
    if wanted.layout is None:
        return set(record) == {"prompt", "completion"}
    found = match(record)
    return found is not None and found.kept
