"""Shows how far an evaluation is: a bar on a terminal, a line now and then in a pipe."""

import contextlib
from collections.abc import Iterator

from ftops.cli.bar import StageBar
from ftops.cli.failures import Interrupted
from ftops.cli.output import Mode, Output
from ftops.clock import Clock
from ftops.errors import FtopsError
from ftops.records import Stage

_REMARK_EVERY_S = 5.0
_GO_ON = "The same command goes on from here."


class AskingView:
    """Told how many answers there are; shows it to people, and nothing to programs."""

    def __init__(self, out: Output, clock: Clock) -> None:
        self._out = out
        self._clock = clock
        self._said_s = clock.monotonic_s()
        self._total = 0
        self._done = 0
        watched = out.mode is Mode.HUMAN and out.console.is_terminal
        self.bar = StageBar(out.console) if watched else None

    def told(self, done: int, total: int) -> None:
        """So many answers of so many are there."""
        self._done, self._total = done, total
        if self.bar is not None:
            self.bar.move(Stage.EVALUATE, done, total, "answers")
            return
        now_s = self._clock.monotonic_s()
        is_due = now_s - self._said_s >= _REMARK_EVERY_S and done < total
        if is_due and self._out.mode is Mode.HUMAN:
            self._said_s = now_s
            self._out.remark(f"{done:,} of {total:,} answers are there")

    def on_note(self, text: str) -> None:
        """Something that the user should know; above the bar where there is one."""
        if self.bar is None:
            self._out.remark(text)
        else:
            self._out.show(text)

    def describe(self) -> str:
        """How far it has come."""
        if not self._total:
            return "no answer was there yet"
        return f"{self._done:,} of {self._total:,} answers are kept"

    @property
    def is_partial(self) -> bool:
        """Whether answers were asked for, and some of them are missing."""
        return self._done < self._total

    @property
    def has_some(self) -> bool:
        """Whether answers are kept, with which the same command goes on."""
        return self._done > 0


@contextlib.contextmanager
def asking_shown(out: Output, clock: Clock) -> Iterator[AskingView]:
    """A view for as long as the block lasts; Interrupted when Ctrl-C ends it."""
    view = AskingView(out, clock)
    with contextlib.ExitStack() as stack:
        if view.bar is not None:
            stack.enter_context(view.bar.progress)
        try:
            yield view
        except KeyboardInterrupt:
            raise Interrupted(f"interrupted; {view.describe()}", hint=_GO_ON) from None
        except FtopsError:
            if view.is_partial:
                again = ": the same command goes on from here" if view.has_some else ""
                view.on_note(view.describe() + again)
            raise
