"""Text generation: a model in memory, sampling, batches of answers, the text of each answer.

A batch generates one token of each answer per step, because reading all weights once for many
answers is cheap; answers are added and removed between steps. Keys and values are in one array with
a row for each answer; the last row moves into the place of a finished one, so that the rows in use
are always the first ones.
"""

import codecs
import secrets
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ftops.engine.tiny.batch import encode_examples
from ftops.engine.tiny.config import CONTEXT_LENGTH, HEAD_DIM
from ftops.engine.tiny.document import render_answer, render_prompt
from ftops.engine.tiny.inference import BlockedWeights, KVCache, read_prompts, read_token
from ftops.engine.tiny.loss import measure
from ftops.engine.tiny.parameters import Array, Indices, Parameters, Tokens
from ftops.engine.tiny.tokenizer import Tokenizer
from ftops.engine.trainer import (
    GenerationChunk,
    Prompt,
    PromptTooLong,
    SamplingParams,
    TokenLogprob,
)
from ftops.errors import EngineError

_MAX_ANSWERS = 64
_CACHE_FLOATS = 1 << 26  # of their keys and values: 256 MiB
_PROMPT_SCORES = 1 << 22  # prompts * longest²: attention scores of one step
_GROW_BY = 64  # tokens


class Sampler:
    """The sampling parameters and the random generator of one answer.

    The generator depends only on the seed and the answer's number, not on the rest of the batch.
    """

    def __init__(self, params: SamplingParams, n_tokens: int, *, entropy: int, number: int) -> None:
        self.params = params
        self.rng = np.random.default_rng([entropy, number])
        self._bias: Array | None = None
        if params.logit_bias:
            self._bias = np.zeros(n_tokens, dtype=np.float32)
            for token, bias in params.logit_bias.items():
                self._bias[token] += np.float32(bias)
        penalised = params.presence_penalty or params.frequency_penalty
        self._counts = np.zeros(n_tokens, dtype=np.float32) if penalised else None
        self.is_plain = self._bias is None and self._counts is None  # does not change logits

    def adjust(self, logits: Array) -> None:
        """Apply bias and penalties to one row of logits."""
        if self._bias is not None:
            logits += self._bias
        if self._counts is not None:
            logits -= self.params.frequency_penalty * self._counts
            logits -= self.params.presence_penalty * (self._counts > 0)

    def count(self, token: int) -> None:
        if self._counts is not None:
            self._counts[token] += 1


def sample_tokens(logits: Array, samplers: Sequence[Sampler]) -> Indices:
    """The next token of each answer; adjusts `logits` [answers, vocabulary] in place."""
    special = [place for place, draw in enumerate(samplers) if not draw.is_plain]
    for place in special:
        samplers[place].adjust(logits[place])
    tokens: Indices = logits.argmax(axis=1)
    warm = [place for place, draw in enumerate(samplers) if draw.params.temperature > 0]
    if len(warm) == len(samplers):
        tokens = _pick(logits, samplers)
    elif warm:
        tokens[warm] = _pick(logits[warm], [samplers[place] for place in warm])
    for place in special:
        samplers[place].count(int(tokens[place]))
    return tokens


def _pick(logits: Array, samplers: Sequence[Sampler]) -> Indices:
    temperatures = np.array([draw.params.temperature for draw in samplers])
    probabilities = logits - logits.max(axis=1, keepdims=True).astype(np.float64)
    probabilities /= temperatures[:, None]
    np.exp(probabilities, out=probabilities)
    for row, draw in zip(probabilities, samplers, strict=True):
        if draw.params.top_p < 1:
            _keep_nucleus(row, draw.params.top_p)
    cumulative = np.cumsum(probabilities, axis=1)
    totals = cumulative[:, -1]
    points = np.array([draw.rng.random() for draw in samplers]) * totals
    points = np.minimum(points, np.nextafter(totals, 0))  # a product may be rounded up
    picked: Indices = (cumulative <= points[:, None]).sum(axis=1)
    return picked


def _keep_nucleus(probabilities: Array, top_p: float) -> None:
    """Keep the most likely tokens until their probabilities reach `top_p`, at least one."""
    order = np.argsort(-probabilities, kind="stable")
    cumulative = np.cumsum(probabilities[order])
    reach = int(np.searchsorted(cumulative, top_p * cumulative[-1]))
    probabilities[order[reach + 1 :]] = 0


def log_softmax(logits: Array) -> Array:
    """Natural logarithm of the softmax along the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    logs: Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return logs


def list_top_tokens(row: Array, n: int) -> Mapping[int, float]:
    """The n most likely tokens of one row of log probabilities, most likely first."""
    best = np.argsort(-row, kind="stable")[:n]
    return {int(token): float(row[token]) for token in best if np.isfinite(row[token])}


@dataclass(slots=True)
class AnswerDecoder:
    """Decodes the tokens of one answer, and holds text back that may become a stop sequence."""

    index: int  # the request id
    stops: Sequence[str]
    _decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")(errors="replace")
    )
    _held: str = ""  # decoded, not sent yet
    _sent: int = 0  # characters
    _logprobs: list[tuple[int, TokenLogprob]] = field(default_factory=list)  # with their offsets
    _n_new: int = 0
    finish_reason: str | None = None

    def add(self, piece: bytes, logprob: TokenLogprob | None) -> None:
        """Add the bytes of a token; sets `finish_reason` when a stop sequence is complete."""
        if logprob is not None:
            self._logprobs.append((self._sent + len(self._held), logprob))
        self._n_new += 1
        self._held += self._decoder.decode(piece)
        starts = [start for stop in self.stops if (start := self._held.find(stop)) >= 0]
        if starts:
            self._held = self._held[: min(starts)]
            self.finish_reason = "stop"

    def finish(self, reason: str) -> None:
        """End the answer, unless a stop sequence has."""
        if self.finish_reason is None:
            self._held += self._decoder.decode(b"", final=True)
            self.finish_reason = reason

    def take(self) -> GenerationChunk | None:
        """The text that can be sent now, if any."""
        n_ready = len(self._held) - (0 if self.finish_reason else self._count_stop_prefix())
        if not n_ready and self.finish_reason is None:
            return None
        text, self._held = self._held[:n_ready], self._held[n_ready:]
        self._sent += n_ready
        ready: tuple[TokenLogprob, ...] = ()
        if self._logprobs:
            ready = tuple(entry for start, entry in self._logprobs if start < self._sent)
            self._logprobs = self._logprobs[len(ready) :]
        n_new, self._n_new = self._n_new, 0
        return GenerationChunk(self.index, text, ready, n_new, self.finish_reason)

    def _count_stop_prefix(self) -> int:
        """The length of the partial stop sequence at the end of the held text."""
        if not self.stops:
            return 0
        longest = max((len(stop) for stop in self.stops), default=0) - 1
        for n in range(min(longest, len(self._held)), 0, -1):
            tail = self._held[-n:]
            if any(stop.startswith(tail) for stop in self.stops):
                return n
        return 0


@dataclass(slots=True)
class _Sequence:
    """One answer of a batch; `prompt` is processed when there is memory for it."""

    answer: AnswerDecoder
    sampler: Sampler
    prompt: Tokens
    n_tokens: int = 0
    token: int = 0  # the last one

    @property
    def max_length(self) -> int:
        """The most tokens of prompt and answer."""
        return min(len(self.prompt) + self.sampler.params.max_tokens, CONTEXT_LENGTH + 1)


class TinyBatch:
    """The `Batch` of this trainer."""

    def __init__(self, tokenizer: Tokenizer, blocked: BlockedWeights) -> None:
        self._tokenizer = tokenizer
        self._blocked = blocked
        self._shape = blocked.parameters.shape
        self._token_mask = _mask_tokens(tokenizer)
        self._waiting: deque[_Sequence] = deque()
        self._rows: list[_Sequence] = []
        self._empty: list[int] = []  # ids of answers with max_tokens 0
        self._n_added = 0
        self._cache = KVCache(self._allocate(0, 0), np.zeros(0, dtype=np.intp))

    def __len__(self) -> int:
        return len(self._rows) + len(self._waiting) + len(self._empty)

    def add(self, prompts: Sequence[Prompt], params: SamplingParams) -> Sequence[int]:
        """Add one answer for each prompt; returns the request ids that their chunks carry.

        Raises PromptTooLong, or EngineError when `logit_bias` has an unknown token id.
        """
        vocab_size = self._tokenizer.vocab_size
        for token in params.logit_bias:
            if not 0 <= token < vocab_size:
                raise EngineError(
                    f"logit_bias: no token {token} in a vocabulary of {vocab_size}",
                    hint=f"Use token ids of this model: 0 to {vocab_size - 1}.",
                )
        encoded: dict[int, Tokens] = {}  # a prompt with `n` answers is encoded once
        for index, prompt in enumerate(prompts):
            if id(prompt) not in encoded:
                encoded[id(prompt)] = self._encode_prompt(index, prompt)
        entropy = secrets.randbits(63) if params.seed is None else params.seed % 2**63
        first = self._n_added
        self._n_added += len(prompts)
        if params.max_tokens < 1:
            self._empty += range(first, self._n_added)
            return range(first, self._n_added)
        stops = [stop for stop in params.stop if stop]
        for number, prompt in enumerate(prompts):
            sampler = Sampler(params, self._tokenizer.vocab_size, entropy=entropy, number=number)
            self._waiting.append(
                _Sequence(AnswerDecoder(first + number, stops), sampler, encoded[id(prompt)])
            )
        return range(first, self._n_added)

    def remove(self, request_ids: Collection[int]) -> None:
        """Drop these answers."""
        removed = frozenset(request_ids)
        self._empty = [request_id for request_id in self._empty if request_id not in removed]
        self._waiting = deque(row for row in self._waiting if row.answer.index not in removed)
        self._keep([n for n, row in enumerate(self._rows) if row.answer.index not in removed])

    def step(self) -> Sequence[GenerationChunk]:
        """Generate one more token of every answer; returns the text that can be sent."""
        chunks = [
            GenerationChunk(request_id, "", finish_reason="length") for request_id in self._empty
        ]
        self._empty.clear()
        logits = [self._read_tokens(), *self._read_prompts()]
        if not self._rows:
            return chunks
        adjusted = np.concatenate(logits) + self._token_mask
        tokens = sample_tokens(adjusted, [row.sampler for row in self._rows])
        logprobs = self._list_logprobs(tokens, adjusted)
        are_full = (self._cache.lengths[: len(self._rows)] >= CONTEXT_LENGTH).tolist()
        active: list[int] = []
        for place, (row, token) in enumerate(zip(self._rows, tokens.tolist(), strict=True)):
            self._extend(row, token, logprobs[place], full=are_full[place])
            if (chunk := row.answer.take()) is not None:
                chunks.append(chunk)
            if row.answer.finish_reason is None:
                active.append(place)
        self._keep(active)
        return chunks

    def _encode_prompt(self, index: int, prompt: Prompt) -> Tokens:
        ids, _ = self._tokenizer.encode_document(render_prompt(prompt))
        if len(ids) >= CONTEXT_LENGTH:
            raise PromptTooLong(index, len(ids), CONTEXT_LENGTH - 1)
        return np.concatenate([np.array([self._tokenizer.end_of_text], dtype=ids.dtype), ids])

    def _read_tokens(self) -> Array:
        """Logits [answers, vocabulary] after the last token of each answer."""
        n_rows = len(self._rows)
        if not n_rows:
            return np.zeros((0, self._tokenizer.vocab_size), dtype=np.float32)
        self._reserve(n_rows, int(self._cache.lengths[:n_rows].max()) + 1)
        rows = KVCache(self._cache.stored[:, :, :n_rows], self._cache.lengths[:n_rows])
        tokens = np.array([row.token for row in self._rows])
        logits = read_token(self._blocked, rows, tokens)
        self._cache.lengths[:n_rows] = rows.lengths
        return logits

    def _read_prompts(self) -> Sequence[Array]:
        """Process the prompts that fit; logits [prompts, vocabulary] after each."""
        new = self._choose_waiting()
        if not new:
            return []
        logits, filled = read_prompts(self._blocked, [row.prompt for row in new])
        first, n_rows = len(self._rows), len(self._rows) + len(new)
        longest = int(filled.lengths.max())
        self._reserve(n_rows, longest + 1)
        self._cache.stored[:, :, first:n_rows, :, :longest] = filled.stored[:, :, :, :, :longest]
        self._cache.lengths[first:n_rows] = filled.lengths
        self._rows += new
        return [logits]

    def _choose_waiting(self) -> list[_Sequence]:
        """The first waiting answers that fit into the memory and into one step."""
        if not self._waiting:
            return []
        shape = self._shape
        floats = 2 * shape.n_layers * shape.width
        capacity = max((row.max_length for row in self._rows), default=0)
        new: list[_Sequence] = []
        longest = 0
        while self._waiting:
            row = self._waiting[0]
            n_rows = len(self._rows) + len(new) + 1
            capacity, longest = max(capacity, row.max_length), max(longest, len(row.prompt))
            fits = n_rows <= _MAX_ANSWERS and n_rows * capacity * floats <= _CACHE_FLOATS
            is_short = (len(new) + 1) * longest**2 <= _PROMPT_SCORES
            if not (fits and (is_short or not new)) and n_rows > 1:
                break
            new.append(self._waiting.popleft())
        return new

    def _reserve(self, n_rows: int, length: int) -> None:
        """Grow the cache if it is too small."""
        n_allocated, capacity = self._cache.stored.shape[2], self._cache.stored.shape[4]
        if n_rows <= n_allocated and length <= capacity:
            return
        new_capacity = capacity if length <= capacity else length + max(_GROW_BY, capacity // 2)
        larger = self._allocate(
            n_allocated if n_rows <= n_allocated else max(n_rows, 2 * n_allocated), new_capacity
        )
        larger[:, :, :n_allocated, :, :capacity] = self._cache.stored
        lengths = np.zeros(larger.shape[2], dtype=np.intp)
        lengths[:n_allocated] = self._cache.lengths
        self._cache = KVCache(larger, lengths)

    def _allocate(self, n_rows: int, capacity: int) -> Array:
        shape = self._shape
        sizes = (shape.n_layers, 2, n_rows, shape.n_heads, capacity, HEAD_DIM)
        return np.zeros(sizes, dtype=np.float32)

    def _keep(self, active: Sequence[int]) -> None:
        """Keep these rows, moved into the first places."""
        n_rows = len(active)
        if n_rows == len(self._rows):
            return
        gaps = sorted(set(range(n_rows)) - set(active))
        for gap, place in zip(gaps, [place for place in active if place >= n_rows], strict=True):
            self._rows[gap] = self._rows[place]
            self._cache.stored[:, :, gap] = self._cache.stored[:, :, place]
            self._cache.lengths[gap] = self._cache.lengths[place]
        del self._rows[n_rows:]
        if not n_rows:
            self._cache = KVCache(self._allocate(0, 0), np.zeros(0, dtype=np.intp))

    def _extend(
        self, row: _Sequence, token: int, logprob: TokenLogprob | None, *, full: bool
    ) -> None:
        row.token = token
        row.n_tokens += 1
        if token in self._tokenizer.ends:
            row.answer.finish("stop")
        else:
            row.answer.add(self._tokenizer.pieces[token], logprob)
        if full or row.n_tokens >= row.sampler.params.max_tokens:
            row.answer.finish("length")

    def _list_logprobs(self, tokens: Indices, logits: Array) -> Sequence[TokenLogprob | None]:
        entries: list[TokenLogprob | None] = [None] * len(tokens)
        for place, row in enumerate(self._rows):
            n_top = row.sampler.params.logprobs
            if n_top is None:
                continue
            log_probs = log_softmax(logits[place])
            token, name = int(tokens[place]), self._tokenizer.name_token
            top = {name(one): value for one, value in list_top_tokens(log_probs, n_top).items()}
            entries[place] = TokenLogprob(name(token), float(log_probs[token]), top)
        return entries


def _mask_tokens(tokenizer: Tokenizer) -> Array:
    """[vocabulary] 0 for text tokens and end tokens, -inf for the others."""
    allowed = np.zeros(tokenizer.vocab_size, dtype=np.float32)
    allowed[tokenizer.n_text_tokens :] = -np.inf
    allowed[list(tokenizer.ends)] = 0
    return allowed


class TinyModel:
    """The `LoadedModel` of this trainer."""

    context_length = CONTEXT_LENGTH

    def __init__(self, tokenizer: Tokenizer, parameters: Parameters) -> None:
        self._tokenizer = tokenizer
        self._parameters = parameters
        self._blocked = BlockedWeights(parameters)
        self.longest_token_bytes = max(map(len, tokenizer.pieces))

    def count_tokens(self, prompt: Prompt) -> int:
        """The tokens of the prompt, without the start token."""
        return len(self._tokenizer.encode_document(render_prompt(prompt))[0])

    def log_probability(self, prompt: Prompt, answer: str) -> float:
        """The log probability in nats of the answer with its end token, given the prompt."""
        examples = encode_examples([render_answer(prompt, answer)], self._tokenizer)
        return -measure(self._parameters, examples).loss

    def open_batch(self) -> TinyBatch:
        """An empty batch."""
        return TinyBatch(self._tokenizer, self._blocked)

    def generate(
        self, prompts: Sequence[Prompt], params: SamplingParams
    ) -> Iterator[GenerationChunk]:
        """Answer all prompts in one batch; raises what `TinyBatch.add` raises, at once."""
        batch = self.open_batch()
        batch.add(prompts, params)
        return _drain(batch)


def _drain(batch: TinyBatch) -> Iterator[GenerationChunk]:
    while len(batch):
        yield from batch.step()
