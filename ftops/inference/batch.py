"""Sends many prompts to one model: concurrent requests, cached responses, errors sorted by scope.

The thread that receives a response caches it at once. If a batch is interrupted (an error, Ctrl-C,
a kill), the next one continues from the cached responses. Only the provider retries requests; this
module decides whether an error is about one prompt or about the whole batch.
"""

import queue
import threading
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from typing import TypeAlias

from ftops.clock import Clock
from ftops.errors import (
    InvalidResponse,
    NotFound,
    ProviderError,
    RateLimited,
    Rejected,
    Unavailable,
)
from ftops.inference.budget import Budget, CostEstimate, CostEstimator
from ftops.inference.cache import CompletionResult, ModelCache, ResponseCache, make_key
from ftops.providers.provider import Provider
from ftops.records import Completion, Prompt, Sampling

# A hosted model is often unavailable for some minutes after its job has succeeded.
LOADING_PAUSES_S = (2.0, 5.0, 10.0, 20.0, 30.0, 30.0, 60.0, 60.0, 60.0)
MAX_CONSECUTIVE_ERRORS = 5  # more in a row are not about single prompts
SHUTDOWN_WAIT_S = 5.0  # for pending requests: their responses may be billed
_POLL_INTERVAL_S = 0.5
# Error codes of OpenAI and Azure for a prompt that their policies forbid.
_POLICY_CODES = frozenset({"content_filter", "content_policy_violation", "invalid_prompt"})
# Error codes, also of the engine, for a prompt that the model cannot answer.
_ROW_CODES = _POLICY_CODES | {"context_length_exceeded", "string_above_max_length"}
_ROW_PARAMS = ("prompt", "messages", "input")
_INTERNAL_ERROR = 500  # about this request; with 502 to 504 the server is unavailable

Chunk: TypeAlias = tuple[str, ...]  # the keys of the prompts of one request


def _ignore_progress(_done: int, _total: int) -> None: ...


def _ignore_estimate(_estimate: CostEstimate) -> None: ...


def _ignore_note(_text: str) -> None: ...


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """How the prompts of a batch are sent.

    At most `concurrency` requests are pending at a time, and `prompts_per_request` prompts (not
    chats) share a request; None uses the provider's capabilities. If prompts share requests, the
    first `timed_alone` prompts are sent one by one to measure the latency of a single response. If
    the model is not found, the batch retries after each of `loading_pauses_s`, using `sleep` (None:
    the clock's). The calling thread calls `on_progress` with the number of prompts that have a
    response and the total; any thread calls `on_note` with notes for the user. With a
    `cost_estimator`, `on_estimate` gets the cost of the requests before the first is sent, and may
    raise. A `budget` needs a `cost_estimator`. With `refresh`, cached responses are ignored.
    """

    clock: Clock
    concurrency: int | None = None
    prompts_per_request: int | None = None
    timed_alone: int = 1
    loading_pauses_s: Sequence[float] = ()
    sleep: Callable[[float], None] | None = None
    on_progress: Callable[[int, int], None] = _ignore_progress
    on_note: Callable[[str], None] = _ignore_note
    cost_estimator: CostEstimator | None = None
    on_estimate: Callable[[CostEstimate], None] = _ignore_estimate
    budget: Budget | None = None
    refresh: bool = False

    def pause(self, seconds: float) -> None:
        (self.sleep or self.clock.sleep)(seconds)


def complete_all(
    provider: Provider,
    model: str,
    prompts: Sequence[Prompt],
    sampling: Sampling,
    *,
    cache: ResponseCache,
    options: BatchOptions,
) -> list[CompletionResult]:
    """The result of each prompt, in order; equal prompts are sent once.

    A prompt that the model cannot answer has a result with the reason. An error that affects the
    whole batch is raised (ProviderError; LimitExceeded for the budget; StorageError); the responses
    received until then are cached. If every response is cached, no request is sent and no thread is
    started.
    """
    model_cache = cache.open(provider.account, model)
    keys = make_keys(prompts, sampling)
    unique = dict(zip(keys, prompts, strict=True))
    results: dict[str, CompletionResult] = {}
    if not options.refresh:
        results = {key: hit for key in unique if (hit := model_cache.find(key)) is not None}
    pending = {key: prompt for key, prompt in unique.items() if key not in results}
    counts = Counter(keys)
    done = sum(counts[key] for key, result in results.items() if result.completion is not None)
    options.on_progress(done, len(keys))
    if pending:
        if options.cost_estimator is not None:
            estimate = options.cost_estimator.estimate(list(pending.values()), sampling.max_tokens)
            if options.budget is not None:
                options.budget.check(options.cost_estimator, estimate, model)
            options.on_estimate(estimate)
        runner = BatchRunner(provider, model, sampling, model_cache, options, pending)
        try:
            with (
                _hold_model(model_cache, model, sampling, options),
                closing(runner.run()) as completed,
            ):
                for key, result in completed:
                    results[key] = result
                    done += counts[key] if result.completion is not None else 0
                    options.on_progress(done, len(keys))
        finally:
            model_cache.sync()
    return [results[key] for key in keys]


@contextmanager
def _hold_model(
    cache: ModelCache, model: str, sampling: Sampling, options: BatchOptions
) -> Iterator[None]:
    """Wait for another process that sends prompts with this sampling; they may be the same."""
    has_noted = False
    while True:
        with cache.hold(sampling) as held:
            if held:
                yield
                return
        if not has_noted:
            options.on_note(f"another command is sending prompts to {model}; waiting for it")
            has_noted = True
        options.pause(_POLL_INTERVAL_S)


def make_keys(prompts: Sequence[Prompt], sampling: Sampling) -> list[str]:
    """The cache key of each prompt; equal prompts share a key unless sampling is random."""
    if sampling.temperature == 0 or sampling.seed is not None:
        return [make_key(prompt, sampling) for prompt in prompts]
    seen: Counter[str] = Counter()
    keys = []
    for prompt in prompts:
        plain = make_key(prompt, sampling)
        keys.append(make_key(prompt, sampling, seen[plain]) if seen[plain] else plain)
        seen[plain] += 1
    return keys


class WorkQueue:
    """Chunks of prompts for workers, which mark a chunk as done or requeue parts of it."""

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self._waiting = deque(chunks)
        self._changed = threading.Condition()
        self._under_way = 0
        self._is_closed = False

    def take(self) -> Chunk | None:
        """The next chunk; None if all are done or the queue is closed.

        Blocks while other workers process the last chunks, because they may requeue some.
        """
        with self._changed:
            while not self._waiting and self._under_way and not self._is_closed:
                self._changed.wait()
            if self._is_closed or not self._waiting:
                return None
            self._under_way += 1
            return self._waiting.popleft()

    def requeue(self, chunks: Sequence[Chunk]) -> None:
        """Put these chunks at the front of the queue; call this before `mark_done`."""
        with self._changed:
            self._waiting.extendleft(reversed(chunks))
            self._changed.notify_all()

    def mark_done(self) -> None:
        with self._changed:
            self._under_way -= 1
            self._changed.notify_all()

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()


class BatchRunner:
    """Sends each of `prompts`, a mapping by cache key, once."""

    def __init__(
        self,
        provider: Provider,
        model: str,
        sampling: Sampling,
        cache: ModelCache,
        options: BatchOptions,
        prompts: Mapping[str, Prompt],
    ) -> None:
        self._provider = provider
        self._model = model
        self._sampling = sampling
        self._cache = cache
        self._options = options
        self._prompts = prompts
        capabilities = provider.capabilities
        self._max_workers = options.concurrency or capabilities.max_concurrent_requests
        prompts_per_request = options.prompts_per_request or capabilities.prompts_per_request
        # The first prompt is sent alone to check the key and that the model exists and is loaded.
        self._alone = options.timed_alone if prompts_per_request > 1 else 1
        self._queue = WorkQueue(self._make_chunks(prompts_per_request))
        self._results: queue.SimpleQueue[dict[str, CompletionResult]] = queue.SimpleQueue()
        self._error: BaseException | None = None
        self._lock = threading.Lock()
        self._consecutive_errors = 0
        self._completed = 0
        self._workers = 0
        self._has_noted = False

    def run(self) -> Generator[tuple[str, CompletionResult]]:
        """The result of each prompt, as it arrives; raises errors that affect the whole batch."""
        threads: list[threading.Thread] = []
        missing = len(self._prompts)
        try:
            self._provider.ensure_ready()
            for _ in range(self._alone):
                if not self._send_next():
                    break
            threads = self._start_workers()
            while missing:
                for key, result in self._wait_for_results(threads).items():
                    missing -= 1
                    yield key, result
        finally:
            self._queue.close()
            self._join(threads)

    def _make_chunks(self, prompts_per_request: int) -> list[Chunk]:
        """Chunks of one prompt for the first prompts and all chats, and of several for texts."""
        keys = list(self._prompts)
        first, others = keys[: self._alone], keys[self._alone :]
        texts = [key for key in others if isinstance(self._prompts[key], str)]
        # Keep requests small enough that every worker gets one.
        size = max(1, min(prompts_per_request, -(-len(texts) // self._max_workers)))
        chunks = [tuple(texts[at : at + size]) for at in range(0, len(texts), size)]
        chats = [(key,) for key in others if not isinstance(self._prompts[key], str)]
        return [*((key,) for key in first), *chunks, *chats]

    def _start_workers(self) -> list[threading.Thread]:
        left = len(self._prompts) - self._alone
        if self._error is not None or left <= 0:
            return []
        self._workers = min(self._max_workers, left)
        threads = [
            # Daemons: a thread that hangs in a request must not block the exit of the command.
            threading.Thread(target=copy_context().run, args=(self._work,), daemon=True)
            for _ in range(self._workers)
        ]
        for thread in threads:
            thread.start()
        return threads

    def _wait_for_results(self, threads: Sequence[threading.Thread]) -> dict[str, CompletionResult]:
        while True:
            try:
                if any(thread.is_alive() for thread in threads):
                    return self._results.get(timeout=_POLL_INTERVAL_S)
                return self._results.get_nowait()
            except queue.Empty:
                if not any(thread.is_alive() for thread in threads) and self._results.empty():
                    break
        raise self._error or AssertionError("prompts without a result are left")

    def _join(self, threads: Sequence[threading.Thread]) -> None:
        """Wait briefly for pending requests; the threads cache the responses that still arrive."""
        clock = self._options.clock
        until_s = clock.monotonic_s() + SHUTDOWN_WAIT_S
        for thread in threads:
            thread.join(max(0.0, until_s - clock.monotonic_s()))

    def _work(self) -> None:
        while self._send_next():
            pass

    def _send_next(self) -> bool:
        """Send the next chunk; False if there is none, or if this worker must end."""
        chunk = self._queue.take()
        if chunk is None:
            return False
        try:
            return self._send(chunk)
        except BaseException as error:
            with self._lock:
                self._error = self._error or error
            self._queue.close()
            return False
        finally:
            self._queue.mark_done()

    def _send(self, chunk: Chunk) -> bool:
        chunk = self._skip_cached(chunk)
        prompts = [self._prompts[key] for key in chunk]
        reserved_usd = self._reserve(prompts)
        if self._queue.is_closed:
            return False
        completions: list[Completion] = []
        try:
            completions = self._complete(prompts) if prompts else []
        except ProviderError as error:
            return self._handle_error(chunk, error)
        finally:
            self._settle(reserved_usd, completions)
        with self._lock:
            self._consecutive_errors = 0
            self._completed += len(chunk)
        results = dict(zip(chunk, map(CompletionResult, completions), strict=True))
        self._add_results(results, is_final=True)
        return True

    def _skip_cached(self, chunk: Chunk) -> Chunk:
        """The prompts of the chunk that no other process has sent since."""
        if self._options.refresh:
            return chunk
        self._cache.refresh()
        cached = {key: hit for key in chunk if (hit := self._cache.find(key)) is not None}
        if cached:
            self._add_results(cached, is_final=False)
        return tuple(key for key in chunk if key not in cached)

    def _complete(self, prompts: Sequence[Prompt]) -> list[Completion]:
        options = self._options
        for pause_s in options.loading_pauses_s:
            try:
                return self._provider.complete(self._model, prompts, self._sampling)
            except NotFound:
                with self._lock:
                    is_first, self._has_noted = not self._has_noted, True
                if is_first:
                    options.on_note(f"{self._model} is not being served yet; waiting for it")
                options.pause(pause_s)
        return self._provider.complete(self._model, prompts, self._sampling)

    def _handle_error(self, chunk: Chunk, error: ProviderError) -> bool:
        """Record an error about one prompt, raise any other; False ends this worker."""
        if isinstance(error, RateLimited) and not error.final and self._can_drop_worker():
            self._queue.requeue([chunk])
            return False
        is_certain = is_row_error(error)
        if not is_certain and not may_be_row_error(error):
            raise error
        if len(chunk) > 1:  # a single prompt may have made the request fail
            self._queue.requeue([(key,) for key in chunk])
            return True
        with self._lock:
            self._consecutive_errors += 0 if is_certain else 1
            is_about_all = self._consecutive_errors >= MAX_CONSECUTIVE_ERRORS
        if is_about_all:
            raise error
        result = CompletionResult(failure=error.message, declined=is_declined(error))
        self._add_results({chunk[0]: result}, is_final=is_certain)
        return True

    def _can_drop_worker(self) -> bool:
        """Whether other workers get responses; if so, this worker is removed from the count."""
        with self._lock:
            if self._workers <= 1 or not self._completed:
                return False
            self._workers -= 1
            return True

    def _add_results(self, results: dict[str, CompletionResult], *, is_final: bool) -> None:
        if is_final:
            self._cache.add(results)
        self._results.put(results)

    def _reserve(self, prompts: Sequence[Prompt]) -> float:
        estimator, budget = self._options.cost_estimator, self._options.budget
        if estimator is None or budget is None:
            return 0.0
        usd = estimator.estimate(prompts, self._sampling.max_tokens).usd or 0.0
        budget.reserve(usd, lambda: self._queue.is_closed)
        return usd

    def _settle(self, reserved_usd: float, completions: Sequence[Completion]) -> None:
        estimator, budget = self._options.cost_estimator, self._options.budget
        if estimator is not None and budget is not None:
            spent_usd = estimator.price(completions)
            budget.settle(reserved_usd, reserved_usd if spent_usd is None else spent_usd)


def is_row_error(error: ProviderError) -> bool:
    """Whether the provider reports that it can never answer this prompt."""
    if not isinstance(error, Rejected):
        return False
    return error.code in _ROW_CODES or (error.param or "").startswith(_ROW_PARAMS)


def is_declined(error: ProviderError) -> bool:
    """Whether the provider refuses the prompt for its content."""
    return error.code in _POLICY_CODES


def may_be_row_error(error: ProviderError) -> bool:
    """Whether the error may be about this prompt alone, so that other prompts can succeed."""
    if isinstance(error, Unavailable):
        return error.status == _INTERNAL_ERROR
    if isinstance(error, Rejected):
        return not (error.param or "").startswith("model")
    return isinstance(error, InvalidResponse)
