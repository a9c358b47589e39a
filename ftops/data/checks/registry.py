"""All checks, in the order in which their findings are reported, and their docs page."""

from collections.abc import Iterator

from ftops.data.checks.check import Check
from ftops.data.checks.classes import Classes, label_tokens
from ftops.data.checks.completions import Completions
from ftops.data.checks.duplicates import Duplicates, NearDuplicates
from ftops.data.checks.moderation import FLAGGED, WordMatches
from ftops.data.checks.pii import PersonalData
from ftops.data.checks.prompts import Prompts, field_list_prompts
from ftops.data.checks.size import Lengths, RowCount
from ftops.data.checks.structure import Structure, carriage_returns, mojibake
from ftops.data.checks.tool_calls import ToolCalls
from ftops.data.checks.validation import Drift, Leaks
from ftops.data.findings import Rule, Severity

CHECK_GROUPS: tuple[tuple[str, tuple[type[Check], ...]], ...] = (
    ("Structure", (Structure, mojibake, carriage_returns)),
    ("Row count", (RowCount,)),
    ("Lengths", (Lengths,)),
    ("Prompts", (Prompts, field_list_prompts)),
    ("Completions", (Completions,)),
    ("Tools", (ToolCalls,)),
    ("Classes", (Classes, label_tokens)),
    ("Duplicates", (Duplicates,)),
    ("Near-duplicates (with `--near-duplicates`)", (NearDuplicates,)),
    ("Validation data (with `--validation`)", (Leaks, Drift)),
    ("Personal data and secrets (with `--pii`)", (PersonalData,)),
    ("Word list (with `--word-list`)", (WordMatches,)),
)
# Rules of checks that run after the pass.
_OTHER_RULES: tuple[tuple[str, tuple[Rule, ...]], ...] = (
    ("Moderation (with `--moderate`)", (FLAGGED,)),
)
CHECKS: tuple[type[Check], ...] = tuple(check for _, group in CHECK_GROUPS for check in group)
_MEANING = {
    Severity.ERROR: "the data cannot be used as it is",
    Severity.WARNING: "it can be used, but training will probably suffer",
    Severity.ADVICE: "it could be better",
}


def list_rules() -> Iterator[Rule]:
    """All rules."""
    for _, rules in _list_groups():
        yield from rules


def _list_groups() -> Iterator[tuple[str, list[Rule]]]:
    for name, group in CHECK_GROUPS:
        yield name, [rule for check in group for rule in check.RULES]
    for name, rules in _OTHER_RULES:
        yield name, list(rules)


def render_checks() -> str:
    """The rules as Markdown: a section per group, an entry per rule."""
    lines = [f"- **{severity}**: {meaning}." for severity, meaning in _MEANING.items()]
    for name, rules in _list_groups():
        lines += ["", f"## {name}"]
        for rule in rules:
            fix = f" Fix: [{rule.fix}](data-fixes.md#{rule.fix})." if rule.fix else ""
            lines += ["", f"### {rule.code}", "", f"*{rule.severity}*: {rule.title}.", ""]
            lines += [rule.explanation, "", f"What to do: {rule.advice}{fix}"]
    return "\n".join(lines) + "\n"
