"""A client of a fake provider, with a response cache on the disk."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from ftops.inference.batch import BatchOptions, complete_all
from ftops.inference.cache import CompletionResult, ResponseCache
from ftops.records import Prompt, Sampling
from tests.fakes import FakeClock
from tests.inference.completions import CompletionProvider

GREEDY = Sampling(max_tokens=4)


@dataclass
class Client:
    """Sends prompts to a fake provider, as a command does."""

    folder: Path
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.home = self.folder / "home"
        self.provider = CompletionProvider(self.folder / "provider", self.clock)
        self.progress: list[tuple[int, int]] = []
        self.messages: list[str] = []
        self.options = BatchOptions(
            self.clock,
            on_progress=lambda done, total: self.progress.append((done, total)),
            on_note=self.messages.append,
        )

    def complete_all(
        self,
        prompts: Sequence[Prompt],
        sampling: Sampling = GREEDY,
        *,
        model: str = "m",
        **options: object,
    ) -> list[CompletionResult]:
        """Complete all prompts as a new command: its cache knows only what is on the disk."""
        self.progress.clear()
        cache = ResponseCache(self.home, self.clock)
        batch_options = replace(self.options, **options)  # type: ignore[arg-type]
        return complete_all(
            self.provider, model, prompts, sampling, cache=cache, options=batch_options
        )

    def texts(self, prompts: Sequence[Prompt], **options: object) -> list[str | None]:
        """The texts of the completions; None for a prompt that has none."""
        results = self.complete_all(prompts, **options)  # type: ignore[arg-type]
        return [result.completion.text if result.completion else None for result in results]


MakeClient = Callable[[], Client]


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path)
