"""A reader of server-sent events that forgives nothing: the WHATWG's format, and no more than that.

https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

import re

_LINE_END = re.compile("\r\n|\n|\r")  # not str.splitlines, which knows eight more


def read_events(content: bytes) -> list[str]:
    """The data of each event of a whole stream; ValueError for anything that is none."""
    lines = _LINE_END.split(content.decode("utf-8"))
    if lines.pop():
        raise ValueError("the stream ends within a line")
    events: list[str] = []
    data: list[str] = []
    for line in lines:
        if not line:
            if data:
                events.append("\n".join(data))
            data = []
        elif not line.startswith(":"):
            name, colon, value = line.partition(":")
            if name != "data" or not colon:
                raise ValueError(f"not a field that the engine should send: {line!r}")
            data.append(value.removeprefix(" "))
    if data:
        raise ValueError("the stream ends within an event")
    return events
