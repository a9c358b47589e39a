"""One round of questions to one model: some requests at once, errors told apart, answers kept."""

import queue
import threading
from collections.abc import Generator, Mapping, Sequence
from contextvars import copy_context

from ftops.errors import NotFound, ProviderError, RateLimited
from ftops.inference.cache import ModelCache
from ftops.inference.line import Chunk, WorkQueue
from ftops.inference.manner import BatchOptions
from ftops.inference.outcome import CompletionResult
from ftops.inference.refusals import is_declined, is_row_error, may_be_row_error
from ftops.providers.provider import Provider
from ftops.records import Completion, Prompt, Sampling

MOST_STRIKES = 5  # so many questions in a row without an answer are no matter of each of them
LEAVE_S = 5.0  # for answers that are under way: they may have been paid for
_LOOK_EVERY_S = 0.5


class BatchRunner:
    """Asks `questions`, by their keys, once."""

    def __init__(
        self,
        provider: Provider,
        model: str,
        sampling: Sampling,
        shelf: ModelCache,
        manner: BatchOptions,
        questions: Mapping[str, Prompt],
    ) -> None:
        self._provider = provider
        self._model = model
        self._sampling = sampling
        self._shelf = shelf
        self._manner = manner
        self._questions = questions
        able = provider.capabilities
        self._at_once = manner.concurrency or able.max_concurrent_requests
        texts_a_request = manner.texts_a_request or able.prompts_per_request
        # One alone tells whether the key is good, the model there and loaded.
        self._alone = manner.timed_alone if texts_a_request > 1 else 1
        self._line = WorkQueue(self._make_portions(texts_a_request))
        self._news: queue.SimpleQueue[dict[str, CompletionResult]] = queue.SimpleQueue()
        self._error: BaseException | None = None
        self._lock = threading.Lock()
        self._strikes = 0
        self._answered = 0
        self._askers = 0
        self._has_noted = False

    def run(self) -> Generator[tuple[str, CompletionResult]]:
        """What came of each question, as it comes; raises what was about all of them."""
        threads: list[threading.Thread] = []
        missing = len(self._questions)
        try:
            self._provider.ensure_ready()
            for _ in range(self._alone):
                if not self._ask_next():
                    break
            threads = self._start_askers()
            while missing:
                for key, outcome in self._await_news(threads).items():
                    missing -= 1
                    yield key, outcome
        finally:
            self._line.close()
            self._leave(threads)

    def _make_portions(self, texts_a_request: int) -> list[Chunk]:
        """The first questions alone, then chats each alone, and texts some together."""
        keys = list(self._questions)
        first, others = keys[: self._alone], keys[self._alone :]
        texts = [key for key in others if isinstance(self._questions[key], str)]
        # Nobody is to stand idle while another has a long request.
        size = max(1, min(texts_a_request, -(-len(texts) // self._at_once)))
        portions = [tuple(texts[at : at + size]) for at in range(0, len(texts), size)]
        chats = [(key,) for key in others if not isinstance(self._questions[key], str)]
        return [*((key,) for key in first), *portions, *chats]

    def _start_askers(self) -> list[threading.Thread]:
        left = len(self._questions) - self._alone
        if self._error is not None or left <= 0:
            return []
        self._askers = min(self._at_once, left)
        threads = [
            # Daemons: one that hangs in a request must not hold the command.
            threading.Thread(target=copy_context().run, args=(self._work,), daemon=True)
            for _ in range(self._askers)
        ]
        for thread in threads:
            thread.start()
        return threads

    def _await_news(self, threads: Sequence[threading.Thread]) -> dict[str, CompletionResult]:
        while True:
            try:
                if any(thread.is_alive() for thread in threads):
                    return self._news.get(timeout=_LOOK_EVERY_S)
                return self._news.get_nowait()
            except queue.Empty:
                if not any(thread.is_alive() for thread in threads) and self._news.empty():
                    break
        raise self._error or AssertionError("questions without an answer are left")

    def _leave(self, threads: Sequence[threading.Thread]) -> None:
        """Wait for what is under way, though not for long; the threads keep what comes."""
        clock = self._manner.clock
        until_s = clock.monotonic_s() + LEAVE_S
        for thread in threads:
            thread.join(max(0.0, until_s - clock.monotonic_s()))

    def _work(self) -> None:
        while self._ask_next():
            pass

    def _ask_next(self) -> bool:
        """Put the next portion; False when there is none, or this asker shall go."""
        portion = self._line.take()
        if portion is None:
            return False
        try:
            return self._ask_portion(portion)
        except BaseException as error:
            self._end(error)
            return False
        finally:
            self._line.done()

    def _ask_portion(self, portion: Chunk) -> bool:
        portion = self._pass_over_known(portion)
        prompts = [self._questions[key] for key in portion]
        reserved_usd = self._reserve(prompts)
        if self._line.is_closed:
            return False
        answers: list[Completion] = []
        try:
            answers = self._complete(prompts) if prompts else []
        except ProviderError as error:
            return self._bear(portion, error)
        finally:
            self._settle(reserved_usd, answers)
        with self._lock:
            self._strikes = 0
            self._answered += len(portion)
        self._tell(dict(zip(portion, map(CompletionResult, answers), strict=True)), keep=True)
        return True

    def _pass_over_known(self, portion: Chunk) -> Chunk:
        """What nobody has asked meanwhile; another process may be at the same work."""
        if self._manner.anew:
            return portion
        self._shelf.refresh()
        known = {key: one for key in portion if (one := self._shelf.find(key)) is not None}
        if known:
            self._tell(known, keep=False)
        return tuple(key for key in portion if key not in known)

    def _complete(self, prompts: Sequence[Prompt]) -> list[Completion]:
        manner = self._manner
        for pause_s in manner.loading_pauses_s:
            try:
                return self._provider.complete(self._model, prompts, self._sampling)
            except NotFound:
                with self._lock:
                    is_news, self._has_noted = not self._has_noted, True
                if is_news:
                    manner.on_note(f"{self._model} is not being served yet; waiting for it")
                manner.pause(pause_s)
        return self._provider.complete(self._model, prompts, self._sampling)

    def _bear(self, portion: Chunk, error: ProviderError) -> bool:
        """Find out whom the error is about; False when this asker shall go."""
        if isinstance(error, RateLimited) and not error.final and self._is_one_too_many():
            self._line.put_back([portion])
            return False
        of_a_row = is_row_error(error)
        if not of_a_row and not may_be_row_error(error):
            raise error
        if len(portion) > 1:  # one of them may have spoilt it for the others
            self._line.put_back([(key,) for key in portion])
            return True
        with self._lock:
            self._strikes += 0 if of_a_row else 1
            is_of_all = self._strikes >= MOST_STRIKES
        if is_of_all:
            raise error
        outcome = CompletionResult(failure=error.message, declined=is_declined(error))
        self._tell({portion[0]: outcome}, keep=of_a_row)
        return True

    def _is_one_too_many(self) -> bool:
        """Whether others are answered meanwhile: then there is one asker fewer from now on."""
        with self._lock:
            if self._askers <= 1 or not self._answered:
                return False
            self._askers -= 1
            return True

    def _tell(self, outcomes: dict[str, CompletionResult], *, keep: bool) -> None:
        if keep:
            self._shelf.keep(outcomes)
        self._news.put(outcomes)

    def _end(self, error: BaseException) -> None:
        with self._lock:
            self._error = self._error or error
        self._line.close()

    def _reserve(self, prompts: Sequence[Prompt]) -> float:
        cost_estimator, budget = self._manner.cost_estimator, self._manner.budget
        if cost_estimator is None or budget is None:
            return 0.0
        usd = cost_estimator.estimate(prompts, self._sampling.max_tokens).usd or 0.0
        budget.reserve(usd, lambda: self._line.is_closed)
        return usd

    def _settle(self, reserved_usd: float, answers: Sequence[Completion]) -> None:
        cost_estimator, budget = self._manner.cost_estimator, self._manner.budget
        if cost_estimator is not None and budget is not None:
            spent = cost_estimator.price(answers)
            budget.settle(reserved_usd, reserved_usd if spent is None else spent)
