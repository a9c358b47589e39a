"""From data to a plan that makes it ready: look, propose, ask, look again, propose the rest."""

import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, cast

from ftops.data.annotations import AnnotatedRows
from ftops.data.check_runner import run_checks
from ftops.data.check_set import CheckResult
from ftops.data.checks.check import DataTarget
from ftops.data.checks.size import NO_ROWS, ROW_COUNT_CODES, check_row_count
from ftops.data.findings import Finding
from ftops.data.fixes.filters import DropAnnotated
from ftops.data.fixes.fix import TextFix
from ftops.data.fixes.records import DropExtraKeys, DropInvalidRows
from ftops.data.fixes.redaction import REDACTED, Redact
from ftops.data.fixes.registry import EARLY, FIXES, list_resolved_rules
from ftops.data.plans.runner import FixStats, PlanResult, PlanRunner, apply_early, apply_plan
from ftops.data.reading.batch import Batch, Batches
from ftops.data.reading.options import Format, ReadOptions, options_from_plan, options_to_plan
from ftops.data.reading.recognition import match_layout
from ftops.data.reading.source import Source, open_source
from ftops.errors import DatasetError, UsageError
from ftops.files import open_atomic
from ftops.records import DataPlan, Json, PlanStep, RowFormat
from ftops.rows.messages import JsonObject
from ftops.text import find_nearest


@dataclass(frozen=True, slots=True)
class Proposal:
    """A step that answers findings: their codes, and what they said.

    One that is `kept` changes nothing today; it is in the plan for the data of tomorrow. One that
    is `wanted` is no question: the user has asked for it.
    """

    step: PlanStep
    answers: tuple[str, ...]
    reasons: tuple[str, ...] = ()
    kept: bool = False
    wanted: bool = False

    @property
    def key(self) -> tuple[str, ...]:
        """What tells it from others."""
        return self.step.code, *self.answers


ConfirmFix = Callable[[Proposal, FixStats], bool]
_KEPT_BYTES = 8 << 20  # of a workbook, which is packed
_LINES = (Format.JSONL, Format.JSON)


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What the user wants of a preparation; `only` and `skip` hold codes of fixes or checks.

    `pii` asks for the scan for private data and secrets, `redact` for placeholders of every
    kind. `marked` says which rows are to be left out.
    """

    target: DataTarget = field(default_factory=DataTarget)
    task: str | None = None
    only: Collection[str] = ()
    skip: Collection[str] = ()
    most_characters: int | None = None
    environ: Mapping[str, str] | None = None
    pii: bool = False
    redact: bool = False
    marked: AnnotatedRows | None = None


@dataclass(frozen=True, slots=True)
class PlanDraft:
    """The plan that came out, the proposals in it, those that were refused, and what was found.

    `first` is what was found before any fix, `verdict` what was found once the early ones are done.
    """

    plan: DataPlan
    taken: tuple[Proposal, ...]
    refused: tuple[Proposal, ...]
    first: CheckResult
    verdict: CheckResult
    target: DataTarget

    def list_unresolved(self, rows: int) -> list[Finding]:
        """What no fix of the plan answers; of the amount, what the plan leaves: so many rows."""
        answered = {code for one in self.taken for code in one.answers} | ROW_COUNT_CODES
        steps = {step.code for step in self.plan.steps}
        others = (
            found
            for found in self.verdict.findings
            if found.code not in answered and not is_redundant(found.fix or "", steps)
        )
        return [*check_row_count(rows, self.target), *others]


def draft_plan(
    open_again: Callable[[], Source],
    options: ReadOptions,
    plan_options: PlanOptions,
    ask: ConfirmFix | None = None,
) -> PlanDraft:
    """The plan for the source that `reopen` opens each time anew.

    `ask` is told of each proposal, with what it would do, and decides; without it all are taken
    but for those that are doubtful, unless `wishes.only` names what is to be done. DatasetError,
    with what was found, when no row can be used and no fix makes one usable.
    """
    source = open_again()
    options = pin_layout(options, source)
    first = verdict = _judge(source, plan_options)
    if not first.rows and {one.step.code for one in propose_early(first)} <= {DropInvalidRows.CODE}:
        raise _useless(source, first)
    taken: list[Proposal] = []
    refused: list[Proposal] = []
    while True:  # what is mended may show what else is wrong with it
        known = {one.key for one in (*taken, *refused)}
        early = {one.key: one for one in (*propose_early(verdict), *_propose_wanted(plan_options))}
        proposed = filter_proposals([*early.values()], plan_options.only, plan_options.skip)
        proposed = [one for one in proposed if one.key not in known]
        if not proposed:
            break
        more, declined = _decide(proposed, taken, open_again, ask)
        taken, refused = taken + more, refused + declined
        if more:
            verdict = _judge(apply_early(open_again(), make_plan(taken, {})), plan_options)
    if not first.rows and not verdict.rows:
        raise _useless(source, first)
    late = propose_late(
        verdict, {one.step.code for one in taken}, most_characters=plan_options.most_characters
    )
    late = filter_proposals(late, plan_options.only, plan_options.skip)
    doubtful = [
        one for one in late if ask is None and not plan_options.only and needs_confirmation(one)
    ]
    certain = [one for one in late if one not in doubtful]
    more, declined = _decide(certain, taken, open_again, ask)
    taken, refused = taken + more, refused + declined + doubtful
    plan = make_plan(taken, options_to_plan(options))
    return PlanDraft(plan, tuple(taken), tuple(refused), first, verdict, plan_options.target)


def can_prepare(path: Path, options: ReadOptions) -> bool:
    """Whether a plan makes any row of data usable of which none is."""
    try:
        draft_plan(make_opener(path, options), options, PlanOptions())
    except DatasetError:
        return False
    return True


def _useless(source: Source, verdict: CheckResult) -> DatasetError:
    """What a check says of data of which no row can be used."""
    wrong = [found for found in verdict.findings if found.code != NO_ROWS.code]
    lines = [f"{source.name}: no row can be used", *(f"{one.code}: {one.message}" for one in wrong)]
    return DatasetError("\n".join(lines), hint=wrong[0].advice if wrong else "Add rows to it.")


def pin_layout(options: ReadOptions, source: Source) -> ReadOptions:
    """The options with the layout that was recognised, so that other data is read by the same."""
    return options if source.layout is None else replace(options, layout=source.layout)


def _propose_wanted(plan_options: PlanOptions) -> list[Proposal]:
    marked = plan_options.marked or AnnotatedRows("")
    return propose_requested(plan_options.redact, marked.dropped, f"{marked.file} says so")


def _judge(source: Source, plan_options: PlanOptions) -> CheckResult:
    asked = ["pii"] if plan_options.pii else []
    examination = run_checks(source, asked=asked, environ=plan_options.environ)
    return examination.get_result(plan_options.target, task=plan_options.task, unit=source.unit)


def _decide(
    proposed: Sequence[Proposal],
    before: Sequence[Proposal],
    open_again: Callable[[], Source],
    ask: ConfirmFix | None,
) -> tuple[list[Proposal], list[Proposal]]:
    """Which proposals are taken, and which are refused, when those `before` are taken already."""
    taken: list[Proposal] = []
    refused: list[Proposal] = []
    fix_stats = _rehearse(open_again(), [*before, *proposed]) if ask and proposed else ()
    for number, one in enumerate(proposed):
        codes = {other.step.code for other in taken}
        if not drop_redundant([one], codes) or (_comes(proposed, one) and not ask):
            continue
        stats = find_stats(fix_stats, one)
        if ask is None or stats is None or not stats.count or ask(one, stats):
            taken.append(one)
        else:
            refused.append(one)  # and what follows does something else without it
            fix_stats = _rehearse(open_again(), [*before, *taken, *proposed[number + 1 :]])
    return taken, refused


def _comes(proposed: Sequence[Proposal], one: Proposal) -> bool:
    """Whether a proposal that follows makes this one useless."""
    return not drop_redundant([one], {other.step.code for other in proposed})


def find_stats(fix_stats: Sequence[FixStats], proposal: Proposal) -> FixStats | None:
    """What a proposal's step did; of rows that are left out, what was done for its check."""
    for stats in fix_stats:
        if stats.code == proposal.step.code and (
            not stats.check or stats.check in proposal.answers
        ):
            return stats
    return None


def _rehearse(source: Source, proposals: Sequence[Proposal]) -> Sequence[FixStats]:
    """What the proposals would do; nothing is left of it."""
    plan = make_plan(proposals, {})
    runner = PlanRunner(plan, source.name, source.unit)
    if runner.filters:
        return dry_run(source, plan).fix_stats
    for batch in source.batches():
        runner.apply(batch)
    return list(runner.fix_stats.values())


def dry_run(source: Source, plan: DataPlan) -> PlanResult:
    """What the plan would do; nothing is left of it."""
    with tempfile.TemporaryFile(prefix="ftops-") as stream:
        return apply_plan(source, plan, cast(BinaryIO, stream))


def write_prepared(source: Source, plan: DataPlan, path: Path, mode: int = 0o644) -> PlanResult:
    """Put the rows, made ready, at `path`: whole, or (DatasetError, StorageError) not at all."""
    with open_atomic(path, mode=mode) as stream:
        return apply_plan(source, plan, stream)


def make_opener(path: Path, options: ReadOptions) -> Callable[[], Source]:
    """Opens the source anew each time; a workbook, slow to read, is read once while it is small."""
    first = open_source(path, options)
    if first.format is not Format.XLSX or path.stat().st_size > _KEPT_BYTES:
        return lambda: open_source(path, options)
    kept = list(first.batches())

    def read() -> Batches:
        for batch in kept:  # whoever sifts a batch adds to its row errors
            yield Batch(batch.values, batch.places, batch.lines, list(batch.row_errors))

    return lambda: replace(first, batches=read)


def open_for_plan(path: Path, options: ReadOptions, plan: DataPlan) -> Source:
    """The source as the plan reads it; what `options` say counts more.

    Rows that need no columns or layout are taken as they are, whatever the plan names: a plan may
    be given data that it has prepared.
    """
    said = options_to_plan(options)
    by_column = bool({"prompt", "completion"} & set(said))
    overruled = {"layout"} if by_column else {"prompt", "completion"} if "layout" in said else ()
    read = {name: text for name, text in plan.read.items() if name not in overruled}
    wanted = options_from_plan({**read, **said})
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
    found = match_layout(record)
    return found is not None and found.kept


_ORDER = list(FIXES)
# Fixes by which rows that differ may become the same.
_MERGING = {code for code, fix in FIXES.items() if issubclass(fix, TextFix)} | {"majority-vote"}
# A fix that is of no use beside others.
_COVERED = {
    "add-separator": {"replace-separator"},
    "add-stop": {"replace-stop", "encode-labels"},
    "normalize-labels": {"encode-labels"},
    "add-leading-space": {"encode-labels"},
}


def propose_early(verdict: CheckResult) -> list[Proposal]:
    """What to do before the checks look again."""
    found = {finding.code: finding for finding in verdict.findings}
    proposals: list[Proposal] = []
    for code in EARLY:
        answered = [found[one] for one in list_resolved_rules(FIXES[code]) if one in found]
        if code == DropExtraKeys.CODE:  # what else it could leave out, only the user may name
            answered = [finding for finding in answered if finding.fix == code]
        if code == Redact.CODE:  # each kind by itself
            proposals += map(_answer, answered)
        elif answered:
            codes = tuple(finding.code for finding in answered)
            reasons = tuple(finding.message for finding in answered)
            values: dict[str, Json] = {}
            for finding in answered:
                values |= (finding.fix_params or {}) if finding.fix == code else {}
            proposals.append(Proposal(PlanStep(code, values), codes, reasons))
    return proposals


def propose_requested(redact: bool, dropped: Sequence[str], reason: str) -> list[Proposal]:
    """What the user has asked for, whatever is found; `dropped` are ids of rows."""
    proposals = []
    if dropped:
        step = PlanStep(DropAnnotated.CODE, {"rows": list(dropped)})
        proposals.append(Proposal(step, (), (reason,), wanted=True))
    if redact:  # every kind, since other data may hold what is not in this
        for code in REDACTED:
            step = PlanStep(Redact.CODE, {"codes": [code]})
            proposals.append(Proposal(step, (code,), wanted=True))
    return proposals


def propose_late(
    verdict: CheckResult, early: Collection[str] = (), *, most_characters: int | None = None
) -> list[Proposal]:
    """What to do about what is found once the `early` fixes are done."""
    proposals = [
        _answer(finding)
        for finding in verdict.findings
        if finding.fix in FIXES and finding.fix not in EARLY and finding.fix_params is not None
    ]
    codes = {one.step.code for one in proposals}
    proposals += _keep_endings(verdict, codes)
    if "drop-duplicates" not in codes and not _MERGING.isdisjoint([*codes, *early]):
        reasons = ("rows that are equal once the other fixes are done",)
        proposals.append(Proposal(PlanStep("drop-duplicates"), ("duplicate-rows",), reasons))
    if most_characters is not None:
        step = PlanStep("drop-long-rows", {"characters": most_characters})
        proposals.append(Proposal(step, (), (f"more than {most_characters:,} characters",)))
    return sorted(proposals, key=lambda one: _ORDER.index(one.step.code))


def needs_confirmation(proposal: Proposal) -> bool:
    """Whether only the user can say that nothing is lost: words that all rows share are content."""
    return "prefix" in proposal.step.values


def _answer(finding: Finding) -> Proposal:
    step = PlanStep(finding.fix or "", finding.fix_params or {})
    return Proposal(step, (finding.code,), (finding.message,))


def _keep_endings(verdict: CheckResult, proposed: set[str]) -> Iterable[Proposal]:
    """The endings that all rows have: the next rows may lack them, and whoever asks needs them."""
    if verdict.format is not RowFormat.COMPLETION:
        return
    mark = verdict.separator.rstrip(" \t\u00a0\u3000")
    if mark and not proposed & {"add-separator", "replace-separator"}:
        yield Proposal(PlanStep("add-separator", {"separator": mark}), (), kept=True)
    if verdict.stop and not proposed & {"add-stop", "replace-stop"}:
        yield Proposal(PlanStep("add-stop", {"stop": verdict.stop}), (), kept=True)


def drop_redundant(proposals: Sequence[Proposal], taken: Collection[str]) -> list[Proposal]:
    """The proposals that are still of use when the fixes `taken` are done."""
    return [one for one in proposals if not is_redundant(one.step.code, taken)]


def is_redundant(code: str, taken: Collection[str]) -> bool:
    """Whether a fix is of no use beside those that are taken."""
    return not _COVERED.get(code, set()).isdisjoint(taken)


def filter_proposals(
    proposals: Sequence[Proposal], only: Collection[str], skip: Collection[str]
) -> list[Proposal]:
    """The proposals that --only and --skip leave; a code is a fix's, or that of a check."""
    return [
        one
        for one in proposals
        if (not only or one.kept or {one.step.code, *one.answers} & set(only))
        and not {one.step.code, *one.answers} & set(skip)
    ]


def check_codes(codes: Collection[str], rules: Collection[str], flag: str) -> None:
    """UsageError when a code is neither a fix's nor that of a check."""
    known = [*FIXES, *rules]
    for code in codes:
        if code not in known:
            near = find_nearest(code, known)
            raise UsageError(
                f"{flag} {code}: there is no fix and no check of that name",
                hint=f"Did you mean {near!r}?" if near else f"The fixes are {', '.join(FIXES)}.",
            )


def make_plan(proposals: Iterable[Proposal], read: dict[str, str]) -> DataPlan:
    """The plan that the proposals make, in the order in which fixes are applied."""
    joined: dict[str, dict[str, Json]] = {}
    for one in proposals:
        values = joined.setdefault(one.step.code, {})
        for name, value in one.step.values.items():
            values[name] = _join(values.get(name), value)
    ordered = sorted(joined.items(), key=lambda item: _ORDER.index(item[0]))
    return DataPlan(tuple(PlanStep(code, values) for code, values in ordered), read)


def _join(known: Json, more: Json) -> Json:
    """Two answers to one question: lists and mappings are put together."""
    if isinstance(known, list) and isinstance(more, list):
        return known + [one for one in more if one not in known]
    if isinstance(known, dict) and isinstance(more, dict):
        return {**known, **more}
    return more
