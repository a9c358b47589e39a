"""Server-sent events as the legacy protocol sends them: each line `data: …` is one whole event.

Other lines (comments that keep the connection alive, `event:`, `id:`, blank ones) mean nothing
there. A line counts once its end has come, so what a cut leaves of a line is never taken for one.
"""

import re
from collections.abc import Iterable, Iterator

from ftops.errors import BadAnswer

MAX_LINE_BYTES = 1 << 20
_LINE_END = re.compile(rb"[\r\n]")
_BOM = b"\xef\xbb\xbf"


def read_data(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """What stands behind `data:` on each whole line, wherever the bytes were cut into pieces.

    BadAnswer for a line that does not end within MAX_LINE_BYTES.
    """
    rest = b""
    for piece in pieces:
        *lines, rest = _LINE_END.split(rest + piece)
        for line in lines:
            line = line.removeprefix(_BOM)
            if line.startswith(b"data:"):
                yield line.removeprefix(b"data:").removeprefix(b" ")
        if len(rest) > MAX_LINE_BYTES:
            raise BadAnswer(f"a line of the event stream is longer than {MAX_LINE_BYTES} bytes")
