"""Records what became of each operation of a script, in the file that its argument names."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_OUTCOMES: dict[str, str | None] = {}
KEPT: dict[str, Any] = {}  # what later operations need
COLOURS = ("red", "green", "blue")


def attempt(name: str) -> Callable[[Callable[[], None]], None]:
    """Run the operation now, and record its outcome: None if it passed, else what was wrong."""

    def run(operation: Callable[[], None]) -> None:
        try:
            operation()
            _OUTCOMES[name] = None
        except Exception as error:
            cause = f" ({error.__cause__})" if error.__cause__ else ""
            _OUTCOMES[name] = f"{type(error).__name__}: {error}{cause}"
        Path(sys.argv[1]).write_text(json.dumps(_OUTCOMES), encoding="utf-8")

    return run


def refusal(kind: type[Exception], call: Callable[[], Any]) -> Any:
    """The error of this kind that the call raises."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def wait_until(
    look: Callable[[], Any], is_done: Callable[[Any], bool], most_looks: int = 20
) -> Any:
    """The first look at something that is done; each look moves a stand-in on."""
    for _ in range(most_looks):
        if is_done(seen := look()):
            return seen
    raise AssertionError(f"not done after {most_looks} looks: {seen}")


def write_chats(name: str, count: int = 20) -> Path:
    """Write rows of chats to a file in the working folder."""
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"thing {number} is {COLOURS[number % 3]}"},
                {"role": "assistant", "content": COLOURS[number % 3]},
            ]
        }
        for number in range(count)
    ]
    path = Path(name)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
