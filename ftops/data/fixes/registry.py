"""All fixes, in the order in which they are applied; and the page about them.

A new fix is a class of one of the four kinds, and its line here.
"""

from collections.abc import Mapping

from ftops.data.checks.registry import list_rules
from ftops.data.fixes.filters import DropDuplicates, DropLongRows, DropMarked, MajorityVote
from ftops.data.fixes.fix import Fix, RecordFix
from ftops.data.fixes.records import (
    DropBadRows,
    DropExtraKeys,
    RemoveNul,
    RenameKeys,
    RepairJson,
    WriteArguments,
    WriteNumbers,
)
from ftops.data.fixes.redaction import Redact
from ftops.data.fixes.texts import (
    AddLeadingBlank,
    AddSeparator,
    AddStop,
    EncodeLabels,
    FixMojibake,
    LowerCompletions,
    LowerPrompts,
    NormalizeLabels,
    RemoveCompletionPrefix,
    RemovePromptPrefix,
    ReplaceSeparator,
    ReplaceStop,
    StripPromptEnd,
    UnifyNewlines,
)

FIXES: Mapping[str, type[Fix]] = {
    fix.CODE: fix
    for fix in (
        RepairJson, RenameKeys, WriteNumbers, WriteArguments, DropExtraKeys, RemoveNul, DropMarked,
        FixMojibake, UnifyNewlines, Redact, DropBadRows,
        StripPromptEnd, RemovePromptPrefix, LowerPrompts, RemoveCompletionPrefix, LowerCompletions,
        NormalizeLabels, EncodeLabels, ReplaceSeparator, AddSeparator, ReplaceStop, AddStop,
        AddLeadingBlank, DropLongRows, MajorityVote, DropDuplicates,
    )
}  # fmt: skip
FIX_PARAMS = {code: fix.PARAMS for code, fix in FIXES.items()}  # what a plan may say
# What is applied before the checks look again, because it changes what they see.
EARLY = (
    "repair-json", "rename-keys", "stringify-numbers", "stringify-arguments", "drop-extra-keys",
    "remove-nul", "fix-mojibake", "normalize-newlines", "redact",
)  # fmt: skip


def list_resolved_rules(fix: type[Fix]) -> list[str]:
    """The checks whose findings the fix answers."""
    named = [rule.code for rule in list_rules() if rule.fix == fix.CODE]
    if issubclass(fix, RecordFix):
        named += [code for code in fix.CODES if code not in named]
    return named


def render_fixes() -> str:
    """The catalogue as Markdown: an entry a fix."""
    lines = []
    for code, fix in FIXES.items():
        lines += ["", f"## {code}", "", f"{fix.TITLE[0].upper()}{fix.TITLE[1:]}.", "", fix.ABOUT]
        answered = ", ".join(f"[{one}](data-checks.md#{one})" for one in list_resolved_rules(fix))
        if answered:
            lines += ["", f"Answers: {answered}."]
        for name, value in fix.PARAMS.items():
            left_out = "" if value.required else " (may be left out)"
            lines += ["", f"`{name}`: {value.about}{left_out}."]
    return "\n".join(lines[1:]) + "\n"
