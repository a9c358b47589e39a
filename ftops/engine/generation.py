"""Answers from fine-tuned models: the last used ones stay in memory, each answers one call at once.

An answer is drawn in a thread of its own and handed over through a queue, so that a client that
reads slowly keeps neither the model nor other clients waiting. (Answers are as short as a model's
context, so the queue stays small.)
"""

import queue
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from ftops.engine.model_store import Manifest, read_manifest
from ftops.engine.settings import EngineFolder
from ftops.engine.store import ModelRow
from ftops.engine.trainers.protocol import Delta, Document, LoadedModel, SamplingParams, Trainer
from ftops.errors import EngineError

GetTrainer: TypeAlias = Callable[[str], Trainer]


@dataclass(frozen=True, slots=True)
class OpenModel:
    """A model in memory; whoever draws from it holds `lock`."""

    manifest: Manifest
    loaded: LoadedModel
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count_tokens(self, documents: Sequence[Document]) -> int:
        return sum(self.loaded.count_tokens(document) for document in documents)


class Answers:
    """The pieces of one call, in the order they are drawn; `close` ends it early."""

    def __init__(
        self, model: OpenModel, prompts: Sequence[Document], params: SamplingParams
    ) -> None:
        self._model = model
        self._pieces: queue.SimpleQueue[Delta | Exception | None] = queue.SimpleQueue()
        self._closed = threading.Event()
        threading.Thread(
            target=self._draw, args=(prompts, params), name="generation", daemon=True
        ).start()

    def __iter__(self) -> Iterator[Delta]:
        """Raises what the model raised."""
        while (piece := self._pieces.get()) is not None:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    def close(self) -> None:
        self._closed.set()

    def _draw(self, prompts: Sequence[Document], params: SamplingParams) -> None:
        try:
            with self._model.lock:
                for delta in self._model.loaded.generate(prompts, params):
                    if self._closed.is_set():
                        break
                    self._pieces.put(delta)
        except Exception as error:
            self._pieces.put(error)  # raised again where the pieces are read
        else:
            self._pieces.put(None)


class Generation:
    """Loads models when they are asked for, and keeps the `capacity` last used ones."""

    def __init__(self, folder: EngineFolder, get_trainer: GetTrainer, capacity: int) -> None:
        self._folder = folder
        self._get_trainer = get_trainer
        self._capacity = capacity
        self._lock = threading.Lock()
        self._open: OrderedDict[str, OpenModel] = OrderedDict()

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

    def _load(self, base: str, path: Path) -> LoadedModel:
        try:
            return self._get_trainer(base).load(path)
        except OSError as error:
            raise EngineError(f"{path}: the model cannot be read: {error}") from error

    def forget(self, name: str) -> None:
        """Let a deleted model go; calls under way end undisturbed."""
        with self._lock:
            self._open.pop(name, None)
