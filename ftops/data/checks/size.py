"""Whether there are enough rows."""

from collections.abc import Iterator
from itertools import compress
from typing import Self, cast

from ftops.data.batch_parser import RowBatch
from ftops.data.checks.check import OPEN_ENDED, Check, CheckContext, DataTarget
from ftops.data.findings import (
    Finding,
    Occurrences,
    Rule,
    Severity,
    create_finding,
    format_rows,
)
from ftops.data.profile import DatasetProfile, TokenLimit
from ftops.data.rows import Row
from ftops.data.tokens.counter import VocabularyCounter, format_method, open_counter
from ftops.data.tokens.segments import split_row
from ftops.records import RowFormat
from ftops.rows.messages import JsonObject

NO_ROWS = Rule(
    "no-rows", Severity.ERROR, "no rows", "The source holds no row that could be used.",
    "One JSON object a line is a row; in a table, each row below the header is one.",
)  # fmt: skip
TOO_FEW = Rule(
    "too-few-rows", Severity.ERROR, "too few rows",
    "Fewer rows than the provider takes: under 10, most refuse the job.", "Add rows.",
)  # fmt: skip
FEW = Rule(
    "few-rows", Severity.WARNING, "few rows",
    "A few hundred rows are where fine-tuning begins to pay; each doubling of good rows makes about"
    " the same step forward.",
    "Add rows: twice as many is the step that shows.",
)  # fmt: skip
WRONG_SHAPE = Rule(
    "wrong-format", Severity.WARNING, "not the shape that the model wants",
    "Chat models are trained on chats, the others on prompt and completion. `ftops run` turns pairs"
    " into chats; chats cannot be turned into pairs without guessing.",
    "Convert the rows, or name a model that takes them.",
)  # fmt: skip
_ENOUGH = 200


def check_row_count(rows: int, target: DataTarget) -> Iterator[Finding]:
    """What there is to say of so many rows."""
    if not rows:
        yield create_finding(NO_ROWS, "no row can be used")
    elif rows < target.min_rows:
        text = f"{format_rows(rows)}, and {target.provider} wants {target.min_rows} or more"
        text = text.replace("most providers wants", "most providers want")
        yield create_finding(TOO_FEW, text)
    elif rows < _ENOUGH:
        yield create_finding(FEW, f"{format_rows(rows)}; from {_ENOUGH} on it begins to pay")


ROW_COUNT_CODES = frozenset({NO_ROWS.code, TOO_FEW.code, FEW.code})


class RowCount(Check):
    """Counts good rows."""

    RULES = (NO_ROWS, TOO_FEW, FEW, WRONG_SHAPE)

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
            yield create_finding(WRONG_SHAPE, f"{found} rows, and {model} takes {wanted} rows")


# Tokens are counted of few rows in few files: their modules are imported where that is done.

_W, _A = Severity.WARNING, Severity.ADVICE
LONG = Rule(
    "over-limit", _W, "row longer than the model reads",
    "A row of more tokens than the model takes is cut: OpenAI cuts its end, the built-in engine its"
    " beginning. What is cut is paid for or lost, and an answer without its end is learned as it"
    " is. Tokens are counted with the model's own vocabulary where that is at hand; else only rows"
    " that are over by every estimate are named.",
    "Shorten the rows, cut them into several, or name a model that reads more.",
)  # fmt: skip
SHORT = Rule(
    "very-short", _A, "hardly any text",
    "Rows with fewer than six characters are often what is left of a cell that was cut.",
    "Look at these rows.",
)  # fmt: skip
SILENT = Rule(
    "empty-prompts", _W, "prompts that say nothing",
    "Some prompts are empty, or nothing but blanks and the separator, and others are not: nothing"
    " tells the model why it should answer so.",
    "Fill the prompts in, or drop the rows.",
)  # fmt: skip
NOTHING = Rule(
    "no-trained-message", _W, "nothing of the row is learned",
    "Every message of the assistant has the weight 0, so the row costs and teaches nothing.",
    "Give the answer that should be learned the weight 1, or drop the rows.",
)  # fmt: skip
LITTLE = Rule(
    "few-trained-characters", _A, "little of the text is learned",
    "Less than a hundredth of the text is completions. All of it is read, and paid for, in every"
    " epoch.",
    "Shorten the prompts: leave out what the answer does not depend on.",
)  # fmt: skip
_SHORTEST = 6
_LEARNED_SHARE = 0.01
_BYTES_A_CHARACTER = 4  # at most, and no token is less than a byte


class Lengths(Check):
    """Looks at lengths; only rows that may be over the limit are counted in tokens."""

    RULES = (LONG, SHORT, SILENT, NOTHING, LITTLE)

    @staticmethod
    def open_counter(token_limit: TokenLimit) -> VocabularyCounter:
        """Whoever counts the tokens of rows that may be too long."""
        return open_counter(token_limit)

    def __init__(self, profile: DatasetProfile) -> None:
        self._gauge = profile.token_limit
        self._marks = len(profile.separator) + len(profile.stop)
        self._separator = profile.separator
        self._rows = 0
        self._long = Occurrences()
        self._filled = 0  # rows whose prompt alone is over the limit
        self._short = Occurrences()
        self._silent = Occurrences()
        self._nothing = Occurrences()
        self._characters = 0
        self._learned = 0

    def add(self, batch: RowBatch) -> None:
        if not batch.raws:
            return
        self._rows += len(batch.raws)
        lengths = batch.row_lengths()
        if batch.format is RowFormat.COMPLETION:
            self._characters += sum(lengths)
            self._learned += sum(batch.completion_lengths())
        if min(lengths) < _SHORTEST + self._marks:
            self._add_short(batch, lengths)
        if min(batch.prompt_lengths()) <= len(self._separator) + _SHORTEST:
            self._add_silent(batch)
        if batch.format is RowFormat.CHAT:
            for raw, place in zip(batch.raws, batch.places, strict=True):
                if _learns_nothing(cast("list[JsonObject]", raw["messages"])):
                    self._nothing.add(place)
        limit = self._gauge.limit
        if limit is not None and max(lengths) * _BYTES_A_CHARACTER > limit:
            self._add_long(batch, lengths, limit)

    def _add_short(self, batch: RowBatch, lengths: list[int]) -> None:
        flags = [length < _SHORTEST + self._marks for length in lengths]
        self._short.add_where(flags, batch.places)

    def _add_silent(self, batch: RowBatch) -> None:
        mark = self._separator
        flags = [not prompt.removesuffix(mark).strip() for prompt in batch.prompts]
        self._silent.add_where(flags, batch.places)

    def _add_long(self, batch: RowBatch, lengths: list[int], limit: int) -> None:
        widest = 1 if batch.prompt_text().isascii() and batch.completion_text().isascii() else 4
        may_be = [length * widest > limit for length in lengths]
        if not any(may_be):
            return
        counter = self.open_counter(self._gauge)
        least = limit / (1 - counter.error)  # over by the estimate, however far that is off
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
            (self._silent, later._silent),
            (self._nothing, later._nothing),
        ):
            mine.merge(other, shift)
        self._filled += later._filled
        self._characters += later._characters
        self._learned += later._learned

    def findings(self, context: CheckContext) -> Iterator[Finding]:
        if self._long.count:
            yield create_finding(LONG, self._say_long(), self._long)
        if self._short.count:
            yield create_finding(SHORT, f"{format_rows(self._short.count)}", self._short)
        if self._silent.count and context.task != OPEN_ENDED and self._silent.count < self._rows:
            yield create_finding(SILENT, f"{format_rows(self._silent.count)}", self._silent)
        if self._nothing.count:
            yield create_finding(NOTHING, f"{format_rows(self._nothing.count)}", self._nothing)
        if self._learned < _LEARNED_SHARE * self._characters:
            share = self._learned / self._characters
            yield create_finding(LITTLE, f"{share:.1%} of the characters are completions")

    def _say_long(self) -> str:
        counter = self.open_counter(self._gauge)
        are = "row is" if self._long.count == 1 else "rows are"
        how = format_method(counter.method, counter.error)
        text = f"{self._long.count:,} {are} longer than {self._gauge.limit:,} tokens ({how})"
        if self._filled:
            text += f"; the prompt alone fills that in {self._filled:,}"
        return text


def _count_tokens(row: Row, counter: VocabularyCounter) -> tuple[int, int]:
    """The tokens before the last piece of a row, and those of the last."""
    pieces = split_row(row)
    *before, last = (
        count + piece.marks
        for count, piece in zip(
            counter.count([piece.text for piece in pieces]), pieces, strict=True
        )
    )
    return sum(before), last


def _learns_nothing(messages: list[JsonObject]) -> bool:
    if messages[-1].get("weight", 1) != 0:
        return False
    return not any(
        message["role"] == "assistant" and message.get("weight", 1) != 0 for message in messages
    )
