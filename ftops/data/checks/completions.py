"""Checks of completions: how they begin and end."""

from collections.abc import Iterator
from operator import itemgetter
from typing import Self

from ftops.data.batch_parser import RowBatch
from ftops.data.checks.affixes import (
    Capitals,
    CommonEnding,
    CommonPrefix,
    MarkerFinder,
    propose_prefix,
)
from ftops.data.checks.check import CLASSIFICATION, OPEN_ENDED, Check, CheckContext
from ftops.data.findings import Finding, Occurrences, Rule, Severity, create_finding, format_rows
from ftops.data.profile import STOPS, DatasetProfile
from ftops.records import RowFormat

_W, _A = Severity.WARNING, Severity.ADVICE
BLANK = Rule(
    "no-leading-space", _A, "no leading space",
    "The tokenizers of the legacy models (ada to davinci, babbage-002, davinci-002) include the"
    " space before a word in its token. A leading space gives fewer, more common tokens.",
    "Begin each completion with one space.", "add-leading-space",
)  # fmt: skip
MIXED = Rule(
    "mixed-leading-space", _W, "inconsistent leading space",
    "A word with and without the leading space is two different tokens to learn.",
    "Begin every completion with one space, or none.", "add-leading-space",
)  # fmt: skip
STOP = Rule(
    "no-stop", _W, "no stop sequence",
    "Completions of different length without a common ending do not teach the model to stop.",
    "Append a stop sequence to every completion, and pass it at inference.", "add-stop",
)  # fmt: skip
LACKING = Rule(
    "stop-missing", _W, "completions without the stop sequence",
    "Most completions end with the same stop sequence, and these do not.",
    "Append the stop sequence to these.", "add-stop",
)  # fmt: skip
INSIDE = Rule(
    "stop-inside", _W, "stop sequence inside the completion",
    "The stop sequence also occurs inside some completions: answers will be truncated there.",
    "Use another stop sequence, or remove it from these texts.", "replace-stop",
)  # fmt: skip
PREFIX = Rule(
    "common-completion-prefix", _A, "common prefix",
    "All completions begin with the same words, which the model generates at your cost.",
    "Remove the words, and prepend them to the answers yourself.", "remove-completion-prefix",
)  # fmt: skip
CAPITALS = Rule(
    "uppercase-completions", _A, "completions in upper case",
    "More than a third of the letters are upper case. Models generate lower case better.",
    "Write completions in ordinary case.", "lowercase-completions",
)  # fmt: skip
_LEADING = frozenset(" \n\t")
_FIRST = itemgetter(0)  # no completion is empty
_LONG_PREFIX = 5
_CAPITAL_SHARE = 1 / 3


class Completions(Check):
    """Checks both ends of completions of completion rows."""

    RULES = (BLANK, MIXED, STOP, LACKING, INSIDE, PREFIX, CAPITALS)

    def __init__(self, profile: DatasetProfile) -> None:
        self._rows = 0
        self._blank = Occurrences()
        self._bare = Occurrences()
        self._mark = CommonEnding(profile.stop)
        self._free = MarkerFinder(STOPS)
        self._prefix = CommonPrefix()
        self._shortest: int | None = None
        self._capitals = Capitals()

    def add(self, batch: RowBatch) -> None:
        if batch.format is not RowFormat.COMPLETION or not batch.raws:
            return
        texts, joined = batch.completions, batch.completion_text()
        self._rows += len(texts)
        flags = list(map(_LEADING.__contains__, map(_FIRST, texts)))
        self._blank.add_where(flags, batch.places)
        self._bare.add_where(flags, batch.places, wanted=False)
        self._mark.add(texts, joined, batch.places)
        self._free.add(texts, joined)
        self._prefix.add(texts)
        self._capitals.add(texts, self._mark.mark)
        shortest = min(batch.completion_lengths())
        if self._shortest is None or shortest < self._shortest:
            self._shortest = shortest

    def merge(self, later: Self, shift: int) -> None:
        self._rows += later._rows
        self._blank.merge(later._blank, shift)
        self._bare.merge(later._bare, shift)
        self._mark.merge(later._mark, shift)
        self._free.merge(later._free)
        self._prefix.merge(later._prefix)
        self._capitals.merge(later._capitals)
        lengths = [one for one in (self._shortest, later._shortest) if one is not None]
        self._shortest = min(lengths, default=None)

    def findings(self, context: CheckContext) -> Iterator[Finding]:
        if not self._rows:
            return
        if context.target.row_format is not RowFormat.CHAT:
            yield from self._about_blanks()
        if context.task not in (CLASSIFICATION, OPEN_ENDED):
            yield from self._about_ends()
        yield from self._about_beginnings(context)
        if self._capitals.share > _CAPITAL_SHARE and context.task != CLASSIFICATION:
            text = f"about {self._capitals.share:.0%} of the letters"
            yield create_finding(CAPITALS, text, fix_params=self._capitals.propose(self._mark.mark))

    def _about_blanks(self) -> Iterator[Finding]:
        if self._bare.count == self._rows:
            yield create_finding(BLANK, "no completion begins with a blank", fix_params={})
        elif self._bare.count:
            fewer, how = (
                (self._bare, "without") if self._bare.count <= self._blank.count
                else (self._blank, "with")
            )  # fmt: skip
            text = f"{format_rows(fewer.count)} {how} a leading blank, unlike the others"
            yield create_finding(MIXED, text, fewer, fix_params={})

    def _about_ends(self) -> Iterator[Finding]:
        mark = self._mark
        if not mark.mark:
            sign = self._free.proposal()
            yield create_finding(
                STOP,
                "completions have no common ending",
                advice=f"Append one to every completion, such as {sign!r}, which occurs in none.",
                fix_params=self._free.propose("stop"),
            )
            return
        if mark.lacking.count:
            text = f"{format_rows(mark.lacking.count)} without {mark.mark!r} at the end"
            fix_params = self._free.keep("stop", mark.mark)
            yield create_finding(LACKING, text, mark.lacking, fix_params=fix_params)
        if mark.inside.count:
            yield create_finding(
                INSIDE,
                f"{format_rows(mark.inside.count)} with {mark.mark!r} inside the completion, too",
                mark.inside,
                advice=f"Take another, such as {self._free.proposal()!r}.",
                fix_params=self._free.propose("stop", mark.mark),
            )

    def _about_beginnings(self, context: CheckContext) -> Iterator[Finding]:
        # a prefix that is a whole completion, or part of a label, is content
        prefix = (self._prefix.value or "").lstrip()
        whole = self._shortest is not None and len(self._prefix.value or "") >= self._shortest
        if len(prefix) >= _LONG_PREFIX and not whole and context.task != CLASSIFICATION:
            text = f"all completions begin with {prefix[:60]!r}"
            fix_params = propose_prefix(self._prefix.value or "", _LONG_PREFIX - 1)
            yield create_finding(PREFIX, text, fix_params=fix_params)
