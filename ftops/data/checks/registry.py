"""All checks, in the order in which their findings are told; and the page about them."""

from collections.abc import Iterator

from ftops.data.checks.check import Check
from ftops.data.checks.classes import Classes, label_tokens
from ftops.data.checks.completions import Completions
from ftops.data.checks.duplicates import Duplicates, NearDuplicates
from ftops.data.checks.moderation import FLAGGED
from ftops.data.checks.pii import PersonalData
from ftops.data.checks.prompts import Prompts, field_list_prompts
from ftops.data.checks.size import Lengths, RowCount
from ftops.data.checks.structure import Structure, carriage_returns, mojibake
from ftops.data.checks.tool_calls import ToolCalls
from ftops.data.checks.validation import Drift, Leaks
from ftops.data.checks.word_list import WordMatches
from ftops.data.findings import Rule, Severity

CHECK_GROUPS: tuple[tuple[str, tuple[type[Check], ...]], ...] = (
    ("Structure", (Structure, mojibake, carriage_returns)),
    ("Amount", (RowCount,)),
    ("Lengths", (Lengths,)),
    ("Prompts", (Prompts, field_list_prompts)),
    ("Completions", (Completions,)),
    ("Tools", (ToolCalls,)),
    ("Classes", (Classes, label_tokens)),
    ("The same", (Duplicates,)),
    ("Nearly the same (with `--near-duplicates`)", (NearDuplicates,)),
    ("In both files (with `--validation`)", (Leaks, Drift)),
    ("Private and secret (with `--pii`)", (PersonalData,)),
    ("Words of your own (with `--word-list`)", (WordMatches,)),
)
# What is looked for after the pass, with what a command hands in.
_AFTERWARDS: tuple[tuple[str, tuple[Rule, ...]], ...] = (
    ("Harmful (with `--moderate`)", (FLAGGED,)),
)
CHECKS: tuple[type[Check], ...] = tuple(check for _, family in CHECK_GROUPS for check in family)
_MEANING = {
    Severity.ERROR: "the data cannot be used as it is",
    Severity.WARNING: "it can be used, and will probably train badly",
    Severity.ADVICE: "it could be better",
}


def get_rules() -> Iterator[Rule]:
    """Every rule of the catalogue."""
    for _, rules in _list_families():
        yield from rules


def _list_families() -> Iterator[tuple[str, list[Rule]]]:
    for name, family in CHECK_GROUPS:
        yield name, [rule for check in family for rule in check.RULES]
    for name, rules in _AFTERWARDS:
        yield name, list(rules)


def render_catalogue() -> str:
    """The catalogue as Markdown: a section a family, an entry a rule."""
    lines = [f"- **{severity}**: {meaning}." for severity, meaning in _MEANING.items()]
    for name, rules in _list_families():
        lines += ["", f"## {name}"]
        for rule in rules:
            fix = f" Fix: [{rule.fix}](data-fixes.md#{rule.fix})." if rule.fix else ""
            lines += ["", f"### {rule.code}", "", f"*{rule.severity}*: {rule.title}.", ""]
            lines += [rule.explanation, "", f"What to do: {rule.advice}{fix}"]
    return "\n".join(lines) + "\n"
