"""How prompts and completions end: the separator, and the stop sequence."""

import re
from collections.abc import Sequence
from typing import ClassVar

from ftops.data.fixes.fix import FixBatch, FixParam, TextFix
from ftops.data.reading.batch import RowError
from ftops.rows.messages import quote
from ftops.text import to_nfc

_BLANKS = " \t\u00a0\u3000"
_OLD = FixParam("texts", "endings in whose place it is put", required=False)


def end_with(texts: Sequence[str], mark: str, instead_of: Sequence[str]) -> list[str]:
    """Texts that end with `mark`, and hold it at no other place on its account."""
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
    """`text` with `mark`; white space before it that would be taken for its beginning goes."""
    if (text + mark).find(mark, max(0, len(text) - len(mark) + 1)) != len(text):
        text = text.rstrip()
    return text + mark


class AddSeparator(TextFix):
    CODE = "add-separator"
    TITLE = "end every prompt with the separator"
    ABOUT = (
        "Appends the separator to prompts that do not end with it, in the place of other known"
        " separators. The one proposed occurs in no row; a full stop or a letter is never one."
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
    TITLE = "take a separator that stands nowhere else"
    ABOUT = "Where the separator also stands inside of prompts, another takes its place at the end."


class AddStop(TextFix):
    CODE = "add-stop"
    TITLE = "end every completion with the stop sequence"
    ABOUT = (
        "Appends the stop sequence to completions that do not end with it, in the place of other"
        " known ones. The one proposed occurs in no completion."
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
    TITLE = "take a stop sequence that stands nowhere else"
    ABOUT = "Where the stop sequence also stands inside of completions, another takes its place."


class StripPromptEnd(TextFix):
    CODE = "strip-prompts"
    TITLE = "take blanks at the end of prompts away"
    ABOUT = "Blanks and tabs behind the last letter of a prompt go; line ends stay."

    def apply(self, rows: FixBatch) -> None:
        rows.prompts = [text.rstrip(_BLANKS) for text in rows.prompts]


_LEADING = (" ", "\n", "\t")
_PREFIX = FixParam("text", "the common beginning")
_KEEP = FixParam("text", "an ending that stays as it is", required=False)


def _without_prefix(texts: Sequence[str], prefix: str) -> list[str]:
    """Texts without the prefix; one that is nothing else stays whole."""
    size = len(prefix)
    return [text[size:] if text.startswith(prefix) and len(text) > size else text for text in texts]


def _lower(texts: Sequence[str], keep: str) -> list[str]:
    """Texts in small letters, but for the ending `keep`."""
    if keep == keep.lower():
        return [text.lower() for text in texts]
    size = len(keep)
    return [text[:-size].lower() + keep if text.endswith(keep) else text.lower() for text in texts]


class RemovePromptPrefix(TextFix):
    CODE = "remove-prompt-prefix"
    TITLE = "take the common beginning of prompts away"
    ABOUT = (
        "Words that begin every prompt go; no word is cut, and no prompt becomes empty. Where they"
        " name a field and what stands in it (`Item: laptop`), other data may say something else"
        " there: `--yes` leaves them, unless `--only` names this fix."
    )
    PARAMS: ClassVar = {"prefix": _PREFIX}

    def apply(self, rows: FixBatch) -> None:
        rows.prompts = _without_prefix(rows.prompts, self.text("prefix"))


class RemoveCompletionPrefix(TextFix):
    CODE = "remove-completion-prefix"
    TITLE = "take the common beginning of completions away"
    ABOUT = (
        "Words that begin every completion go, but for a leading blank. No word is cut, and no"
        " label of a classification is touched. A field with what stands in it is left by `--yes`,"
        " likewise."
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


class LowerPrompts(TextFix):
    CODE = "lowercase-prompts"
    TITLE = "write prompts in small letters"
    ABOUT = "Proposed where nine of ten letters are capitals. Questions are then asked so, too."
    PARAMS: ClassVar = {"keep": _KEEP}

    def apply(self, rows: FixBatch) -> None:
        rows.prompts = _lower(rows.prompts, self.text("keep"))


class LowerCompletions(TextFix):
    CODE = "lowercase-completions"
    TITLE = "write completions in small letters"
    ABOUT = "Proposed where nine of ten letters are capitals, and never for labels."
    PARAMS: ClassVar = {"keep": _KEEP}

    def apply(self, rows: FixBatch) -> None:
        rows.completions = _lower(rows.completions, self.text("keep"))


class AddLeadingBlank(TextFix):
    CODE = "add-leading-space"
    TITLE = "begin every completion with a blank"
    ABOUT = (
        "For the tokenizers of the legacy models, which know most words with the blank before them."
        " Not proposed for chat models."
    )

    def apply(self, rows: FixBatch) -> None:
        rows.completions = [
            text if text.startswith(_LEADING) else " " + text for text in rows.completions
        ]


# A letter of UTF-8 that was read as Windows-1252: one of C2 to F4, and what its other bytes became.
_TAIL = (
    "\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013\u2014"
    "\u2018-\u201a\u201c-\u201e\u2020-\u2022\u2026\u2030\u2039\u203a\u20ac\u2122"
)
_GARBLED = re.compile(f"(?:[\u00c2-\u00f4][{_TAIL}]{{1,3}})+")
_SUSPECTS = ("\u00c2", "\u00c3", "\u00e2\u20ac", "\u00ef\u00bb\u00bf")
_HOLES = {0x81: 0x81, 0x8D: 0x8D, 0x8F: 0x8F, 0x90: 0x90, 0x9D: 0x9D}  # no letters in cp1252


class FixMojibake(TextFix):
    CODE = "fix-mojibake"
    TITLE = "mend garbled letters"
    ABOUT = (
        "UTF-8 that was read as Windows-1252 is read again: `Ã©` becomes `é`. Only where all that"
        " looks garbled in a text turns into letters; a text in which something does not is left"
        " alone."
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


class UnifyNewlines(TextFix):
    CODE = "normalize-newlines"
    TITLE = "end lines with a line feed alone"
    ABOUT = "Carriage returns, with a line feed or alone, become line feeds."
    ALL_FORMATS = True

    def apply(self, rows: FixBatch) -> None:
        rows.prompts = list(map(self.change, rows.prompts))
        rows.completions = list(map(self.change, rows.completions))

    def change(self, text: str) -> str:
        return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


class NormalizeLabels(TextFix):
    CODE = "normalize-labels"
    TITLE = "write each label in one way"
    ABOUT = "Labels that differ by case or blanks become the one that is most frequent."
    PARAMS: ClassVar = {"labels": FixParam("labels", "for each way to write it, the label")}

    def apply(self, rows: FixBatch) -> None:
        labels = {to_nfc(label): one for label, one in self.labels("labels").items()}
        rows.completions = [labels.get(to_nfc(text), text) for text in rows.completions]


class EncodeLabels(TextFix):
    CODE = "encode-labels"
    TITLE = "let a number stand for each label"
    ABOUT = (
        "Labels of several tokens become ` 1`, ` 2`, …, which are one token each. The map stands in"
        " the plan: a run that is given it maps the answers back, in its evaluation and in"
        " `ftops complete`. A label that is not in the map is an error, never guessed."
    )
    PARAMS: ClassVar = {"labels": FixParam("labels", "for each label, what stands for it")}

    def apply(self, rows: FixBatch) -> None:
        labels = self.labels("labels")
        known = {number: number for number in labels.values()}
        known |= {to_nfc(label): number for label, number in labels.items()}
        mapped = list(map(known.get, map(to_nfc, rows.completions)))
        if None in mapped:
            for place, text, found in zip(rows.places, rows.completions, mapped, strict=True):
                if found is None:
                    reason = f"the label {quote(text)} is not in the plan's label map"
                    rows.refused.append(RowError(place, "unknown-label", reason))
        rows.completions = [
            text if found is None else found
            for text, found in zip(rows.completions, mapped, strict=True)
        ]


def invert_labels(labels: dict[str, str]) -> dict[str, str]:
    """From what stands for a label, without outer blanks, to the label: the first that has it."""
    back: dict[str, str] = {}
    for label, number in labels.items():
        back.setdefault(number.strip(), label.strip())
    return back
