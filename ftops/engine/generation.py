"""Answers from fine-tuned models: the last used ones stay in memory, each with its desk."""

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from anyio import CapacityLimiter

from ftops.engine.batching import Asked, Desk
from ftops.engine.model_store import Manifest, read_manifest
from ftops.engine.settings import EngineFolder
from ftops.engine.store import ModelRow
from ftops.engine.trainer import Delta, Document, LoadedModel, SamplingParams, Trainer
from ftops.errors import EngineError

GetTrainer: TypeAlias = Callable[[str], Trainer]
_THREADS_PER_OWNER = 64


@dataclass(eq=False, slots=True)
class OpenModel:
    """A model in memory; whoever asks it does so at its desk."""

    manifest: Manifest
    loaded: LoadedModel
    desk: Desk = field(init=False)

    def __post_init__(self) -> None:
        self.desk = Desk(self.loaded)

    def count_tokens(self, documents: Sequence[Document]) -> int:
        return sum(self.loaded.count_tokens(document) for document in documents)


class Answers:
    """The pieces of one call, in the order they are drawn; `close` ends it early."""

    def __init__(
        self,
        model: OpenModel,
        prompts: Sequence[Document],
        params: SamplingParams,
        *,
        whole: bool = False,
    ) -> None:
        """`whole`: the pieces are wanted all together, not as soon as they are there."""
        self._asked = Asked(prompts, params, whole)
        model.desk.take(self._asked)

    def __iter__(self) -> Iterator[Delta]:
        """Raises what the model raised."""
        return iter(self._asked)

    def close(self) -> None:
        self._asked.closed.set()


class Generation:
    """Loads models when they are asked for, and keeps the `capacity` last used ones."""

    def __init__(self, folder: EngineFolder, get_trainer: GetTrainer, capacity: int) -> None:
        self._folder = folder
        self._get_trainer = get_trainer
        self._capacity = capacity
        self._lock = threading.Lock()
        self._open: OrderedDict[str, OpenModel] = OrderedDict()
        self._limiters: dict[str, CapacityLimiter] = defaultdict(
            lambda: CapacityLimiter(_THREADS_PER_OWNER)
        )

    def open(self, row: ModelRow) -> OpenModel:
        """The model, ready to answer; EngineError when its folder cannot be read."""
        with self._lock:
            model = self._open.get(row.name)
            if model is None:
                path = self._folder.model(row.job_id, row.step)
                manifest = read_manifest(path)
                model = OpenModel(manifest, self._load(row.base, path))
                self._open[row.name] = model
            self._open.move_to_end(row.name)
            while len(self._open) > self._capacity:
                self._open.popitem(last=False)
            return model

    def get_limiter(self, owner: str) -> CapacityLimiter:
        """How many threads may wait for models of that owner at a time."""
        return self._limiters[owner]

    def _load(self, base: str, path: Path) -> LoadedModel:
        try:
            return self._get_trainer(base).load(path)
        except OSError as error:
            raise EngineError(f"{path}: the model cannot be read: {error}") from error

    def forget(self, name: str) -> None:
        """Let a deleted model go; calls under way end undisturbed."""
        with self._lock:
            self._open.pop(name, None)
