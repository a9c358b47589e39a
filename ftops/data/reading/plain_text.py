"""Plain text: each line is a completion without a prompt."""

from ftops.data.reading.batches import Batch, Batches, Fault
from ftops.data.reading.json_text import long_fault
from ftops.data.reading.lines import split_lines
from ftops.data.reading.streams import Pieces


def read_plain_text(pieces: Pieces) -> Batches:
    """A record a line, but for blank lines at the end."""
    blank = 0
    for number, lines in split_lines(pieces):
        batch = Batch([], places := [])
        for place, line in enumerate(lines, number):
            if line is None:
                batch.faults.append(long_fault(place))
                continue
            if not line or line.isspace():
                blank += 1
                continue
            if blank:
                fault = Fault(place - blank, "blank-line", "the line is blank", blank)
                batch.faults.append(fault)
                blank = 0
            try:
                text = line.removesuffix(b"\r").decode()
            except UnicodeDecodeError as error:
                byte = f"byte 0x{line[error.start]:02x} at byte {error.start + 1} of the line"
                batch.faults.append(Fault(place, "not-utf8", f"not UTF-8: {byte}"))
                continue
            batch.values.append({"prompt": "", "completion": text})
            places.append(place)
        yield batch
