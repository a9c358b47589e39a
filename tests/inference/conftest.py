"""A fake model server, and a home where answers are kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from ftops.inference.batch import BatchOptions, complete_all
from ftops.inference.cache import CompletionResult, ResponseCache
from ftops.records import Prompt, Sampling
from tests.fakes import FakeClock
from tests.inference.oracle import Oracle

GREEDY = Sampling(max_tokens=4)


@dataclass
class Parlour:
    """Where an oracle is asked."""

    folder: Path
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.home = self.folder / "home"
        self.oracle = Oracle(self.folder / "provider", self.clock)
        self.progress: list[tuple[int, int]] = []
        self.notes: list[str] = []
        self.options = BatchOptions(
            self.clock,
            on_progress=lambda done, total: self.progress.append((done, total)),
            on_note=self.notes.append,
        )

    def complete_all(
        self,
        prompts: Sequence[Prompt],
        sampling: Sampling = GREEDY,
        *,
        model: str = "m",
        **how: object,
    ) -> list[CompletionResult]:
        """As another command would: with a store that knows only what lies on the disk."""
        self.progress.clear()
        store = ResponseCache(self.home, self.clock)
        options = replace(self.options, **how)  # type: ignore[arg-type]
        return complete_all(self.oracle, model, prompts, sampling, cache=store, options=options)

    def texts(self, prompts: Sequence[Prompt], **how: object) -> list[str | None]:
        """The texts of the answers; None for a question that has none."""
        outcomes = self.complete_all(prompts, **how)  # type: ignore[arg-type]
        return [one.completion.text if one.completion else None for one in outcomes]


MakeParlour = Callable[[], Parlour]


@pytest.fixture
def parlour(tmp_path: Path) -> Parlour:
    return Parlour(tmp_path)
