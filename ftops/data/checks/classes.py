"""Checks of completions that are class labels."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Self

from ftops.data.batch_parser import RowBatch
from ftops.data.checks.check import CLASSIFICATION, Check, CheckContext, dataset_check
from ftops.data.findings import (
    SHOWN_PLACES,
    Finding,
    Occurrences,
    Rule,
    Severity,
    create_finding,
    format_rows,
)
from ftops.data.profile import MAX_LABELS, DatasetProfile, are_labels
from ftops.records import Json, RowFormat
from ftops.text import to_nfc

_W = Severity.WARNING
SMALL = Rule(
    "small-class", _W, "class with few rows",
    "The model rarely learns a class with few examples, and its score is unreliable.",
    "Add rows of these classes (100 or more each), or merge them with others.",
)  # fmt: skip
ONE = Rule(
    "one-class", _W, "one class only",
    "All rows have the same completion: the model learns to give it for any prompt.",
    "Add rows of other classes.",
)  # fmt: skip
VARIANTS = Rule(
    "label-variants", _W, "labels that differ only by case or white space",
    "One class has several spellings, so it is learned and counted as several classes.",
    "Use one spelling for each label.", "normalize-labels",
)  # fmt: skip
MISSING = Rule(
    "class-not-in-validation", _W, "class missing from the validation data",
    "A class without validation rows is not measured.",
    "Split again so that each class is in both files: `ftops data split`.",
)  # fmt: skip
UNTRAINED = Rule(
    "class-not-in-training", _W, "class missing from the training data",
    "The validation data has a class that the model is not trained on.",
    "Split again so that each class is in both files.",
)  # fmt: skip
_MAX_CHARS = 256  # of a completion that the user may call a label
_ENOUGH = 100
_SHOWN = 5


class Classes(Check):
    """Counts completions while they look like labels: few distinct ones, all short."""

    RULES = (SMALL, ONE, VARIANTS, MISSING, UNTRAINED)

    def __init__(self, profile: DatasetProfile) -> None:
        self._rows = 0
        self._counts: dict[str, int] | None = {}
        self._first: dict[str, int] = {}

    def add(self, batch: RowBatch) -> None:
        self._rows += len(batch.raws)
        counts = self._counts
        if counts is None:
            return
        labels = batch.completions_in_nfc()
        for label, count in Counter(labels).items():
            if label in counts:
                counts[label] += count
                continue
            counts[label] = count
            self._first[label] = batch.places[labels.index(label)]
        self._give_up_on_many()

    def merge(self, later: Self, shift: int) -> None:
        self._rows += later._rows
        if self._counts is None or later._counts is None:
            self._counts = None
            self._first.clear()
            return
        for label, count in later._counts.items():
            self._counts[label] = self._counts.get(label, 0) + count
            self._first.setdefault(label, later._first[label] + shift)
        self._give_up_on_many()

    def _give_up_on_many(self) -> None:
        counts = self._counts
        if counts is not None and (
            len(counts) > MAX_LABELS or any(len(label) > _MAX_CHARS for label in counts)
        ):
            self._counts = None
            self._first.clear()

    def find_classes(self, *, asked: bool = False) -> Mapping[str, int] | None:
        """Rows per label, most frequent first; None if completions do not look like labels.

        `asked` skips this test.
        """
        counts = self._counts
        if not counts or not (asked or are_labels(counts, self._rows)):
            return None
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    def findings(self, context: CheckContext) -> Iterator[Finding]:
        classes = context.classes
        if context.task != CLASSIFICATION or not classes:
            return
        if len(classes) == 1:
            yield create_finding(ONE, f"every completion is {next(iter(classes))!r}")
        small = {label: count for label, count in classes.items() if count < _ENOUGH}
        if small and len(classes) > 1:
            yield create_finding(SMALL, _say_small(small, len(classes)), self._seen(small))
        for same in _list_variants(classes):
            names = ", ".join(f"{label!r} ({classes[label]:,})" for label in same)
            yield create_finding(
                VARIANTS, f"{names} are one label", self._seen(same[1:]),
                fix_params={"labels": dict.fromkeys(same[1:], same[0])},
            )  # fmt: skip

    def _seen(self, labels: Mapping[str, int] | list[str]) -> Occurrences:
        places = sorted(self._first[label] for label in labels)
        return Occurrences(len(places), places[:SHOWN_PLACES])


def _say_small(small: Mapping[str, int], classes: int) -> str:
    rarest = sorted(small.items(), key=lambda item: (item[1], item[0]))[:_SHOWN]
    names = ", ".join(f"{label!r} {count}" for label, count in rarest)
    more = f", and {len(small) - _SHOWN} more" if len(small) > _SHOWN else ""
    return f"{len(small)} of {classes} classes have under {_ENOUGH} rows: {names}{more}"


def _list_variants(classes: Mapping[str, int]) -> list[list[str]]:
    """Groups of labels that differ only by case and white space."""
    groups: dict[str, list[str]] = {}
    for label in classes:
        groups.setdefault(fold_label(label), []).append(label)
    return [group for group in groups.values() if len(group) > 1]


def fold_label(label: str) -> str:
    """The label without differences of case and white space."""
    return to_nfc(" ".join(label.split()).casefold())


def compare_classes(
    training: Mapping[str, int] | None, validation: Mapping[str, int] | None
) -> Iterator[Finding]:
    """Findings about classes that occur in one file only."""
    if not training or validation is None:
        return
    for rule, one, other, where in (
        (MISSING, training, validation, "validation"),
        (UNTRAINED, validation, training, "training"),
    ):
        absent = [label for label in one if label not in other]
        if absent:
            shown = ", ".join(repr(label) for label in absent[:_SHOWN])
            more = f", and {len(absent) - _SHOWN} more" if len(absent) > _SHOWN else ""
            rows = format_rows(sum(one[label] for label in absent))
            yield create_finding(
                rule,
                f"{len(absent)} of {len(one)} classes ({rows}) have no {where} rows: {shown}{more}",
                Occurrences(len(absent)),
            )


MULTI_TOKEN_LABELS = Rule(
    "label-tokens", Severity.ADVICE, "labels of several tokens",
    "A label of one token is learned and measured more reliably than a label of several tokens,"
    " whose first token may begin more than one label.",
    "Encode each label as a number, and decode the answers: `ftops data prepare` writes the"
    " mapping, and runs apply it.", "encode-labels",
)  # fmt: skip
_ONE_TOKEN = re.compile(r"\s?(?:[A-Za-z]{1,12}|[0-9]{1,3})\s?")
_SHOWN_LONG = 3


@dataset_check(MULTI_TOKEN_LABELS)
def label_tokens(context: CheckContext) -> Iterator[Finding]:
    """Completion rows only: chat models answer in words."""
    classes, profile = context.classes, context.profile
    if context.target.row_format is RowFormat.CHAT or profile.format is not RowFormat.COMPLETION:
        return
    if context.task != CLASSIFICATION or not classes or len(classes) < 2:
        return
    long = sorted(
        label for label in classes if not _ONE_TOKEN.fullmatch(label.removesuffix(profile.stop))
    )
    if long:
        shown = ", ".join(repr(label) for label in long[:_SHOWN_LONG])
        more = f", and {len(long) - _SHOWN_LONG} more" if len(long) > _SHOWN_LONG else ""
        message = f"{len(long)} of {len(classes)} labels: {shown}{more}"
        params: dict[str, Json] = {"labels": {**number_labels(classes)}}
        yield create_finding(MULTI_TOKEN_LABELS, message, Occurrences(len(long)), fix_params=params)


def number_labels(classes: Mapping[str, int]) -> dict[str, str]:
    """A number with a leading space for each label; labels that differ only by case share it.

    The most frequent spelling of a label comes first, so that decoding returns it.
    """
    groups: dict[str, list[str]] = {}
    for label in sorted(classes, key=lambda label: (-classes[label], label)):
        groups.setdefault(fold_label(label), []).append(label)
    ordered = sorted(groups.values(), key=lambda group: group[0].strip())
    return {label: f" {number}" for number, group in enumerate(ordered, 1) for label in group}
