"""Fixes of prompts and completions: affixes, case, encoding and labels."""

import re
from collections.abc import Sequence
from typing import ClassVar

from ftops.data.fixes.fix import FixBatch, FixParam, TextFix
from ftops.data.reading.batch import RowError
from ftops.rows.messages import quote
from ftops.text import to_nfc

_BLANKS = " \t\u00a0\u3000"
_OLD = FixParam("texts", "endings that it replaces", required=False)


def end_with(texts: Sequence[str], mark: str, instead_of: Sequence[str]) -> list[str]:
    """Texts that end with `mark` exactly once."""
    if instead_of:
        texts = [_without_ending(text, mark, instead_of) for text in texts]
    last = mark[-1]
    return [
        text
        if text.endswith(mark)
        else text + mark
        if text[-1:] != last and text[-1:] not in mark
        else _append(text, mark)
        for text in texts
    ]


def _without_ending(text: str, mark: str, endings: Sequence[str]) -> str:
    if text.endswith(mark):
        return text
    for ending in endings:
        if text.endswith(ending):
            return text[: -len(ending)]
    return text


def _append(text: str, mark: str) -> str:
    """`text` with `mark`; white space that would match the start of `mark` is stripped."""
    if (text + mark).find(mark, max(0, len(text) - len(mark) + 1)) != len(text):
        text = text.rstrip()
    return text + mark


class AddSeparator(TextFix):
    CODE = "add-separator"
    TITLE = "end every prompt with the separator"
    ABOUT = (
        "Appends the separator to prompts that do not end with it, and replaces other known"
        " separators. The proposed separator occurs in no row; a full stop or a letter is"
        " never one."
    )
    PARAMS: ClassVar = {
        "separator": FixParam("text", "what every prompt ends with"),
        "instead_of": _OLD,
    }

    def apply(self, rows: FixBatch) -> None:
        mark, old = self.text("separator"), self.texts("instead_of")
        rows.prompts = end_with(rows.prompts, mark, old)


class ReplaceSeparator(AddSeparator):
    CODE = "replace-separator"
    TITLE = "use a separator that occurs nowhere else"
    ABOUT = "Where the separator also occurs inside prompts, another one replaces it at the end."


class AddStop(TextFix):
    CODE = "add-stop"
    TITLE = "end every completion with the stop sequence"
    ABOUT = (
        "Appends the stop sequence to completions that do not end with it, and replaces other"
        " known ones. The proposed stop sequence occurs in no completion."
    )
    PARAMS: ClassVar = {
        "stop": FixParam("text", "what every completion ends with"),
        "instead_of": _OLD,
    }

    def apply(self, rows: FixBatch) -> None:
        mark, old = self.text("stop"), self.texts("instead_of")
        rows.completions = end_with(rows.completions, mark, old)


class ReplaceStop(AddStop):
    CODE = "replace-stop"
    TITLE = "use a stop sequence that occurs nowhere else"
    ABOUT = (
        "Where the stop sequence also occurs inside completions, another one replaces it at"
        " the end."
    )


class StripPrompts(TextFix):
    CODE = "strip-prompts"
    TITLE = "strip trailing spaces of prompts"
    ABOUT = "Removes spaces and tabs at the end of prompts; line breaks stay."

    def apply(self, rows: FixBatch) -> None:
        rows.prompts = [text.rstrip(_BLANKS) for text in rows.prompts]


_LEADING = (" ", "\n", "\t")
_PREFIX = FixParam("text", "the common prefix")
_KEEP = FixParam("text", "an ending that is not changed", required=False)


def _without_prefix(texts: Sequence[str], prefix: str) -> list[str]:
    """Texts without the prefix; a text that equals the prefix is not changed."""
    size = len(prefix)
    return [text[size:] if text.startswith(prefix) and len(text) > size else text for text in texts]


def _lower(texts: Sequence[str], keep: str) -> list[str]:
    """Texts in lower case, except for the ending `keep`."""
    if keep == keep.lower():
        return [text.lower() for text in texts]
    size = len(keep)
    return [text[:-size].lower() + keep if text.endswith(keep) else text.lower() for text in texts]


class RemovePromptPrefix(TextFix):
    CODE = "remove-prompt-prefix"
    TITLE = "remove the common prefix of prompts"
    ABOUT = (
        "Removes words that begin every prompt; no word is cut, and no prompt becomes empty."
        " If they are a field with its value (`Item: laptop`), other data may have another"
        " value: `--yes` keeps them, unless `--only` names this fix."
    )
    PARAMS: ClassVar = {"prefix": _PREFIX}

    def apply(self, rows: FixBatch) -> None:
        rows.prompts = _without_prefix(rows.prompts, self.text("prefix"))


class RemoveCompletionPrefix(TextFix):
    CODE = "remove-completion-prefix"
    TITLE = "remove the common prefix of completions"
    ABOUT = (
        "Removes words that begin every completion, except for a leading space. No word is"
        " cut, and labels of a classification are not changed. `--yes` keeps a field with its"
        " value."
    )
    PARAMS: ClassVar = {"prefix": _PREFIX}

    def apply(self, rows: FixBatch) -> None:
        prefix = self.text("prefix")
        shorter = _without_prefix(rows.completions, prefix)
        if not prefix.startswith(_LEADING):
            rows.completions = shorter
            return
        rows.completions = [
            new if new is old or new.startswith(_LEADING) else prefix[0] + new
            for old, new in zip(rows.completions, shorter, strict=True)
        ]


class LowercasePrompts(TextFix):
    CODE = "lowercase-prompts"
    TITLE = "convert prompts to lower case"
    ABOUT = (
        "Proposed where nine of ten letters are upper case. Prompts at inference are"
        " converted, too."
    )
    PARAMS: ClassVar = {"keep": _KEEP}

    def apply(self, rows: FixBatch) -> None:
        rows.prompts = _lower(rows.prompts, self.text("keep"))


class LowercaseCompletions(TextFix):
    CODE = "lowercase-completions"
    TITLE = "convert completions to lower case"
    ABOUT = "Proposed where nine of ten letters are upper case, and never for labels."
    PARAMS: ClassVar = {"keep": _KEEP}

    def apply(self, rows: FixBatch) -> None:
        rows.completions = _lower(rows.completions, self.text("keep"))


class AddLeadingSpace(TextFix):
    CODE = "add-leading-space"
    TITLE = "begin every completion with a space"
    ABOUT = (
        "For the tokenizers of the legacy models, which include the space before a word in"
        " its token. Not proposed for chat models."
    )

    def apply(self, rows: FixBatch) -> None:
        rows.completions = [
            text if text.startswith(_LEADING) else " " + text for text in rows.completions
        ]


# A UTF-8 sequence that was decoded as Windows-1252: a lead byte of C2 to F4 and its trail bytes.
_TAIL = (
    "\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013\u2014"
    "\u2018-\u201a\u201c-\u201e\u2020-\u2022\u2026\u2030\u2039\u203a\u20ac\u2122"
)
_GARBLED = re.compile(f"(?:[\u00c2-\u00f4][{_TAIL}]{{1,3}})+")
_SUSPECTS = ("\u00c2", "\u00c3", "\u00e2\u20ac", "\u00ef\u00bb\u00bf")
_HOLES = {0x81: 0x81, 0x8D: 0x8D, 0x8F: 0x8F, 0x90: 0x90, 0x9D: 0x9D}  # undefined in cp1252


class FixMojibake(TextFix):
    CODE = "fix-mojibake"
    TITLE = "repair garbled characters"
    ABOUT = (
        "Decodes UTF-8 that was read as Windows-1252 again: `Ã©` becomes `é`. A text in which"
        " any garbled part cannot be decoded is not changed."
    )
    ALL_FORMATS = True

    def apply(self, rows: FixBatch) -> None:
        rows.prompts = [self.change(text) for text in rows.prompts]
        rows.completions = [self.change(text) for text in rows.completions]

    def change(self, text: str) -> str:
        if text.isascii() or not any(sign in text for sign in _SUSPECTS):
            return text
        try:
            return _GARBLED.sub(_decode, text)
        except UnicodeError:
            return text


def _decode(found: "re.Match[str]") -> str:
    data = bytearray()
    for character in found[0]:
        code = ord(character)
        data += bytes([code]) if code in _HOLES else character.encode("cp1252")
    return data.decode("utf-8")


class NormalizeNewlines(TextFix):
    CODE = "normalize-newlines"
    TITLE = "use LF line endings"
    ABOUT = "Carriage returns, with a line feed or alone, become line feeds."
    ALL_FORMATS = True

    def apply(self, rows: FixBatch) -> None:
        rows.prompts = list(map(self.change, rows.prompts))
        rows.completions = list(map(self.change, rows.completions))

    def change(self, text: str) -> str:
        return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


class NormalizeLabels(TextFix):
    CODE = "normalize-labels"
    TITLE = "use one spelling for each label"
    ABOUT = "Labels that differ by case or white space become the most frequent spelling."
    PARAMS: ClassVar = {"labels": FixParam("labels", "a mapping of spelling to label")}

    def apply(self, rows: FixBatch) -> None:
        labels = {to_nfc(label): one for label, one in self.labels("labels").items()}
        rows.completions = [labels.get(to_nfc(text), text) for text in rows.completions]


class EncodeLabels(TextFix):
    CODE = "encode-labels"
    TITLE = "encode each label as a number"
    ABOUT = (
        "Labels of several tokens become ` 1`, ` 2`, …, which are one token each. The mapping"
        " is stored in the plan: a run with this plan decodes the answers, in its evaluation"
        " and in `ftops complete`. A label that is not in the mapping is an error."
    )
    PARAMS: ClassVar = {"labels": FixParam("labels", "a mapping of label to number")}

    def apply(self, rows: FixBatch) -> None:
        labels = self.labels("labels")
        known = {number: number for number in labels.values()}
        known |= {to_nfc(label): number for label, number in labels.items()}
        mapped = list(map(known.get, map(to_nfc, rows.completions)))
        if None in mapped:
            for place, text, found in zip(rows.places, rows.completions, mapped, strict=True):
                if found is None:
                    reason = f"the label {quote(text)} is not in the label mapping of the plan"
                    rows.refused.append(RowError(place, "unknown-label", reason))
        rows.completions = [
            text if found is None else found
            for text, found in zip(rows.completions, mapped, strict=True)
        ]


def invert_labels(labels: dict[str, str]) -> dict[str, str]:
    """A mapping of the stripped number to the first label that has it."""
    back: dict[str, str] = {}
    for label, number in labels.items():
        back.setdefault(number.strip(), label.strip())
    return back
