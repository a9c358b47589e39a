"""Checks of prompts: how they begin and end, and whether they are sentences."""

from collections.abc import Iterator
from itertools import repeat
from typing import Self

from ftops.data.batch_parser import RowBatch
from ftops.data.checks.affixes import (
    Capitals,
    CommonEnding,
    CommonPrefix,
    MarkerFinder,
    propose_prefix,
)
from ftops.data.checks.check import OPEN_ENDED, Check, CheckContext, dataset_check
from ftops.data.findings import Finding, Occurrences, Rule, Severity, create_finding, format_rows
from ftops.data.profile import SEPARATORS, DatasetProfile
from ftops.records import RowFormat
from ftops.rows.messages import quote

_W, _A = Severity.WARNING, Severity.ADVICE
NONE = Rule(
    "no-separator", _W, "no common separator",
    "Without a common ending, the model cannot tell where the prompt ends and its answer begins. A"
    " separator is a string that occurs in no prompt; a full stop or a letter is not one.",
    "Append a separator to every prompt, in the data and at inference.", "add-separator",
)  # fmt: skip
LACKING = Rule(
    "separator-missing", _W, "prompts without the separator",
    "Most prompts end with the same separator, and these do not.",
    "Append the separator to these prompts.", "add-separator",
)  # fmt: skip
INSIDE = Rule(
    "separator-inside", _W, "separator inside the prompt",
    "The separator also occurs inside some prompts: the model may answer too early.",
    "Use another separator, or remove it from these texts.", "replace-separator",
)  # fmt: skip
SEVERAL = Rule(
    "several-separators", _W, "several separators",
    "Some prompts end with one known separator and some with another.",
    "Use one separator throughout.", "add-separator",
)  # fmt: skip
BLANK = Rule(
    "trailing-space", _W, "prompt ends with white space",
    "Tokens usually include the space before a word. A prompt that ends with a space separates it"
    " from the next word and produces a rare token.",
    "Remove the white space.", "strip-prompts",
)  # fmt: skip
PREFIX = Rule(
    "common-prompt-prefix", _A, "long common prefix",
    "All prompts begin with the same words. They add no information, and are paid for in every row"
    " and every request.",
    "Remove the prefix, in the data and at inference.", "remove-prompt-prefix",
)  # fmt: skip
CAPITALS = Rule(
    "uppercase-prompts", _A, "prompts in upper case",
    "More than a third of the letters are upper case. Models are pre-trained mostly on lower case.",
    "Write prompts in ordinary case, in the data and at inference.", "lowercase-prompts",
)  # fmt: skip
EQUAL = Rule(
    "equal-prompts", _W, "all prompts are equal",
    "A prompt that is always the same says nothing about the completion.",
    "Leave the prompt empty, or add what the answer depends on.",
)  # fmt: skip
_LONG_PREFIX = 12
_BLANKS = (" ", "\t", "\u00a0", "\u3000")
_CAPITAL_SHARE = 1 / 3


class Prompts(Check):
    """Checks both ends of prompts of completion rows."""

    RULES = (NONE, LACKING, INSIDE, SEVERAL, BLANK, PREFIX, CAPITALS, EQUAL)

    def __init__(self, profile: DatasetProfile) -> None:
        self._rows = 0
        self._mark = CommonEnding(profile.separator)
        self._free = MarkerFinder(SEPARATORS)
        self._blank = Occurrences()
        self._prefix = CommonPrefix()
        self._capitals = Capitals()
        self._longest = 0

    def add(self, batch: RowBatch) -> None:
        if batch.format is not RowFormat.COMPLETION or not batch.raws:
            return
        texts, joined = batch.prompts, batch.prompt_text()
        self._rows += len(texts)
        self._mark.add(texts, joined, batch.places)
        self._free.add(texts, joined)
        self._free.search(batch.completion_text())
        self._blank.add_where(list(map(str.endswith, texts, repeat(_BLANKS))), batch.places)
        self._prefix.add(texts)
        self._capitals.add(texts, self._mark.mark)
        if self._prefix.value:
            self._longest = max(self._longest, *batch.prompt_lengths())

    def merge(self, later: Self, shift: int) -> None:
        self._rows += later._rows
        self._mark.merge(later._mark, shift)
        self._free.merge(later._free)
        self._blank.merge(later._blank, shift)
        self._prefix.merge(later._prefix)
        self._capitals.merge(later._capitals)
        self._longest = max(self._longest, later._longest)

    def findings(self, context: CheckContext) -> Iterator[Finding]:
        if not self._rows or context.task == OPEN_ENDED:
            return
        prefix = self._prefix.value or ""
        if self._rows > 1 and prefix and len(prefix) == self._longest:
            yield create_finding(EQUAL, f"all {self._rows:,} prompts are {quote(prefix)}")
            return
        yield from self._about_ends()
        if self._blank.count:
            yield create_finding(
                BLANK, f"{format_rows(self._blank.count)}", self._blank, fix_params={}
            )
        if len(prefix) > _LONG_PREFIX and self._rows > 1:
            text = f"all prompts begin with {quote(prefix)}"
            yield create_finding(PREFIX, text, fix_params=propose_prefix(prefix, _LONG_PREFIX))
        if self._capitals.share > _CAPITAL_SHARE:
            text = f"about {self._capitals.share:.0%} of the letters"
            yield create_finding(CAPITALS, text, fix_params=self._capitals.propose(self._mark.mark))

    def _about_ends(self) -> Iterator[Finding]:
        mark = self._mark
        if not mark.mark:
            known = {one: n for one, n in self._free.ending.items() if n * 20 > self._rows}
            if len(known) > 1:
                shown = ", ".join(f"{quote(one)} ({n:,})" for one, n in sorted(known.items()))
                fix_params = self._free.propose("separator")
                yield create_finding(SEVERAL, f"prompts end with {shown}", fix_params=fix_params)
                return
            sign = quote(self._free.proposal())
            yield create_finding(
                NONE,
                "prompts have no common ending",
                advice=f"Append one to every prompt, such as {sign}, which occurs in none.",
                fix_params=self._free.propose("separator"),
            )
            return
        if mark.lacking.count:
            text = f"{format_rows(mark.lacking.count)} without {quote(mark.mark)} at the end"
            lasting = self._free.keep("separator", mark.mark.rstrip("".join(_BLANKS)))
            yield create_finding(LACKING, text, mark.lacking, fix_params=lasting)
        if mark.inside.count:
            text = (
                f"{format_rows(mark.inside.count)} with {quote(mark.mark)} inside the prompt, too"
            )
            yield create_finding(
                INSIDE, text, mark.inside,
                advice=f"Take another, such as {quote(self._free.proposal())}.",
                fix_params=self._free.propose("separator", mark.mark),
            )  # fmt: skip


_FIELD_LIST_SHARE = 0.5


FIELD_LISTS = Rule(
    "field-list-prompts", Severity.WARNING, "prompts are lists of fields",
    "At least half of the first prompts are field names with short values, such as"
    " `Product:laptop.Brand:Dell`. Models are pre-trained on sentences and learn faster from them.",
    "Write sentences from the same columns: --prompt 'A {product} made by {brand}, with …'.",
)  # fmt: skip


@dataset_check(FIELD_LISTS)
def field_list_prompts(context: CheckContext) -> Iterator[Finding]:
    share = context.profile.field_lists
    if context.task != OPEN_ENDED and share >= _FIELD_LIST_SHARE:
        yield create_finding(FIELD_LISTS, f"{share:.0%} of the first prompts are lists of fields")
