"""The check for rows that a moderation endpoint flags; their texts are not shown."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias, cast

from ftops.data.batch_parser import BatchParser, RowBatch
from ftops.data.findings import (
    Finding,
    Occurrences,
    Rule,
    Severity,
    create_finding,
    format_occurrences,
    format_rows,
)
from ftops.data.reading.source import Source
from ftops.records import RowFormat
from ftops.rows.formats import COMPLETION, OUTPUTS, PREFERENCE
from ftops.rows.messages import JsonObject, message_text

FLAGGED = Rule(
    "flagged-content", Severity.WARNING, "content flagged by moderation",
    "With `--moderate`, the texts of the rows are sent to the provider's moderation endpoint, which"
    " returns categories such as violence or harassment. Each text of a row is checked: prompt,"
    " messages, completion, both answers of a preference; names and tool calls are not sent. A"
    " provider that flags such rows may reject the data, or the trained model after you paid for"
    " the training. A text that passes may still be rejected after the training.",
    "Read these rows and remove harmful content; a text that only describes harm can stay.",
)  # fmt: skip

# The categories that each row falls under, by its texts.
Moderate: TypeAlias = Callable[[Iterable[Sequence[str]]], list[frozenset[str]]]


def check_moderation(source: Source, moderate: Moderate) -> Iterator[Finding]:
    """Findings for the flagged rows of a source, which is read once, a batch at a time."""
    rows = Occurrences()
    categories: dict[str, Occurrences] = {}
    parser = BatchParser(unit=source.unit)
    for batch in source.batches():
        parsed = parser.parse(batch)
        texts = map(list_row_texts, [parsed.format] * len(parsed.raws), parsed.raws)
        _count(parsed, moderate(texts), rows, categories)
    if rows.count:
        ranked = sorted(categories.items(), key=lambda item: (-item[1].count, item[0]))
        shown = ", ".join(format_occurrences(name, seen, source.unit) for name, seen in ranked)
        yield create_finding(FLAGGED, f"{format_rows(rows.count)}: {shown}", rows)


def list_row_texts(format: RowFormat, raw: JsonObject) -> list[str]:
    """All texts of a good row."""
    if format is COMPLETION:
        return [cast(str, raw["prompt"]), cast(str, raw["completion"])]
    if format is PREFERENCE:
        messages = list(cast("dict[str, list[JsonObject]]", raw["input"])["messages"])
        for key in OUTPUTS:
            messages += cast("list[JsonObject]", raw[key])
    else:
        messages = cast("list[JsonObject]", raw["messages"])
    return [message_text(message) for message in messages]


def _count(
    batch: RowBatch,
    verdicts: list[frozenset[str]],
    rows: Occurrences,
    categories: dict[str, Occurrences],
) -> None:
    for place, names in zip(batch.places, verdicts, strict=True):
        if names:
            rows.add(place)
        for name in names:
            categories.setdefault(name, Occurrences()).add(place)
