"""All fixes, in the order in which they are applied, and their docs page.

To add a fix, write a class of one of the four kinds and name it here.
"""

from collections.abc import Mapping

from ftops.data.checks.registry import list_rules
from ftops.data.fixes.filters import DropAnnotated, DropDuplicates, DropLongRows, MajorityVote
from ftops.data.fixes.fix import Fix, RecordFix
from ftops.data.fixes.records import (
    DropExtraKeys,
    DropInvalidRows,
    RemoveNul,
    RenameKeys,
    RepairJson,
    StringifyArguments,
    StringifyNumbers,
)
from ftops.data.fixes.redaction import Redact
from ftops.data.fixes.texts import (
    AddLeadingSpace,
    AddSeparator,
    AddStop,
    EncodeLabels,
    FixMojibake,
    LowercaseCompletions,
    LowercasePrompts,
    NormalizeLabels,
    NormalizeNewlines,
    RemoveCompletionPrefix,
    RemovePromptPrefix,
    ReplaceSeparator,
    ReplaceStop,
    StripPrompts,
)

FIXES: Mapping[str, type[Fix]] = {
    fix.CODE: fix
    for fix in (
        RepairJson,
        RenameKeys,
        StringifyNumbers,
        StringifyArguments,
        DropExtraKeys,
        RemoveNul,
        DropAnnotated,
        FixMojibake,
        NormalizeNewlines,
        Redact,
        DropInvalidRows,
        StripPrompts,
        RemovePromptPrefix,
        LowercasePrompts,
        RemoveCompletionPrefix,
        LowercaseCompletions,
        NormalizeLabels,
        EncodeLabels,
        ReplaceSeparator,
        AddSeparator,
        ReplaceStop,
        AddStop,
        AddLeadingSpace,
        DropLongRows,
        MajorityVote,
        DropDuplicates,
    )
}
FIX_PARAMS = {code: fix.PARAMS for code, fix in FIXES.items()}  # the parameters of each fix
# Fixes after which the checks run again, because they change what the checks see.
EARLY = (
    "repair-json",
    "rename-keys",
    "stringify-numbers",
    "stringify-arguments",
    "drop-extra-keys",
    "remove-nul",
    "fix-mojibake",
    "normalize-newlines",
    "redact",
)


def list_resolved_rules(fix: type[Fix]) -> list[str]:
    """The codes of the rules that the fix resolves."""
    named = [rule.code for rule in list_rules() if rule.fix == fix.CODE]
    if issubclass(fix, RecordFix):
        named += [code for code in fix.CODES if code not in named]
    return named


def render_fixes() -> str:
    """The fixes as Markdown: an entry per fix."""
    lines = []
    for code, fix in FIXES.items():
        lines += ["", f"## {code}", "", f"{fix.TITLE[0].upper()}{fix.TITLE[1:]}.", "", fix.ABOUT]
        resolved = ", ".join(f"[{one}](data-checks.md#{one})" for one in list_resolved_rules(fix))
        if resolved:
            lines += ["", f"Resolves: {resolved}."]
        for name, value in fix.PARAMS.items():
            optional = "" if value.required else " (optional)"
            lines += ["", f"`{name}`: {value.about}{optional}."]
    return "\n".join(lines[1:]) + "\n"
