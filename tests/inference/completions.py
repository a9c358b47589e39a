"""A fake provider that completes prompts with a function and records the requests."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ftops.records import Completion, Prompt, Sampling
from tests.fakes import FakeClock
from tests.runs.fake_provider import CAPABILITIES, FakeProvider

Reply = Callable[[Prompt], Completion]


def uppercase(prompt: Prompt) -> Completion:
    """The prompt in upper case, with one token for each word."""
    text = prompt if isinstance(prompt, str) else prompt.messages[-1].content
    return Completion(text.upper(), "stop", len(text.split()), len(text.split()), seconds=0.5)


@dataclass
class Requests:
    """The received requests: the prompts of each, and the highest number in flight."""

    batches: list[list[Prompt]] = field(default_factory=list)
    in_flight: int = 0
    max_in_flight: int = 0

    @property
    def prompts(self) -> list[Prompt]:
        return [prompt for batch in self.batches for prompt in batch]


class CompletionProvider(FakeProvider):
    """Responds with `reply`; calls `on_request` with the number of each request, from 1."""

    def __init__(self, folder: Path, clock: FakeClock, *, prompts_per_request: int = 1) -> None:
        super().__init__(folder, clock)
        self.capabilities = replace(
            CAPABILITIES, max_concurrent_requests=4, prompts_per_request=prompts_per_request
        )
        self.requests = Requests()
        self.reply: Reply = uppercase
        self.on_request: Callable[[int, Sequence[Prompt]], None] = lambda _number, _prompts: None
        self._lock = threading.Lock()

    def complete(
        self, model: str, prompts: Sequence[Prompt], sampling: Sampling
    ) -> list[Completion]:
        requests = self.requests
        with self._lock:
            requests.batches.append(list(prompts))
            number = len(requests.batches)
            requests.in_flight += 1
            requests.max_in_flight = max(requests.max_in_flight, requests.in_flight)
        try:
            self.on_request(number, prompts)
            return [self.reply(prompt) for prompt in prompts]
        finally:
            with self._lock:
                requests.in_flight -= 1
