"""Which fixes answer what was found, with their values: the plan that is proposed.

Some fixes change what the checks see: rows are mended, letters are, line ends are. These come
first, then the checks look again, and the rest is proposed of what they found then.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from ftops.data.examining.examination import Verdict
from ftops.data.findings import Finding
from ftops.data.fixes.filters import DropMarked
from ftops.data.fixes.fix import TextFix
from ftops.data.fixes.records import DropExtraKeys
from ftops.data.fixes.redaction import REDACTED, Redact
from ftops.data.fixes.registry import EARLY, FIXES, find_answered
from ftops.errors import UsageError
from ftops.records import DataPlan, Json, PlanStep, RowFormat

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


def propose_early(verdict: Verdict) -> list[Proposal]:
    """What to do before the checks look again."""
    found = {finding.code: finding for finding in verdict.findings}
    proposals: list[Proposal] = []
    for code in EARLY:
        answered = [found[one] for one in find_answered(FIXES[code]) if one in found]
        if code == DropExtraKeys.CODE:  # what else it could leave out, only the user may name
            answered = [finding for finding in answered if finding.fix == code]
        if code == Redact.CODE:  # each kind by itself
            proposals += map(_answer, answered)
        elif answered:
            codes = tuple(finding.code for finding in answered)
            reasons = tuple(finding.message for finding in answered)
            values: dict[str, Json] = {}
            for finding in answered:
                values |= (finding.remedy or {}) if finding.fix == code else {}
            proposals.append(Proposal(PlanStep(code, values), codes, reasons))
    return proposals


def propose_wanted(redact: bool, dropped: Sequence[str], reason: str) -> list[Proposal]:
    """What the user has asked for, whatever is found; `dropped` are ids of rows."""
    proposals = []
    if dropped:
        step = PlanStep(DropMarked.CODE, {"rows": list(dropped)})
        proposals.append(Proposal(step, (), (reason,), wanted=True))
    if redact:  # every kind, since other data may hold what is not in this
        for code in REDACTED:
            step = PlanStep(Redact.CODE, {"codes": [code]})
            proposals.append(Proposal(step, (code,), wanted=True))
    return proposals


def propose_late(
    verdict: Verdict, early: Collection[str] = (), *, most_characters: int | None = None
) -> list[Proposal]:
    """What to do about what is found once the `early` fixes are done."""
    proposals = [
        _answer(finding)
        for finding in verdict.findings
        if finding.fix in FIXES and finding.fix not in EARLY and finding.remedy is not None
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


def is_doubtful(proposal: Proposal) -> bool:
    """Whether only the user can say that nothing is lost: words that all rows share are content."""
    return "prefix" in proposal.step.values


def _answer(finding: Finding) -> Proposal:
    step = PlanStep(finding.fix or "", finding.remedy or {})
    return Proposal(step, (finding.code,), (finding.message,))


def _keep_endings(verdict: Verdict, proposed: set[str]) -> Iterable[Proposal]:
    """The endings that all rows have: the next rows may lack them, and whoever asks needs them."""
    if verdict.format is not RowFormat.COMPLETION:
        return
    mark = verdict.separator.rstrip(" \t\u00a0\u3000")
    if mark and not proposed & {"add-separator", "replace-separator"}:
        yield Proposal(PlanStep("add-separator", {"separator": mark}), (), kept=True)
    if verdict.stop and not proposed & {"add-stop", "replace-stop"}:
        yield Proposal(PlanStep("add-stop", {"stop": verdict.stop}), (), kept=True)


def drop_covered(proposals: Sequence[Proposal], taken: Collection[str]) -> list[Proposal]:
    """The proposals that are still of use when the fixes `taken` are done."""
    return [one for one in proposals if not is_covered(one.step.code, taken)]


def is_covered(code: str, taken: Collection[str]) -> bool:
    """Whether a fix is of no use beside those that are taken."""
    return not _COVERED.get(code, set()).isdisjoint(taken)


def choose_codes(
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
    import difflib

    known = [*FIXES, *rules]
    for code in codes:
        if code not in known:
            near = difflib.get_close_matches(code, known, n=1, cutoff=0.5)
            raise UsageError(
                f"{flag} {code}: there is no fix and no check of that name",
                hint=f"Did you mean {near[0]!r}?" if near else f"The fixes are {', '.join(FIXES)}.",
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
