"""The text of one answer as it grows: whole characters only, nothing that may become a stop."""

import codecs
import secrets
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from ftops.engine.tiny.batch import encode_examples
from ftops.engine.tiny.config import CONTEXT_LENGTH, HEAD_DIM
from ftops.engine.tiny.inference import BlockedWeights, KVCache, read_prompts, read_token
from ftops.engine.tiny.loss import measure
from ftops.engine.tiny.parameters import Array, Indices, Parameters, Tokens
from ftops.engine.tiny.sampling import Sampler, list_top_tokens, log_softmax, sample_tokens
from ftops.engine.tiny.tokenizer import Tokenizer
from ftops.engine.trainer import (
    Document,
    GenerationChunk,
    PromptTooLong,
    SamplingParams,
    TokenLogprob,
)
from ftops.errors import EngineError


@dataclass(slots=True)
class AnswerDecoder:
    """Collects the bytes of drawn tokens and gives out text that nothing can take back."""

    index: int  # which prompt it answers
    stops: Sequence[str]
    _decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")(errors="replace")
    )
    _held: str = ""  # decoded, not given out yet
    _sent: int = 0  # characters given out
    _logprobs: list[tuple[int, TokenLogprob]] = field(default_factory=list)  # with their start
    _n_new: int = 0
    finish_reason: str | None = None

    def add(self, piece: bytes, logprob: TokenLogprob | None) -> None:
        """Take the bytes of one more token; sets `finish_reason` when a stop is complete."""
        if logprob is not None:
            self._logprobs.append((self._sent + len(self._held), logprob))
        self._n_new += 1
        self._held += self._decoder.decode(piece)
        found = [place for stop in self.stops if (place := self._held.find(stop)) >= 0]
        if found:
            self._held = self._held[: min(found)]
            self.finish_reason = "stop"

    def end(self, reason: str) -> None:
        """No more tokens will come."""
        if self.finish_reason is None:
            self._held += self._decoder.decode(b"", final=True)
            self.finish_reason = reason

    def take(self) -> GenerationChunk | None:
        """What can be given out now, if anything."""
        n_ready = len(self._held) - (0 if self.finish_reason else self._count_doubtful())
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

    def _count_doubtful(self) -> int:
        """How many of the held characters may be the beginning of a stop."""
        if not self.stops:
            return 0
        longest = max((len(stop) for stop in self.stops), default=0) - 1
        for n in range(min(longest, len(self._held)), 0, -1):
            tail = self._held[-n:]
            if any(stop.startswith(tail) for stop in self.stops):
                return n
        return 0


_SIDE_BY_SIDE = 64  # answers at most
_CACHE_FLOATS = 1 << 26  # room for their keys and values: 256 MiB
_PROMPT_SCORES = 1 << 22  # prompts * longest²: how much is read in one step
_GROW_BY = 64  # tokens of room


@dataclass(slots=True)
class _Sequence:
    """One answer on its way; `prompt` is read when there is room for it."""

    answer: AnswerDecoder
    draws: Sampler
    prompt: Tokens
    n_drawn: int = 0
    token: int = 0  # the last one

    @property
    def room(self) -> int:
        """Tokens that it may come to."""
        return min(len(self.prompt) + self.draws.params.max_tokens, CONTEXT_LENGTH + 1)


class TinyBatch:
    """The `Batch` of this trainer; the caller has checked what it lets join."""

    def __init__(self, tokenizer: Tokenizer, blocked: BlockedWeights) -> None:
        self._tokenizer = tokenizer
        self._blocked = blocked
        self._shape = blocked.parameters.shape
        self._allowed = _allow_tokens(tokenizer)
        self._waiting: deque[_Sequence] = deque()
        self._rows: list[_Sequence] = []
        self._empty: list[int] = []  # tickets of answers that may not have a single token
        self._n_joined = 0
        self._cache = KVCache(self._slab(0, 0), np.zeros(0, dtype=np.intp))

    def __len__(self) -> int:
        return len(self._rows) + len(self._waiting) + len(self._empty)

    def add(self, prompts: Sequence[Document], params: SamplingParams) -> Sequence[int]:
        """Add one answer for each prompt; returns the request ids that their deltas carry.

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
        first = self._n_joined
        self._n_joined += len(prompts)
        if params.max_tokens < 1:
            self._empty += range(first, self._n_joined)
            return range(first, self._n_joined)
        stops = [stop for stop in params.stop if stop]
        for number, prompt in enumerate(prompts):
            draws = Sampler(params, self._tokenizer.vocab_size, entropy=entropy, number=number)
            self._waiting.append(
                _Sequence(AnswerDecoder(first + number, stops), draws, encoded[id(prompt)])
            )
        return range(first, self._n_joined)

    def remove(self, request_ids: Collection[int]) -> None:
        """Nobody wants these answers any more."""
        gone = frozenset(request_ids)
        self._empty = [request_id for request_id in self._empty if request_id not in gone]
        self._waiting = deque(row for row in self._waiting if row.answer.index not in gone)
        self._keep([n for n, row in enumerate(self._rows) if row.answer.index not in gone])

    def step(self) -> Sequence[GenerationChunk]:
        """Draw one more token for every answer; the pieces of text that are ready."""
        deltas = [
            GenerationChunk(request_id, "", finish_reason="length") for request_id in self._empty
        ]
        self._empty.clear()
        logits = [self._read_tokens(), *self._read_prompts()]
        if not self._rows:
            return deltas
        adjusted = np.concatenate(logits) + self._allowed
        tokens = sample_tokens(adjusted, [row.draws for row in self._rows])
        logprobs = self._list_logprobs(tokens, adjusted)
        are_full = (self._cache.lengths[: len(self._rows)] >= CONTEXT_LENGTH).tolist()
        going: list[int] = []
        for place, (row, token) in enumerate(zip(self._rows, tokens.tolist(), strict=True)):
            self._extend(row, token, logprobs[place], full=are_full[place])
            if (delta := row.answer.take()) is not None:
                deltas.append(delta)
            if row.answer.finish_reason is None:
                going.append(place)
        self._keep(going)
        return deltas

    def _encode_prompt(self, index: int, prompt: Document) -> Tokens:
        ids, _ = self._tokenizer.encode_document(prompt)
        if len(ids) >= CONTEXT_LENGTH:
            raise PromptTooLong(index, len(ids), CONTEXT_LENGTH - 1)
        return np.concatenate([np.array([self._tokenizer.end_of_text], dtype=ids.dtype), ids])

    def _read_tokens(self) -> Array:
        """Logits of what follows the last token of each answer."""
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
        """Let those join for whom there is room; logits of what follows their prompts."""
        coming = self._choose()
        if not coming:
            return []
        logits, filled = read_prompts(self._blocked, [row.prompt for row in coming])
        first, n_rows = len(self._rows), len(self._rows) + len(coming)
        longest = int(filled.lengths.max())
        self._reserve(n_rows, longest + 1)
        self._cache.stored[:, :, first:n_rows, :, :longest] = filled.stored[:, :, :, :, :longest]
        self._cache.lengths[first:n_rows] = filled.lengths
        self._rows += coming
        return [logits]

    def _choose(self) -> list[_Sequence]:
        """The first of those waiting that fit into the memory, and into one step."""
        if not self._waiting:
            return []
        shape = self._shape
        floats = 2 * shape.n_layers * shape.width
        room = max((row.room for row in self._rows), default=0)
        coming: list[_Sequence] = []
        longest = 0
        while self._waiting:
            row = self._waiting[0]
            n_rows = len(self._rows) + len(coming) + 1
            room, longest = max(room, row.room), max(longest, len(row.prompt))
            fits = n_rows <= _SIDE_BY_SIDE and n_rows * room * floats <= _CACHE_FLOATS
            is_short = (len(coming) + 1) * longest**2 <= _PROMPT_SCORES
            if not (fits and (is_short or not coming)) and n_rows > 1:
                break
            coming.append(self._waiting.popleft())
        return coming

    def _reserve(self, n_rows: int, length: int) -> None:
        """Make the slab large enough."""
        there, room = self._cache.stored.shape[2], self._cache.stored.shape[4]
        if n_rows <= there and length <= room:
            return
        new_room = room if length <= room else length + max(_GROW_BY, room // 2)
        larger = self._slab(there if n_rows <= there else max(n_rows, 2 * there), new_room)
        larger[:, :, :there, :, :room] = self._cache.stored
        lengths = np.zeros(larger.shape[2], dtype=np.intp)
        lengths[:there] = self._cache.lengths
        self._cache = KVCache(larger, lengths)

    def _slab(self, n_rows: int, room: int) -> Array:
        shape = self._shape
        sizes = (shape.n_layers, 2, n_rows, shape.n_heads, room, HEAD_DIM)
        return np.zeros(sizes, dtype=np.float32)

    def _keep(self, going: Sequence[int]) -> None:
        """Close the gaps that ended answers leave."""
        n_rows = len(going)
        if n_rows == len(self._rows):
            return
        gaps = sorted(set(range(n_rows)) - set(going))
        for gap, place in zip(gaps, [place for place in going if place >= n_rows], strict=True):
            self._rows[gap] = self._rows[place]
            self._cache.stored[:, :, gap] = self._cache.stored[:, :, place]
            self._cache.lengths[gap] = self._cache.lengths[place]
        del self._rows[n_rows:]
        if not n_rows:
            self._cache = KVCache(self._slab(0, 0), np.zeros(0, dtype=np.intp))

    def _extend(
        self, row: _Sequence, token: int, logprob: TokenLogprob | None, *, full: bool
    ) -> None:
        row.token = token
        row.n_drawn += 1
        if token in self._tokenizer.ends:
            row.answer.end("stop")
        else:
            row.answer.add(self._tokenizer.pieces[token], logprob)
        if full or row.n_drawn >= row.draws.params.max_tokens:
            row.answer.end("length")

    def _list_logprobs(self, tokens: Indices, logits: Array) -> Sequence[TokenLogprob | None]:
        entries: list[TokenLogprob | None] = [None] * len(tokens)
        for place, row in enumerate(self._rows):
            n_wanted = row.draws.params.logprobs
            if n_wanted is None:
                continue
            shares = log_softmax(logits[place])
            token, name = int(tokens[place]), self._tokenizer.name_token
            top = {name(one): value for one, value in list_top_tokens(shares, n_wanted).items()}
            entries[place] = TokenLogprob(name(token), float(shares[token]), top)
        return entries


def _allow_tokens(tokenizer: Tokenizer) -> Array:
    """0 for every token that may be drawn: text, and what ends an answer."""
    allowed = np.zeros(tokenizer.vocab_size, dtype=np.float32)
    allowed[tokenizer.n_text_tokens :] = -np.inf
    allowed[list(tokenizer.ends)] = 0
    return allowed


class TinyModel:
    """A model in memory: the `LoadedModel` of this trainer."""

    context_length = CONTEXT_LENGTH

    def __init__(self, tokenizer: Tokenizer, parameters: Parameters) -> None:
        self._tokenizer = tokenizer
        self._parameters = parameters
        self._blocked = BlockedWeights(parameters)
        self.longest_token_bytes = max(map(len, tokenizer.pieces))

    def count_tokens(self, document: Document) -> int:
        """Tokens of the document as written; the start token in front is not counted."""
        return len(self._tokenizer.encode_document(document)[0])

    def log_probability(self, document: Document) -> float:
        """How likely the segments of weight 1 are behind what stands before them, in nats."""
        examples = encode_examples([document], self._tokenizer)
        if not examples[0].weights.any():
            return 0.0  # nothing is asked: an empty answer is certain
        return -measure(self._parameters, examples).loss

    def open_batch(self) -> TinyBatch:
        """An empty batch."""
        return TinyBatch(self._tokenizer, self._blocked)

    def generate(
        self, prompts: Sequence[Document], params: SamplingParams
    ) -> Iterator[GenerationChunk]:
        """Answer all prompts side by side.

        PromptTooLong when one leaves no room for an answer, EngineError when `logit_bias` names
        a token that does not exist: both before the first piece.
        """
        batch = self.open_batch()
        batch.add(prompts, params)
        return _drain(batch)


def _drain(batch: TinyBatch) -> Iterator[GenerationChunk]:
    while len(batch):
        yield from batch.step()
