"""The text of one answer as it grows: whole characters only, nothing that may become a stop."""

import codecs
from collections.abc import Sequence
from dataclasses import dataclass, field

from ftops.engine.trainers.protocol import Delta, TokenLogprob


@dataclass(slots=True)
class Answer:
    """Collects the bytes of drawn tokens and gives out text that nothing can take back."""

    index: int  # which prompt it answers
    stops: Sequence[str]
    _decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")(errors="replace")
    )
    _held: str = ""  # decoded, not given out yet
    _sent: int = 0  # characters given out
    _logprobs: list[tuple[int, TokenLogprob]] = field(default_factory=list)  # with their start
    _n_new: int = 0
    finish_reason: str | None = None

    def add(self, piece: bytes, logprob: TokenLogprob | None) -> None:
        """Take the bytes of one more token; sets `finish_reason` when a stop is complete."""
        if logprob is not None:
            self._logprobs.append((self._sent + len(self._held), logprob))
        self._n_new += 1
        self._held += self._decoder.decode(piece)
        found = [place for stop in self.stops if (place := self._held.find(stop)) >= 0]
        if found:
            self._held = self._held[: min(found)]
            self.finish_reason = "stop"

    def end(self, reason: str) -> None:
        """No more tokens will come."""
        if self.finish_reason is None:
            self._held += self._decoder.decode(b"", final=True)
            self.finish_reason = reason

    def take(self) -> Delta | None:
        """What can be given out now, if anything."""
        n_ready = len(self._held) - (0 if self.finish_reason else self._count_doubtful())
        if not n_ready and self.finish_reason is None:
            return None
        text, self._held = self._held[:n_ready], self._held[n_ready:]
        self._sent += n_ready
        ready: tuple[TokenLogprob, ...] = ()
        if self._logprobs:
            ready = tuple(entry for start, entry in self._logprobs if start < self._sent)
            self._logprobs = self._logprobs[len(ready) :]
        n_new, self._n_new = self._n_new, 0
        return Delta(self.index, text, ready, n_new, self.finish_reason)

    def _count_doubtful(self) -> int:
        """How many of the held characters may be the beginning of a stop."""
        if not self.stops:
            return 0
        longest = max((len(stop) for stop in self.stops), default=0) - 1
        for n in range(min(longest, len(self._held)), 0, -1):
            tail = self._held[-n:]
            if any(stop.startswith(tail) for stop in self.stops):
                return n
        return 0
