"""Answers from fine-tuned models: the last used ones stay in memory, each with its desk."""

import queue
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from anyio import CapacityLimiter

from ftops.engine.model_store import ModelManifest, read_manifest
from ftops.engine.settings import EngineFolder
from ftops.engine.store import ModelRow
from ftops.engine.trainer import (
    Batch,
    BatchingModel,
    Document,
    GenerationChunk,
    LoadedModel,
    SamplingParams,
    Trainer,
)
from ftops.errors import EngineError


@dataclass(eq=False, slots=True)
class GenerationRequest:
    """One caller's prompts, and the pieces of the answers to them.

    `whole`: nobody looks before all is there, so nobody is woken before.
    """

    prompts: Sequence[Document]
    params: SamplingParams
    whole: bool = False
    left: int = 0  # answers that are not at their end
    closed: threading.Event = field(default_factory=threading.Event)
    _pieces: "queue.SimpleQueue[GenerationChunk | Exception | None]" = field(
        default_factory=queue.SimpleQueue
    )
    _held: list[GenerationChunk] = field(default_factory=list)

    def __iter__(self) -> Iterator[GenerationChunk]:
        """Wait for the pieces; raises what the model raised."""
        while (piece := self._pieces.get()) is not None:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    def give(self, piece: GenerationChunk) -> None:
        if self.whole:
            self._held.append(piece)
        else:
            self._pieces.put(piece)

    def end(self, error: Exception | None = None) -> None:
        """No more pieces will come."""
        for piece in self._held:
            self._pieces.put(piece)
        self._pieces.put(error)


class ContinuousBatcher:
    """Where a model's callers leave what they ask."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._lock = threading.Lock()
        self._arrived: list[GenerationRequest] = []
        self._is_open = False
        self.load = 0  # callers whose answers are not all there

    def take(self, request: GenerationRequest) -> None:
        """Draw the answers, beside those of others."""
        with self._lock:
            self._arrived.append(request)
            self.load += 1
            if self._is_open:
                return
            self._is_open = True
        threading.Thread(target=self._serve, name="generation", daemon=True).start()

    def _serve(self) -> None:
        batch = _RunningBatch(self._model)
        while True:
            with self._lock:
                arrived, self._arrived = self._arrived, []
                self.load = len(batch.callers) + len(arrived)
                if not self.load:
                    self._is_open = False
                    return
            for request in arrived:
                batch.admit(request)
            batch.advance()


class _RunningBatch:
    """Who is answered at the moment."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._batch = _open_batch(model)
        self._slots: dict[
            int, tuple[GenerationRequest, int]
        ] = {}  # by ticket: whose, which of their prompts

    @property
    def callers(self) -> set[GenerationRequest]:
        return {request for request, _ in self._slots.values()}

    def admit(self, request: GenerationRequest) -> None:
        try:
            request_ids = self._batch.add(request.prompts, request.params)
        except Exception as error:
            request.end(error)  # raised again where the pieces are read
            return
        request.left = len(request_ids)
        if not request_ids:
            request.end()
        for index, request_id in enumerate(request_ids):
            self._slots[request_id] = (request, index)

    def advance(self) -> None:
        """Hand over the next pieces, but to nobody who has left."""
        gone = [
            request_id
            for request_id, (request, _) in self._slots.items()
            if request.closed.is_set()
        ]
        if gone:
            self._batch.remove(gone)
            for request_id in gone:
                request, _ = self._slots.pop(request_id)
                request.left -= 1
                if not request.left:
                    request.end()  # a thread may still wait for a piece
        try:
            deltas = self._batch.step() if self._slots else ()
        except Exception as error:
            for request in self.callers:
                request.end(error)
            self._slots.clear()
            self._batch = _open_batch(self._model)
            return
        for delta in deltas:
            self._hand_over(delta)

    def _hand_over(self, delta: GenerationChunk) -> None:
        request, index = self._slots[delta.index]
        # Thousands a second, for which `replace` is slow.
        request.give(
            GenerationChunk(index, delta.text, delta.logprobs, delta.n_tokens, delta.finish_reason)
        )
        if delta.finish_reason is not None:
            del self._slots[delta.index]
            request.left -= 1
            if not request.left:
                request.end()


def _open_batch(model: LoadedModel) -> Batch:
    return model.open_batch() if isinstance(model, BatchingModel) else _InTurn(model)


@dataclass(slots=True)
class _Turn:
    first: int  # ticket
    pieces: Iterator[GenerationChunk]
    unfinished: set[int]


class _InTurn:
    """A `Batch` for models that answer one caller at a time."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._turns: list[_Turn] = []
        self._n_joined = 0

    def __len__(self) -> int:
        return sum(len(turn.unfinished) for turn in self._turns)

    def add(self, prompts: Sequence[Document], params: SamplingParams) -> Sequence[int]:
        pieces = self._model.generate(prompts, params)
        request_ids = range(self._n_joined, self._n_joined + len(prompts))
        self._n_joined = request_ids.stop
        self._turns.append(_Turn(request_ids.start, pieces, set(request_ids)))
        return request_ids

    def step(self) -> Sequence[GenerationChunk]:
        turn = self._turns[0]
        try:
            piece = next(turn.pieces)
        except StopIteration:
            del self._turns[0]
            return [
                GenerationChunk(request_id, "", finish_reason="stop")
                for request_id in turn.unfinished
            ]
        except Exception:
            del self._turns[0]
            raise
        request_id = turn.first + piece.index
        if piece.finish_reason is not None:
            turn.unfinished.discard(request_id)
            if not turn.unfinished:
                del self._turns[0]
        return [replace(piece, index=request_id)]

    def remove(self, request_ids: Collection[int]) -> None:
        for turn in self._turns:
            turn.unfinished.difference_update(request_ids)
        ended = [turn for turn in self._turns if not turn.unfinished]
        self._turns = [turn for turn in self._turns if turn.unfinished]
        for turn in ended:
            if close := getattr(turn.pieces, "close", None):  # a generator ends at once
                close()


GetTrainer: TypeAlias = Callable[[str], Trainer]
_THREADS_PER_OWNER = 64


@dataclass(eq=False, slots=True)
class PooledModel:
    """A model in memory; whoever asks it does so at its desk."""

    manifest: ModelManifest
    loaded: LoadedModel
    batcher: ContinuousBatcher = field(init=False)

    def __post_init__(self) -> None:
        self.batcher = ContinuousBatcher(self.loaded)

    def count_tokens(self, documents: Sequence[Document]) -> int:
        return sum(self.loaded.count_tokens(document) for document in documents)


class ResponseStream:
    """The pieces of one call, in the order they are drawn; `close` ends it early."""

    def __init__(
        self,
        model: PooledModel,
        prompts: Sequence[Document],
        params: SamplingParams,
        *,
        whole: bool = False,
    ) -> None:
        """`whole`: the pieces are wanted all together, not as soon as they are there."""
        self._asked = GenerationRequest(prompts, params, whole)
        model.batcher.take(self._asked)

    def __iter__(self) -> Iterator[GenerationChunk]:
        """Raises what the model raised."""
        return iter(self._asked)

    def close(self) -> None:
        self._asked.closed.set()


class ModelPool:
    """Loads models when they are asked for, and keeps the `capacity` last used ones."""

    def __init__(self, folder: EngineFolder, get_trainer: GetTrainer, capacity: int) -> None:
        self._folder = folder
        self._get_trainer = get_trainer
        self._capacity = capacity
        self._lock = threading.Lock()
        self._open: OrderedDict[str, PooledModel] = OrderedDict()
        self._limiters: dict[str, CapacityLimiter] = defaultdict(
            lambda: CapacityLimiter(_THREADS_PER_OWNER)
        )

    def open(self, row: ModelRow) -> PooledModel:
        """The model, ready to answer; EngineError when its folder cannot be read."""
        with self._lock:
            model = self._open.get(row.name)
            if model is None:
                path = self._folder.model(row.job_id, row.step)
                manifest = read_manifest(path)
                model = PooledModel(manifest, self._load(row.base, path))
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
