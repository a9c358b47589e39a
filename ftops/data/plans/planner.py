"""Creates a plan for data: run the checks, propose fixes, ask, check again, propose the rest.

Some fixes change what the checks see, such as repaired rows. They come first; then the checks run
again, and the other fixes are proposed for the new findings.
"""

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
    """A step that resolves findings: their codes and messages.

    A `preventive` step changes nothing in this data and is meant for other data. A `requested` step
    needs no confirmation.
    """

    step: PlanStep
    resolves: tuple[str, ...]
    reasons: tuple[str, ...] = ()
    preventive: bool = False
    requested: bool = False

    @property
    def key(self) -> tuple[str, ...]:
        """The identity of the proposal."""
        return self.step.code, *self.resolves


ConfirmFix = Callable[[Proposal, FixStats], bool]
_KEPT_BYTES = 8 << 20  # of a workbook, which is compressed
_LINES = (Format.JSONL, Format.JSON)


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """The options of a preparation; `only` and `skip` hold codes of fixes or checks.

    `pii` enables the scan for personal data and secrets, and `redact` replaces all kinds of them.
    `marked` names the rows to drop.
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
    """The plan with its accepted and declined proposals and the check results.

    `first` is the result before any fix, `verdict` the result after the early fixes.
    """

    plan: DataPlan
    accepted: tuple[Proposal, ...]
    refused: tuple[Proposal, ...]
    first: CheckResult
    verdict: CheckResult
    target: DataTarget

    def list_unresolved(self, rows: int) -> list[Finding]:
        """Findings that the plan does not resolve, with the row count after the plan."""
        resolved = {code for one in self.accepted for code in one.resolves} | ROW_COUNT_CODES
        steps = {step.code for step in self.plan.steps}
        others = (
            found
            for found in self.verdict.findings
            if found.code not in resolved and not is_redundant(found.fix or "", steps)
        )
        return [*check_row_count(rows, self.target), *others]


def draft_plan(
    open_again: Callable[[], Source],
    options: ReadOptions,
    plan_options: PlanOptions,
    ask: ConfirmFix | None = None,
) -> PlanDraft:
    """The plan for a source; `open_again` opens it from the start.

    `ask` gets each proposal with its effect and decides; without it, all proposals that need no
    confirmation are accepted, or those that `plan_options.only` names. Raises DatasetError with the
    findings if no row is usable and no fix makes one usable.
    """
    source = open_again()
    options = pin_layout(options, source)
    first = verdict = _check(source, plan_options)
    if not first.rows and {one.step.code for one in propose_early(first)} <= {DropInvalidRows.CODE}:
        raise _no_usable_rows(source, first)
    accepted: list[Proposal] = []
    refused: list[Proposal] = []
    while True:  # a repaired row may have other errors
        known = {one.key for one in (*accepted, *refused)}
        early = {one.key: one for one in (*propose_early(verdict), *_list_requested(plan_options))}
        proposed = filter_proposals([*early.values()], plan_options.only, plan_options.skip)
        proposed = [one for one in proposed if one.key not in known]
        if not proposed:
            break
        more, declined = _decide(proposed, accepted, open_again, ask)
        accepted, refused = accepted + more, refused + declined
        if more:
            verdict = _check(apply_early(open_again(), make_plan(accepted, {})), plan_options)
    if not first.rows and not verdict.rows:
        raise _no_usable_rows(source, first)
    late = propose_late(
        verdict, {one.step.code for one in accepted}, most_characters=plan_options.most_characters
    )
    late = filter_proposals(late, plan_options.only, plan_options.skip)
    doubtful = [
        one for one in late if ask is None and not plan_options.only and needs_confirmation(one)
    ]
    certain = [one for one in late if one not in doubtful]
    more, declined = _decide(certain, accepted, open_again, ask)
    accepted, refused = accepted + more, refused + declined + doubtful
    plan = make_plan(accepted, options_to_plan(options))
    return PlanDraft(plan, tuple(accepted), tuple(refused), first, verdict, plan_options.target)


def can_prepare(path: Path, options: ReadOptions) -> bool:
    """Whether fixes make at least one row of the data usable."""
    try:
        draft_plan(make_opener(path, options), options, PlanOptions())
    except DatasetError:
        return False
    return True


def _no_usable_rows(source: Source, verdict: CheckResult) -> DatasetError:
    wrong = [found for found in verdict.findings if found.code != NO_ROWS.code]
    lines = [f"{source.name}: no row can be used", *(f"{one.code}: {one.message}" for one in wrong)]
    return DatasetError("\n".join(lines), hint=wrong[0].advice if wrong else "Add rows to it.")


def pin_layout(options: ReadOptions, source: Source) -> ReadOptions:
    """The options with the detected layout, so other data is read with the same one."""
    return options if source.layout is None else replace(options, layout=source.layout)


def _list_requested(plan_options: PlanOptions) -> list[Proposal]:
    marked = plan_options.marked or AnnotatedRows("")
    return propose_requested(plan_options.redact, marked.dropped, f"{marked.file} says so")


def _check(source: Source, plan_options: PlanOptions) -> CheckResult:
    asked = ["pii"] if plan_options.pii else []
    examination = run_checks(source, asked=asked, environ=plan_options.environ)
    return examination.get_result(plan_options.target, task=plan_options.task, unit=source.unit)


def _decide(
    proposed: Sequence[Proposal],
    before: Sequence[Proposal],
    open_again: Callable[[], Source],
    ask: ConfirmFix | None,
) -> tuple[list[Proposal], list[Proposal]]:
    """The accepted and the declined proposals, given those accepted `before`."""
    accepted: list[Proposal] = []
    refused: list[Proposal] = []
    fix_stats = _preview(open_again(), [*before, *proposed]) if ask and proposed else ()
    for number, one in enumerate(proposed):
        codes = {other.step.code for other in accepted}
        if not drop_redundant([one], codes) or (_is_superseded(proposed, one) and not ask):
            continue
        stats = find_stats(fix_stats, one)
        if ask is None or stats is None or not stats.count or ask(one, stats):
            accepted.append(one)
        else:
            refused.append(one)  # later proposals have another effect without it
            fix_stats = _preview(open_again(), [*before, *accepted, *proposed[number + 1 :]])
    return accepted, refused


def _is_superseded(proposed: Sequence[Proposal], one: Proposal) -> bool:
    """Whether a later proposal makes this one redundant."""
    return not drop_redundant([one], {other.step.code for other in proposed})


def find_stats(fix_stats: Sequence[FixStats], proposal: Proposal) -> FixStats | None:
    """The statistics of a proposal: those of its fix, or of its check."""
    for stats in fix_stats:
        if stats.code == proposal.step.code and (
            not stats.check or stats.check in proposal.resolves
        ):
            return stats
    return None


def _preview(source: Source, proposals: Sequence[Proposal]) -> Sequence[FixStats]:
    """The effect of the proposals, without writing."""
    plan = make_plan(proposals, {})
    runner = PlanRunner(plan, source.name, source.unit)
    if runner.filters:
        return dry_run(source, plan).fix_stats
    for batch in source.batches():
        runner.apply(batch)
    return list(runner.fix_stats.values())


def dry_run(source: Source, plan: DataPlan) -> PlanResult:
    """The result of the plan, without writing."""
    with tempfile.TemporaryFile(prefix="ftops-") as stream:
        return apply_plan(source, plan, cast(BinaryIO, stream))


def write_prepared(source: Source, plan: DataPlan, path: Path, mode: int = 0o644) -> PlanResult:
    """Write the fixed rows to `path`, atomically. Raises DatasetError or StorageError."""
    with open_atomic(path, mode=mode) as stream:
        return apply_plan(source, plan, stream)


def make_opener(path: Path, options: ReadOptions) -> Callable[[], Source]:
    """A function that opens the source from the start; a small workbook is read only once."""
    first = open_source(path, options)
    if first.format is not Format.XLSX or path.stat().st_size > _KEPT_BYTES:
        return lambda: open_source(path, options)
    kept = list(first.batches())

    def read() -> Batches:
        for batch in kept:  # parsing adds row errors to a batch
            yield Batch(batch.values, batch.places, batch.lines, list(batch.row_errors))

    return lambda: replace(first, batches=read)


def open_for_plan(path: Path, options: ReadOptions, plan: DataPlan) -> Source:
    """The source, read with the options of the plan; `options` take precedence.

    Rows that need no columns or layout are read unchanged: a plan may be applied to its own
    output.
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
# fixes that may make different rows equal
_MERGING = {code for code, fix in FIXES.items() if issubclass(fix, TextFix)} | {"majority-vote"}
# fixes that are redundant next to others
_REDUNDANT = {
    "add-separator": {"replace-separator"},
    "add-stop": {"replace-stop", "encode-labels"},
    "normalize-labels": {"encode-labels"},
    "add-leading-space": {"encode-labels"},
}


def propose_early(verdict: CheckResult) -> list[Proposal]:
    """The proposals of fixes after which the checks run again."""
    found = {finding.code: finding for finding in verdict.findings}
    proposals: list[Proposal] = []
    for code in EARLY:
        resolved = [found[one] for one in list_resolved_rules(FIXES[code]) if one in found]
        if code == DropExtraKeys.CODE:  # other keys are dropped only if the user names them
            resolved = [finding for finding in resolved if finding.fix == code]
        if code == Redact.CODE:  # one proposal per kind
            proposals += map(_to_proposal, resolved)
        elif resolved:
            codes = tuple(finding.code for finding in resolved)
            reasons = tuple(finding.message for finding in resolved)
            values: dict[str, Json] = {}
            for finding in resolved:
                values |= (finding.fix_params or {}) if finding.fix == code else {}
            proposals.append(Proposal(PlanStep(code, values), codes, reasons))
    return proposals


def propose_requested(redact: bool, dropped: Sequence[str], reason: str) -> list[Proposal]:
    """The proposals that the user requested; `dropped` are row ids."""
    proposals = []
    if dropped:
        step = PlanStep(DropAnnotated.CODE, {"rows": list(dropped)})
        proposals.append(Proposal(step, (), (reason,), requested=True))
    if redact:  # every kind, for other data
        for code in REDACTED:
            step = PlanStep(Redact.CODE, {"codes": [code]})
            proposals.append(Proposal(step, (code,), requested=True))
    return proposals


def propose_late(
    verdict: CheckResult, early: Collection[str] = (), *, most_characters: int | None = None
) -> list[Proposal]:
    """The proposals for findings after the `early` fixes."""
    proposals = [
        _to_proposal(finding)
        for finding in verdict.findings
        if finding.fix in FIXES and finding.fix not in EARLY and finding.fix_params is not None
    ]
    codes = {one.step.code for one in proposals}
    proposals += _keep_endings(verdict, codes)
    if "drop-duplicates" not in codes and not _MERGING.isdisjoint([*codes, *early]):
        reasons = ("rows that are equal after the other fixes",)
        proposals.append(Proposal(PlanStep("drop-duplicates"), ("duplicate-rows",), reasons))
    if most_characters is not None:
        step = PlanStep("drop-long-rows", {"characters": most_characters})
        proposals.append(Proposal(step, (), (f"more than {most_characters:,} characters",)))
    return sorted(proposals, key=lambda one: _ORDER.index(one.step.code))


def needs_confirmation(proposal: Proposal) -> bool:
    """Whether the user must confirm: words that all rows share may be content."""
    return "prefix" in proposal.step.values


def _to_proposal(finding: Finding) -> Proposal:
    step = PlanStep(finding.fix or "", finding.fix_params or {})
    return Proposal(step, (finding.code,), (finding.message,))


def _keep_endings(verdict: CheckResult, proposed: set[str]) -> Iterable[Proposal]:
    """The common endings of all rows: other data may lack them, and inference needs them."""
    if verdict.format is not RowFormat.COMPLETION:
        return
    mark = verdict.separator.rstrip(" \t\u00a0\u3000")
    if mark and not proposed & {"add-separator", "replace-separator"}:
        yield Proposal(PlanStep("add-separator", {"separator": mark}), (), preventive=True)
    if verdict.stop and not proposed & {"add-stop", "replace-stop"}:
        yield Proposal(PlanStep("add-stop", {"stop": verdict.stop}), (), preventive=True)


def drop_redundant(proposals: Sequence[Proposal], accepted: Collection[str]) -> list[Proposal]:
    """The proposals that are not redundant next to the accepted fixes."""
    return [one for one in proposals if not is_redundant(one.step.code, accepted)]


def is_redundant(code: str, accepted: Collection[str]) -> bool:
    """Whether a fix is redundant next to the accepted ones."""
    return not _REDUNDANT.get(code, set()).isdisjoint(accepted)


def filter_proposals(
    proposals: Sequence[Proposal], only: Collection[str], skip: Collection[str]
) -> list[Proposal]:
    """The proposals selected by --only and --skip, which name fixes or checks."""
    return [
        one
        for one in proposals
        if (not only or one.preventive or {one.step.code, *one.resolves} & set(only))
        and not {one.step.code, *one.resolves} & set(skip)
    ]


def check_codes(codes: Collection[str], rules: Collection[str], flag: str) -> None:
    """Raise UsageError for a code of neither a fix nor a check."""
    known = [*FIXES, *rules]
    for code in codes:
        if code not in known:
            near = find_nearest(code, known)
            raise UsageError(
                f"{flag} {code}: unknown fix or check",
                hint=f"Did you mean {near!r}?" if near else f"The fixes are {', '.join(FIXES)}.",
            )


def make_plan(proposals: Iterable[Proposal], read: dict[str, str]) -> DataPlan:
    """A plan of the proposals, in the order in which fixes are applied."""
    joined: dict[str, dict[str, Json]] = {}
    for one in proposals:
        values = joined.setdefault(one.step.code, {})
        for name, value in one.step.values.items():
            values[name] = _join(values.get(name), value)
    ordered = sorted(joined.items(), key=lambda item: _ORDER.index(item[0]))
    return DataPlan(tuple(PlanStep(code, values) for code, values in ordered), read)


def _join(known: Json, more: Json) -> Json:
    """Merge two values of a parameter: lists and mappings are combined."""
    if isinstance(known, list) and isinstance(more, list):
        return known + [one for one in more if one not in known]
    if isinstance(known, dict) and isinstance(more, dict):
        return {**known, **more}
    return more
