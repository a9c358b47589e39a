"""JSON lines: one JSON value a line, parsed by orjson.

orjson refuses NaN, lone surrogates and bad UTF-8. Blank lines are faults, but at the end.
"""

from collections.abc import Iterable

import orjson

from ftops.data.reading.batches import Batch, Batches, Fault
from ftops.data.reading.json_text import long_fault, syntax_fault
from ftops.data.reading.lines import split_lines


def read_json_lines(pieces: Iterable[bytes]) -> Batches:
    """A batch for each piece of the UTF-8 text `pieces`."""
    blank = 0  # lines before the next one, which alone makes them faults
    for number, lines in split_lines(pieces):
        try:
            values: list[object] = list(map(orjson.loads, lines))  # type: ignore[arg-type]
        except orjson.JSONDecodeError:  # a blank or missing line ends up here, too
            batch, blank = _parse_each(number, lines, blank)
            yield batch
            continue
        batch = Batch(values, range(number, number + len(lines)), lines)  # type: ignore[arg-type]
        if blank:
            batch.faults.append(_blank_fault(number, blank))
            blank = 0
        yield batch


def _parse_each(number: int, lines: Iterable[bytes | None], blank: int) -> tuple[Batch, int]:
    batch = Batch([], places := [], kept := [])
    for place, line in enumerate(lines, number):
        if line is not None and (not line or line.isspace()):
            blank += 1
            continue
        if blank:
            batch.faults.append(_blank_fault(place, blank))
            blank = 0
        if line is None:
            batch.faults.append(long_fault(place))
            continue
        try:
            batch.values.append(orjson.loads(line))
        except orjson.JSONDecodeError as error:
            batch.faults.append(syntax_fault(place, line, error))
            continue
        places.append(place)
        kept.append(line)
    return batch, blank


def _blank_fault(after: int, count: int) -> Fault:
    return Fault(after - count, "blank-line", "the line is blank", count)
