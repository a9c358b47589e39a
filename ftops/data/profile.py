"""The profile of a data set, from its first rows: format, separator, stop, token limit."""

from collections.abc import Collection, Sequence
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
# other common separators: recognised, never proposed
OTHER_SEPARATORS = (
    "\n\n###", "\n###\n", "###", "\n\n===", "\n\n---", "->", "-->", "--->", "=>", "==>", "===>",
    ">>>", "\n\n",
)  # fmt: skip
_MOST_SHARE = 0.8
MAX_LABELS = 1000
_MAX_LABEL_CHARS = 64
_ROWS_PER_LABEL = 3


@dataclass(frozen=True, slots=True)
class TokenLimit:
    """The vocabulary of the model and its limit of tokens per row.

    `folders` may hold vocabulary files. "" and None mean unknown.
    """

    limit: int | None = None
    vocabulary: str = ""
    folders: tuple[str, ...] = ()


NO_TOKEN_LIMIT = TokenLimit()


@dataclass(frozen=True, slots=True)
class DatasetProfile:
    """The format and the common endings of rows, and the settings of checks.

    `separator` and `stop` are the common endings of prompts and completions, "" for none. `common`
    are the shingles that many prompts share (`screening/minhash.py`), for the check of
    near-duplicates. `field_lists` is the share of prompts that are names with values rather than
    sentences. `words` is the list of the word-list check.
    """

    format: RowFormat | None = None
    separator: str = ""
    stop: str = ""
    token_limit: TokenLimit = NO_TOKEN_LIMIT
    common: tuple[int, ...] = ()
    field_lists: float = 0.0
    words: WordList = NO_WORDS


def create_profile(batches: Sequence[RowBatch]) -> DatasetProfile:
    """The profile of the first rows."""
    prompts: list[str] = []
    completions: list[str] = []
    row_format = None
    for batch in batches:
        row_format = row_format or (batch.format if batch.raws else None)
        left = PROFILED_ROWS - len(prompts)
        prompts += batch.prompts[:left]
        completions += batch.completions[:left]
    if row_format is not RowFormat.COMPLETION:
        return DatasetProfile(row_format)
    stop = ""
    # labels share an ending only if it is a known stop sequence
    if not are_labels(set(completions), len(completions)) or any(
        all(text.endswith(known) for text in completions) for known in STOPS
    ):
        stop = get_common_ending(completions, STOPS)
    separator = get_common_ending(prompts, SEPARATORS + OTHER_SEPARATORS)
    lists = get_field_list_share(prompts, separator)
    return DatasetProfile(row_format, separator, stop, field_lists=lists)


def get_removable_markers(profile: DatasetProfile) -> tuple[str, str]:
    """The separator and the stop sequence that may be removed from texts; "" for none.

    White space counts only next to a visible separator: elsewhere it may be content.
    """
    separator = profile.separator if profile.separator.strip() else ""
    return separator, profile.stop if separator or profile.stop.strip() else ""


def may_be_labels(completions: Collection[str]) -> bool:
    """Whether the distinct completions are at most 1,000, each at most 64 characters long."""
    return 0 < len(completions) <= MAX_LABELS and all(
        len(label) <= _MAX_LABEL_CHARS for label in completions
    )


def are_labels(completions: Collection[str], rows: int) -> bool:
    """Whether the distinct completions of `rows` rows are labels: few, short and repeated.

    Each occurs in three rows or more on average.
    """
    enough = rows > _ROWS_PER_LABEL and len(completions) * _ROWS_PER_LABEL <= rows
    return enough and may_be_labels(completions)


def get_common_ending(texts: Sequence[str], known: Sequence[str]) -> str:
    """The known ending of at least four of five texts, with a space after it if they have one.

    "" when there is none. Unknown endings (words, tags, punctuation) are content.
    """
    enough = max(min(2, len(texts)), len(texts) * _MOST_SHARE)
    with_blanks = [f"{mark} " for mark in known if mark.strip()]
    for mark in sorted([*with_blanks, *known], key=len, reverse=True):
        if sum(text.endswith(mark) for text in texts) >= enough > 0:
            return mark
    return ""


def get_common_prefix(texts: Sequence[str]) -> str:
    """The longest common prefix."""
    first, last = min(texts), max(texts)
    for size, (left, right) in enumerate(zip(first, last, strict=False)):
        if left != right:
            return first[:size]
    return first
