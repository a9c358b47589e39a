"""Generation with fine-tuned models: loaded models stay in memory, each with a batcher.

One thread for each model generates for all requests: those that arrive together share every step.
Chunks are passed through queues, so that a client that reads slowly or disconnects delays neither
the model nor other clients. (Answers are as short as a model's context, so the queues stay small.)
The thread runs while there are requests.
"""

import queue
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from anyio import CapacityLimiter

from ftops.engine.base_models import BaseModelStore
from ftops.engine.lora.serving import ServedModel, ServingPool
from ftops.engine.model_store import ModelManifest, read_manifest
from ftops.engine.settings import EngineFolder
from ftops.engine.store import ModelRow
from ftops.engine.trainer import (
    Batch,
    BatchingModel,
    GenerationChunk,
    LoadedModel,
    Prompt,
    SamplingParams,
    Trainer,
)
from ftops.errors import EngineError

GetTrainer: TypeAlias = Callable[[str], Trainer]
_THREADS_PER_OWNER = 64


@dataclass(eq=False, slots=True)
class GenerationRequest:
    """The prompts of one request, and the stream of chunks of the answers to them.

    `is_buffered`: the reader needs all chunks at once, so it is woken only at the end.
    """

    prompts: Sequence[Prompt]
    params: SamplingParams
    is_buffered: bool = False
    unfinished: int = 0  # answers
    is_closed: bool = False
    system_fingerprint: str = ""
    _chunks: queue.SimpleQueue[GenerationChunk | Exception | None] = field(
        default_factory=queue.SimpleQueue
    )
    _buffer: list[GenerationChunk] = field(default_factory=list)

    def __iter__(self) -> Iterator[GenerationChunk]:
        """Wait for the chunks; re-raises an error of the model."""
        while (chunk := self._chunks.get()) is not None:
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk

    def close(self) -> None:
        """Stop the generation early."""
        self.is_closed = True

    def put(self, chunk: GenerationChunk) -> None:
        if self.is_buffered:
            self._buffer.append(chunk)
        else:
            self._chunks.put(chunk)

    def finish(self, error: Exception | None = None) -> None:
        """End the stream."""
        for chunk in self._buffer:
            self._chunks.put(chunk)
        self._chunks.put(error)

    def finish_answer(self) -> None:
        """One answer is complete; the last one ends the stream."""
        self.unfinished -= 1
        if not self.unfinished:
            self.finish()


class ContinuousBatcher:
    """Generates for all requests to a model in one batch, which requests enter at any step."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._lock = threading.Lock()
        self._new: list[GenerationRequest] = []
        self._is_running = False
        self.load = 0  # unfinished requests

    def submit(self, request: GenerationRequest) -> None:
        with self._lock:
            self._new.append(request)
            self.load += 1
            if self._is_running:
                return
            self._is_running = True
        threading.Thread(target=self._run, name="generation", daemon=True).start()

    def _run(self) -> None:
        batch = _RunningBatch(self._model)
        while True:
            with self._lock:
                new, self._new = self._new, []
                self.load = len(batch.requests) + len(new)
                if not self.load:
                    self._is_running = False
                    return
            for request in new:
                batch.admit(request)
            batch.step()


class _RunningBatch:
    """A model's batch, and the request that each of its answers belongs to."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._batch = _open_batch(model)
        # By the batch's id of an answer: its request, and the index of its prompt there.
        self._slots: dict[int, tuple[GenerationRequest, int]] = {}

    @property
    def requests(self) -> set[GenerationRequest]:
        return {request for request, _ in self._slots.values()}

    def admit(self, request: GenerationRequest) -> None:
        try:
            request_ids = self._batch.add(request.prompts, request.params)
        except Exception as error:
            request.finish(error)  # raised again when the chunks are read
            return
        request.unfinished = len(request_ids)
        if not request_ids:
            request.finish()
        for index, request_id in enumerate(request_ids):
            self._slots[request_id] = (request, index)

    def step(self) -> None:
        """Generate the next chunks of the open requests."""
        self._remove_closed()
        try:
            chunks = self._batch.step() if self._slots else ()
        except Exception as error:
            for request in self.requests:
                request.finish(error)
            self._slots.clear()
            self._batch = _open_batch(self._model)
            return
        for chunk in chunks:
            self._pass_on(chunk)

    def _remove_closed(self) -> None:
        closed = [key for key, (request, _) in self._slots.items() if request.is_closed]
        if closed:
            self._batch.remove(closed)
        for request_id in closed:
            request, _ = self._slots.pop(request_id)
            request.finish_answer()  # a thread may still wait for a chunk

    def _pass_on(self, chunk: GenerationChunk) -> None:
        request, index = self._slots[chunk.index]
        # `replace` is too slow for thousands of chunks a second.
        request.put(
            GenerationChunk(index, chunk.text, chunk.logprobs, chunk.n_tokens, chunk.finish_reason)
        )
        if chunk.finish_reason is not None:
            del self._slots[chunk.index]
            request.finish_answer()


def _open_batch(model: LoadedModel) -> Batch:
    return model.open_batch() if isinstance(model, BatchingModel) else _SequentialBatch(model)


@dataclass(slots=True)
class _SequentialRequest:
    first_id: int
    chunks: Iterator[GenerationChunk]
    unfinished: set[int]


class _SequentialBatch:
    """A `Batch` for models that answer one request at a time."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._requests: list[_SequentialRequest] = []
        self._n_added = 0

    def __len__(self) -> int:
        return sum(len(request.unfinished) for request in self._requests)

    def add(self, prompts: Sequence[Prompt], params: SamplingParams) -> Sequence[int]:
        chunks = self._model.generate(prompts, params)
        request_ids = range(self._n_added, self._n_added + len(prompts))
        self._n_added = request_ids.stop
        self._requests.append(_SequentialRequest(request_ids.start, chunks, set(request_ids)))
        return request_ids

    def step(self) -> Sequence[GenerationChunk]:
        request = self._requests[0]
        try:
            chunk = next(request.chunks)
        except StopIteration:
            del self._requests[0]
            return [GenerationChunk(key, "", finish_reason="stop") for key in request.unfinished]
        except Exception:
            del self._requests[0]
            raise
        request_id = request.first_id + chunk.index
        if chunk.finish_reason is not None:
            request.unfinished.discard(request_id)
            if not request.unfinished:
                del self._requests[0]
        return [replace(chunk, index=request_id)]

    def remove(self, request_ids: Collection[int]) -> None:
        for request in self._requests:
            request.unfinished.difference_update(request_ids)
            if not request.unfinished and (close := getattr(request.chunks, "close", None)):
                close()  # closes the generator at once
        self._requests = [request for request in self._requests if request.unfinished]


@dataclass(eq=False, slots=True)
class PooledModel:
    """A model in memory, or in a process of its own; `manifest` is None for a base model."""

    manifest: ModelManifest | None
    loaded: LoadedModel | ServedModel
    _batcher: ContinuousBatcher | None = None

    @property
    def load(self) -> int:
        """The number of unfinished requests."""
        if isinstance(self.loaded, ServedModel):
            return self.loaded.load
        return self._get_batcher(self.loaded).load

    def generate(
        self, prompts: Sequence[Prompt], params: SamplingParams, *, is_buffered: bool = False
    ) -> GenerationRequest:
        """Start to answer the prompts; the chunks are read from the result."""
        request = GenerationRequest(prompts, params, is_buffered)
        if not isinstance(self.loaded, ServedModel):
            self._get_batcher(self.loaded).submit(request)
            return request
        request.unfinished = len(prompts)
        try:
            self.loaded.start(request, prompts, params)
        except Exception as error:
            request.finish(error)  # raised again when the chunks are read
        return request

    def _get_batcher(self, model: LoadedModel) -> ContinuousBatcher:
        if self._batcher is None:
            self._batcher = ContinuousBatcher(model)
        return self._batcher

    def count_tokens(self, prompts: Sequence[Prompt]) -> int:
        return sum(map(self.loaded.count_tokens, prompts))


class ModelPool:
    """Loads models on demand, and keeps the `capacity` most recently used ones."""

    def __init__(
        self,
        folder: EngineFolder,
        get_trainer: GetTrainer,
        capacity: int,
        serving: ServingPool | None = None,
    ) -> None:
        self._folder = folder
        self._get_trainer = get_trainer
        self._capacity = capacity
        self._serving = serving
        self._bases = BaseModelStore(folder.base_models)
        self._lock = threading.Lock()
        self._open: OrderedDict[str, PooledModel] = OrderedDict()
        self._limiters: dict[str, CapacityLimiter] = defaultdict(
            lambda: CapacityLimiter(_THREADS_PER_OWNER)
        )

    def open(self, row: ModelRow) -> PooledModel:
        """Get the model, loaded on first use; EngineError when its folder cannot be read."""
        with self._lock:
            model = self._open.get(row.name)
            if model is None:
                path = self._folder.model(row.job_id, row.step)
                manifest = read_manifest(path)
                model = PooledModel(manifest, self._load(row.base, path))
            return self._keep(row.name, model)

    def find_base(self, name: str) -> PooledModel | None:
        """The registered base model of this name."""
        base = self._bases.find(name)
        if base is None or self._serving is None:
            return None
        with self._lock:
            model = self._open.get(name) or PooledModel(None, self._serving.open(base))
            return self._keep(name, model)

    def _keep(self, name: str, model: PooledModel) -> PooledModel:
        """Keep the model as the last used one; drop others above the capacity."""
        self._open[name] = model
        self._open.move_to_end(name)
        while len(self._open) > self._capacity:
            _close(self._open.popitem(last=False)[1])
        return model

    def describe_serving(self, base: str) -> str | None:
        """What serves a registered base model and its fine-tuned models."""
        registered = self._bases.find(base)
        if registered is None or self._serving is None:
            return None
        return self._serving.describe(registered)

    def stop_idle(self, idle_s: float) -> None:
        """End processes that serve models, after this time without a request to them."""
        if self._serving is not None:
            self._serving.stop_idle(idle_s)

    def stop(self) -> None:
        """End all processes that serve models."""
        if self._serving is not None:
            self._serving.stop()

    def get_limiter(self, owner: str) -> CapacityLimiter:
        """The limit of threads that wait for models on behalf of one owner."""
        return self._limiters[owner]

    def _load(self, base: str, path: Path) -> LoadedModel | ServedModel:
        registered = self._bases.find(base)
        if registered is not None and self._serving is not None:
            return self._serving.open(registered, path)
        try:
            return self._get_trainer(base).load(path)
        except OSError as error:
            raise EngineError(f"{path}: the model cannot be read: {error}") from error

    def evict(self, name: str) -> None:
        """Drop a deleted model; active requests finish."""
        with self._lock:
            model = self._open.pop(name, None)
        if model is not None:
            _close(model)


def _close(model: PooledModel) -> None:
    """Release what is outside this process; other memory is free with the last reference."""
    if isinstance(model.loaded, ServedModel):
        model.loaded.close()
