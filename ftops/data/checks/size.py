"""Checks of the number of rows and of their lengths."""

from collections.abc import Iterator
from itertools import compress
from typing import Self, cast

from ftops.data.batch_parser import RowBatch
from ftops.data.checks.check import OPEN_ENDED, Check, CheckContext, DataTarget
from ftops.data.findings import Finding, Occurrences, Rule, Severity, create_finding, format_rows
from ftops.data.profile import DatasetProfile, TokenLimit
from ftops.data.rows import Row
from ftops.data.tokens.counter import VocabularyCounter, format_method, open_counter
from ftops.data.tokens.segments import split_row
from ftops.records import RowFormat
from ftops.rows.messages import JsonObject

NO_ROWS = Rule(
    "no-rows", Severity.ERROR, "no rows", "The source has no usable row.",
    "Write one JSON object per line; in a table, each row below the header is one row.",
)  # fmt: skip
TOO_FEW = Rule(
    "too-few-rows", Severity.ERROR, "too few rows",
    "There are fewer rows than the provider accepts. Most reject jobs with fewer than 10.",
    "Add rows.",
)  # fmt: skip
FEW = Rule(
    "few-rows", Severity.WARNING, "few rows",
    "Fine-tuning usually needs a few hundred rows to help. Each doubling of good rows then improves"
    " the model by a similar amount.",
    "Add rows; double their number to see an effect.",
)  # fmt: skip
WRONG_FORMAT = Rule(
    "wrong-format", Severity.WARNING, "row format that the model does not take",
    "Chat models are trained on chats, other models on prompts and completions. `ftops run`"
    " converts completion rows to chats. Chats cannot be converted to completion rows.",
    "Convert the rows, or choose a model that takes them.",
)  # fmt: skip
_ENOUGH = 200


def check_row_count(rows: int, target: DataTarget) -> Iterator[Finding]:
    """The findings for a number of rows."""
    if not rows:
        yield create_finding(NO_ROWS, "no row can be used")
    elif rows < target.min_rows:
        text = f"{format_rows(rows)}; the minimum of {target.provider} is {target.min_rows}"
        yield create_finding(TOO_FEW, text)
    elif rows < _ENOUGH:
        yield create_finding(
            FEW, f"{format_rows(rows)}; fine-tuning usually needs {_ENOUGH} or more"
        )


ROW_COUNT_CODES = frozenset({NO_ROWS.code, TOO_FEW.code, FEW.code})


class RowCount(Check):
    """Counts valid rows."""

    RULES = (NO_ROWS, TOO_FEW, FEW, WRONG_FORMAT)

    def __init__(self, profile: DatasetProfile) -> None:
        self._rows = 0

    def add(self, batch: RowBatch) -> None:
        self._rows += len(batch.raws)

    def merge(self, later: Self, shift: int) -> None:
        self._rows += later._rows

    def findings(self, context: CheckContext) -> Iterator[Finding]:
        yield from check_row_count(self._rows, context.target)
        if not self._rows:
            return
        wanted, found = context.target.row_format, context.profile.format
        taken = (wanted, RowFormat.PREFERENCE) if wanted is RowFormat.CHAT else (wanted,)
        if wanted is not None and found is not None and found not in taken:
            model = context.target.model or context.target.provider
            yield create_finding(WRONG_FORMAT, f"{found} rows, and {model} takes {wanted} rows")


# The modules that count tokens are imported on first use: few files have rows that need it.

_W, _A = Severity.WARNING, Severity.ADVICE
LONG = Rule(
    "over-limit", _W, "row over the token limit",
    "A row with more tokens than the model accepts is truncated: OpenAI drops its end, the built-in"
    " engine its beginning. The truncated part is paid for or lost, and the model learns an"
    " incomplete answer. Tokens are counted with the model's vocabulary where it is available;"
    " otherwise only rows over the limit by every estimate are reported.",
    "Shorten the rows, split them, or choose a model with a larger context.",
)  # fmt: skip
SHORT = Rule(
    "very-short", _A, "very short row",
    "Rows with fewer than six characters are often the rest of a truncated cell.",
    "Review these rows.",
)  # fmt: skip
EMPTY_PROMPT = Rule(
    "empty-prompts", _W, "empty prompts",
    "Some prompts are empty or consist of white space and the separator, and others do not. Nothing"
    " in them determines the answer.",
    "Fill in the prompts, or drop the rows.",
)  # fmt: skip
UNTRAINED = Rule(
    "no-trained-message", _W, "no message is trained on",
    "Every assistant message has the weight 0, so the row adds cost and trains nothing.",
    "Set the weight of the answer to 1, or drop the rows.",
)  # fmt: skip
FEW_TRAINED = Rule(
    "few-trained-characters", _A, "completions are a small share of the text",
    "Less than 1 % of the text is completions. All of it is processed, and paid for, in every"
    " epoch.",
    "Shorten the prompts: remove what the answer does not depend on.",
)  # fmt: skip
_SHORTEST = 6
_LEARNED_SHARE = 0.01
_BYTES_A_CHARACTER = 4  # at most; each token has at least one byte


class Lengths(Check):
    """Checks lengths; tokens are counted only for rows that may exceed the limit."""

    RULES = (LONG, SHORT, EMPTY_PROMPT, UNTRAINED, FEW_TRAINED)

    @staticmethod
    def open_counter(token_limit: TokenLimit) -> VocabularyCounter:
        """The counter for rows that may be over the limit."""
        return open_counter(token_limit)

    def __init__(self, profile: DatasetProfile) -> None:
        self._token_limit = profile.token_limit
        self._marks = len(profile.separator) + len(profile.stop)
        self._separator = profile.separator
        self._rows = 0
        self._long = Occurrences()
        self._filled = 0  # rows whose prompt alone exceeds the limit
        self._short = Occurrences()
        self._empty = Occurrences()
        self._untrained = Occurrences()
        self._chars = 0
        self._trained_chars = 0

    def add(self, batch: RowBatch) -> None:
        if not batch.raws:
            return
        self._rows += len(batch.raws)
        lengths = batch.row_lengths()
        if batch.format is RowFormat.COMPLETION:
            self._chars += sum(lengths)
            self._trained_chars += sum(batch.completion_lengths())
        if min(lengths) < _SHORTEST + self._marks:
            self._add_short(batch, lengths)
        if min(batch.prompt_lengths()) <= len(self._separator) + _SHORTEST:
            self._add_empty(batch)
        if batch.format is RowFormat.CHAT:
            for raw, place in zip(batch.raws, batch.places, strict=True):
                if _is_untrained(cast("list[JsonObject]", raw["messages"])):
                    self._untrained.add(place)
        limit = self._token_limit.limit
        if limit is not None and max(lengths) * _BYTES_A_CHARACTER > limit:
            self._add_long(batch, lengths, limit)

    def _add_short(self, batch: RowBatch, lengths: list[int]) -> None:
        flags = [length < _SHORTEST + self._marks for length in lengths]
        self._short.add_where(flags, batch.places)

    def _add_empty(self, batch: RowBatch) -> None:
        mark = self._separator
        flags = [not prompt.removesuffix(mark).strip() for prompt in batch.prompts]
        self._empty.add_where(flags, batch.places)

    def _add_long(self, batch: RowBatch, lengths: list[int], limit: int) -> None:
        widest = 1 if batch.prompt_text().isascii() and batch.completion_text().isascii() else 4
        may_be = [length * widest > limit for length in lengths]
        if not any(may_be):
            return
        counter = self.open_counter(self._token_limit)
        least = limit / (1 - counter.error)  # certainly over the limit
        for raw, place in compress(zip(batch.raws, batch.places, strict=True), may_be):
            prompt, answer = _count_tokens(Row(place, batch.format, raw), counter)
            if prompt + answer > least:
                self._long.add(place)
                self._filled += prompt >= least

    def merge(self, later: Self, shift: int) -> None:
        self._rows += later._rows
        for mine, other in (
            (self._long, later._long),
            (self._short, later._short),
            (self._empty, later._empty),
            (self._untrained, later._untrained),
        ):
            mine.merge(other, shift)
        self._filled += later._filled
        self._chars += later._chars
        self._trained_chars += later._trained_chars

    def findings(self, context: CheckContext) -> Iterator[Finding]:
        if self._long.count:
            yield create_finding(LONG, self._say_long(), self._long)
        if self._short.count:
            yield create_finding(SHORT, f"{format_rows(self._short.count)}", self._short)
        if self._empty.count and context.task != OPEN_ENDED and self._empty.count < self._rows:
            yield create_finding(EMPTY_PROMPT, f"{format_rows(self._empty.count)}", self._empty)
        if self._untrained.count:
            yield create_finding(
                UNTRAINED, f"{format_rows(self._untrained.count)}", self._untrained
            )
        if self._trained_chars < _LEARNED_SHARE * self._chars:
            share = self._trained_chars / self._chars
            yield create_finding(FEW_TRAINED, f"{share:.1%} of the characters are completions")

    def _say_long(self) -> str:
        counter = self.open_counter(self._token_limit)
        are = "row is" if self._long.count == 1 else "rows are"
        how = format_method(counter.method, counter.error)
        text = f"{self._long.count:,} {are} longer than {self._token_limit.limit:,} tokens ({how})"
        if self._filled:
            text += f"; the prompt alone fills that in {self._filled:,}"
        return text


def _count_tokens(row: Row, counter: VocabularyCounter) -> tuple[int, int]:
    """The tokens before the last segment of a row, and those of the last segment."""
    pieces = split_row(row)
    *before, last = (
        count + piece.marks
        for count, piece in zip(
            counter.count([piece.text for piece in pieces]), pieces, strict=True
        )
    )
    return sum(before), last


def _is_untrained(messages: list[JsonObject]) -> bool:
    if messages[-1].get("weight", 1) != 0:
        return False
    return not any(
        message["role"] == "assistant" and message.get("weight", 1) != 0 for message in messages
    )
