"""A provider that only answers: by a function of the prompt, with everything taken down."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ftops.records import Completion, Prompt, Sampling
from tests.fakes import FakeClock
from tests.runs.fake_provider import CAPABILITIES, FakeProvider

Reply = Callable[[Prompt], Completion]


def shout(prompt: Prompt) -> Completion:
    """The prompt in capitals, of one token for each word."""
    text = prompt if isinstance(prompt, str) else prompt.messages[-1].content
    return Completion(text.upper(), "stop", len(text.split()), len(text.split()), seconds=0.5)


@dataclass
class Requests:
    """What arrived: the prompts of each request, and how many were under way at most."""

    prompts: list[list[Prompt]] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0

    @property
    def asked(self) -> list[Prompt]:
        return [prompt for request in self.prompts for prompt in request]


class Oracle(FakeProvider):
    """Answers with `reply`; `at_request` is called with the number of each request, from 1."""

    def __init__(self, folder: Path, clock: FakeClock, *, prompts_per_request: int = 1) -> None:
        super().__init__(folder, clock)
        self.capabilities = replace(
            CAPABILITIES, max_concurrent_requests=4, prompts_per_request=prompts_per_request
        )
        self.requests = Requests()
        self.reply: Reply = shout
        self.at_request: Callable[[int, Sequence[Prompt]], None] = lambda _number, _prompts: None
        self._lock = threading.Lock()

    def complete(
        self, model: str, prompts: Sequence[Prompt], sampling: Sampling
    ) -> list[Completion]:
        seen = self.requests
        with self._lock:
            seen.prompts.append(list(prompts))
            number = len(seen.prompts)
            seen.under_way += 1
            seen.most_under_way = max(seen.most_under_way, seen.under_way)
        try:
            self.at_request(number, prompts)
            return [self.reply(prompt) for prompt in prompts]
        finally:
            with self._lock:
                seen.under_way -= 1
