"""Labels that are longer than they need to be."""

import re
from collections.abc import Iterator, Mapping
from typing import Self

from ftops.data.checks.classes import same_label
from ftops.data.checks.protocol import CLASSIFICATION, Check, Facts
from ftops.data.examining.sifting import RowBatch
from ftops.data.examining.survey import Survey
from ftops.data.findings import Finding, Rule, Seen, Severity, make_finding
from ftops.records import Json, RowFormat

SEVERAL_TOKENS = Rule(
    "label-tokens", Severity.ADVICE, "labels of several tokens",
    "A class that is one token is learned and measured more surely than one that is several, of"
    " which the first may be the beginning of more than one label.",
    "Let a number stand for each label, and map the answers back: `ftops data prepare` writes the"
    " map, and runs keep it.", "encode-labels",
)  # fmt: skip
_ONE_TOKEN = re.compile(r"\s?(?:[A-Za-z]{1,12}|[0-9]{1,3})\s?")
_SHOWN = 3


class Labels(Check):
    """Judges the labels that were found; it counts nothing itself."""

    RULES = (SEVERAL_TOKENS,)

    def __init__(self, survey: Survey) -> None:
        self._stop = survey.stop

    def add(self, batch: RowBatch) -> None:
        pass

    def merge(self, later: Self, shift: int) -> None:
        pass

    def findings(self, facts: Facts) -> Iterator[Finding]:
        """Only of pairs: chats are answered in words."""
        classes = facts.classes
        pairs = facts.survey.format is RowFormat.COMPLETION
        if facts.aim.row_format is RowFormat.CHAT or not pairs or not classes or len(classes) < 2:
            return
        if facts.task != CLASSIFICATION:
            return
        long = sorted(
            label for label in classes if not _ONE_TOKEN.fullmatch(label.removesuffix(self._stop))
        )
        if long:
            shown = ", ".join(repr(label) for label in long[:_SHOWN])
            more = f", and {len(long) - _SHOWN} more" if len(long) > _SHOWN else ""
            text = f"{len(long)} of {len(classes)} labels: {shown}{more}"
            remedy: dict[str, Json] = {"labels": {**number_labels(classes)}}
            yield make_finding(SEVERAL_TOKENS, text, Seen(len(long)), remedy=remedy)


def number_labels(classes: Mapping[str, int]) -> dict[str, str]:
    """A number with a leading blank for each label; labels that are one but for case share it.

    Within a number the most frequent way to write the label stands first, for the way back.
    """
    groups: dict[str, list[str]] = {}
    for label in sorted(classes, key=lambda label: (-classes[label], label)):
        groups.setdefault(same_label(label), []).append(label)
    ordered = sorted(groups.values(), key=lambda group: group[0].strip())
    return {label: f" {number}" for number, group in enumerate(ordered, 1) for label in group}
