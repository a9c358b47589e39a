"""What the first rows look like, so that one pass over all of them can count the exceptions."""

from collections.abc import Sequence
from dataclasses import dataclass

from ftops.data.batch_parser import RowBatch
from ftops.data.screening.word_list import NO_WORDS, WordList
from ftops.data.words import get_field_list_share
from ftops.records import RowFormat

PROFILED_ROWS = 400
SEPARATORS = (
    "\n\n###\n\n", "\n\n===\n\n", "\n\n---\n\n", "\n\n===>\n\n", "\n\n--->\n\n", "\n\n### =>\n\n",
    " ->",
)  # fmt: skip
STOPS = ("\n", " END", "###", "***", "+++", "&&&", "$$$", "@@@", "%%%", " [END]")
# what other tools and people end prompts with; it is known, and never proposed
OTHER_SEPARATORS = (
    "\n\n###", "\n###\n", "###", "\n\n===", "\n\n---", "->", "-->", "--->", "=>", "==>", "===>",
    ">>>", "\n\n",
)  # fmt: skip
_MOST_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class TokenLimit:
    """The model reads by `vocabulary` and at most `limit` tokens a row; vocabularies may lie in
    `folders`. "" and None are for what is not known.
    """

    limit: int | None = None
    vocabulary: str = ""
    folders: tuple[str, ...] = ()


NO_TOKEN_LIMIT = TokenLimit()


@dataclass(frozen=True, slots=True)
class DatasetProfile:
    """The shape of the rows, how most prompts and completions end ("" for in no one way), and what
    rows are measured by.

    `common` are the runs of letters that many prompts hold (`screening/sketches.py`), where
    somebody asked for texts that are nearly the same. `field_lists` is the share of prompts that
    are names with values rather than sentences. `words` are those that somebody looks for.
    """

    format: RowFormat | None = None
    separator: str = ""
    stop: str = ""
    token_limit: TokenLimit = NO_TOKEN_LIMIT
    common: tuple[int, ...] = ()
    field_lists: float = 0.0
    words: WordList = NO_WORDS


def create_profile(batches: Sequence[RowBatch]) -> DatasetProfile:
    """Look at the first rows."""
    prompts: list[str] = []
    completions: list[str] = []
    row_format = None
    for batch in batches:
        row_format = row_format or (batch.format if batch.raws else None)
        room = PROFILED_ROWS - len(prompts)
        prompts += batch.prompts[:room]
        completions += batch.completions[:room]
    if row_format is not RowFormat.COMPLETION:
        return DatasetProfile(row_format)
    stop = ""
    if not _few_different(completions):
        stop = get_common_ending(completions, STOPS)
    separator = get_common_ending(prompts, SEPARATORS + OTHER_SEPARATORS)
    lists = get_field_list_share(prompts, separator)
    return DatasetProfile(row_format, separator, stop, field_lists=lists)


def get_removable_markers(profile: DatasetProfile) -> tuple[str, str]:
    """The separator and the stop sequence that may be taken off texts; "" for none.

    White space is a mark only beside a separator that can be seen: elsewhere it may be content.
    """
    separator = profile.separator if profile.separator.strip() else ""
    return separator, profile.stop if separator or profile.stop.strip() else ""


def _few_different(completions: Sequence[str]) -> bool:
    """Whether they look like labels: then a common ending is one only if it is a known sign."""
    return len(set(completions)) * 3 < len(completions) and not any(
        all(text.endswith(stop) for text in completions) for stop in STOPS
    )


def get_common_ending(texts: Sequence[str], known: Sequence[str]) -> str:
    """The known mark that at least four of five texts end with, with a blank behind it if there is
    one; "" when there is none.

    No other ending is ever taken for one: words, tags and punctuation that texts share are content.
    """
    enough = max(min(2, len(texts)), len(texts) * _MOST_SHARE)
    with_blanks = [f"{mark} " for mark in known if mark.strip()]
    for mark in sorted([*with_blanks, *known], key=len, reverse=True):
        if sum(text.endswith(mark) for text in texts) >= enough > 0:
            return mark
    return ""


def get_common_prefix(texts: Sequence[str]) -> str:
    """What all of them begin with."""
    first, last = min(texts), max(texts)
    for size, (one, other) in enumerate(zip(first, last, strict=False)):
        if one != other:
            return first[:size]
    return first
