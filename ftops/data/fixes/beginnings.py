"""How prompts and completions begin, and in which letters they are written."""

from collections.abc import Sequence
from typing import ClassVar

from ftops.data.fixes.protocol import Portion, TextFix, Value

_LEADING = (" ", "\n", "\t")
_PREFIX = Value("text", "the common beginning")
_KEEP = Value("text", "an ending that stays as it is", required=False)


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
    VALUES: ClassVar = {"prefix": _PREFIX}

    def apply(self, portion: Portion) -> None:
        portion.prompts = _without_prefix(portion.prompts, self.text("prefix"))


class RemoveCompletionPrefix(TextFix):
    CODE = "remove-completion-prefix"
    TITLE = "take the common beginning of completions away"
    ABOUT = (
        "Words that begin every completion go, but for a leading blank. No word is cut, and no"
        " label of a classification is touched. A field with what stands in it is left by `--yes`,"
        " likewise."
    )
    VALUES: ClassVar = {"prefix": _PREFIX}

    def apply(self, portion: Portion) -> None:
        prefix = self.text("prefix")
        shorter = _without_prefix(portion.completions, prefix)
        if not prefix.startswith(_LEADING):
            portion.completions = shorter
            return
        portion.completions = [
            new if new is old or new.startswith(_LEADING) else prefix[0] + new
            for old, new in zip(portion.completions, shorter, strict=True)
        ]


class LowerPrompts(TextFix):
    CODE = "lowercase-prompts"
    TITLE = "write prompts in small letters"
    ABOUT = "Proposed where nine of ten letters are capitals. Questions are then asked so, too."
    VALUES: ClassVar = {"keep": _KEEP}

    def apply(self, portion: Portion) -> None:
        portion.prompts = _lower(portion.prompts, self.text("keep"))


class LowerCompletions(TextFix):
    CODE = "lowercase-completions"
    TITLE = "write completions in small letters"
    ABOUT = "Proposed where nine of ten letters are capitals, and never for labels."
    VALUES: ClassVar = {"keep": _KEEP}

    def apply(self, portion: Portion) -> None:
        portion.completions = _lower(portion.completions, self.text("keep"))


class AddLeadingBlank(TextFix):
    CODE = "add-leading-space"
    TITLE = "begin every completion with a blank"
    ABOUT = (
        "For the tokenizers of the legacy models, which know most words with the blank before them."
        " Not proposed for chat models."
    )

    def apply(self, portion: Portion) -> None:
        portion.completions = [
            text if text.startswith(_LEADING) else " " + text for text in portion.completions
        ]
