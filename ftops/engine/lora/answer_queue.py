"""The answers that a serving process has to generate, and the order in which a back end gets them.

A back end computes each step with one adapter, so answers with different adapters take turns: those
of one adapter run together, and while another one waits, no later answer joins them.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ftops.engine.trainer import GenerationChunk, SamplingParams

EXPECTED_TOKENS = 512  # of a long answer: few reach their `max_tokens`


@dataclass(eq=False, slots=True)
class Answer:
    """An answer to generate. `adapter` is the folder of a fine-tuned model; "" is the base model.

    `send` takes the chunks; the last one has a finish reason.
    """

    prompt: Sequence[int]  # token ids
    params: SamplingParams
    send: Callable[[GenerationChunk], None]
    fail: Callable[[Exception], None]
    adapter: str = ""
    index: int = 0  # in its request
    seed: int | None = None
    is_cancelled: bool = False
    number: int = field(default=0, init=False)  # in the queue

    @property
    def size(self) -> int:
        """The tokens of memory that it is expected to need."""
        return len(self.prompt) + min(self.params.max_tokens, EXPECTED_TOKENS)


class AnswerQueue:
    """Hands answers out to the threads of a back end, `slots` at a time of `capacity` tokens."""

    def __init__(self, slots: int, capacity: int) -> None:
        self._slots = slots
        self._capacity = capacity
        self._changed = threading.Condition()
        self._waiting: list[Answer] = []
        self._active: list[Answer] = []
        self._adapter = ""
        self._n_added = 0
        self._turn_end = 0  # the last answer that was waiting when the turn began

    def put(self, answers: Sequence[Answer]) -> None:
        with self._changed:
            for answer in answers:
                self._n_added += 1
                answer.number = self._n_added
            self._waiting += answers
            self._changed.notify_all()

    def take(self) -> Answer:
        """Wait for the next answer; `finish` ends its place."""
        with self._changed:
            while (answer := self._pop()) is None:
                self._changed.wait()
            return answer

    def take_all(self) -> list[Answer]:
        """Wait for an answer; returns it with all that can run together with it."""
        with self._changed:
            answers = [self.take()]  # the lock is reentrant
            while (answer := self._pop()) is not None:
                answers.append(answer)
            return answers

    def finish(self, answer: Answer) -> None:
        with self._changed:
            self._active.remove(answer)
            self._changed.notify_all()

    def _pop(self) -> Answer | None:
        """The next answer that may run now."""
        self._waiting = [answer for answer in self._waiting if not answer.is_cancelled]
        if not self._waiting or len(self._active) >= self._slots:
            return None
        first = self._waiting[0]
        if not self._active:
            self._adapter, self._turn_end = first.adapter, self._n_added
        for answer in self._waiting:
            if answer.adapter == self._adapter:
                break
        else:
            return None
        if first.adapter != self._adapter and answer.number > self._turn_end:
            return None
        used = sum(active.size for active in self._active)
        if self._active and used + answer.size > self._capacity:
            return None
        self._waiting.remove(answer)
        self._active.append(answer)
        return answer
