"""How prompts and completions end: the separator, and the stop sequence."""

from collections.abc import Sequence
from typing import ClassVar

from ftops.data.fixes.protocol import Portion, TextFix, Value

_BLANKS = " \t\u00a0\u3000"
_OLD = Value("texts", "endings in whose place it is put", required=False)


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
    VALUES: ClassVar = {
        "separator": Value("text", "what every prompt ends with"),
        "instead_of": _OLD,
    }

    def apply(self, portion: Portion) -> None:
        mark, old = self.text("separator"), self.texts("instead_of")
        portion.prompts = end_with(portion.prompts, mark, old)


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
    VALUES: ClassVar = {
        "stop": Value("text", "what every completion ends with"),
        "instead_of": _OLD,
    }

    def apply(self, portion: Portion) -> None:
        mark, old = self.text("stop"), self.texts("instead_of")
        portion.completions = end_with(portion.completions, mark, old)


class ReplaceStop(AddStop):
    CODE = "replace-stop"
    TITLE = "take a stop sequence that stands nowhere else"
    ABOUT = "Where the stop sequence also stands inside of completions, another takes its place."


class StripPromptEnd(TextFix):
    CODE = "strip-prompts"
    TITLE = "take blanks at the end of prompts away"
    ABOUT = "Blanks and tabs behind the last letter of a prompt go; line ends stay."

    def apply(self, portion: Portion) -> None:
        portion.prompts = [text.rstrip(_BLANKS) for text in portion.prompts]
