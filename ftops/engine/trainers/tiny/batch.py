"""Answers that grow side by side, one token a step, whoever asked for them.

Others may join and leave between any two steps: reading all weights once for many answers is what
makes them cheap. Keys and values stand in one slab of memory with a row for each answer; the last
row moves into the place of one that has ended, so that the rows in use are always the first ones.
"""

import secrets
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from ftops.engine.trainers.protocol import Delta, SamplingParams, TokenLogprob
from ftops.engine.trainers.tiny.answer import Answer
from ftops.engine.trainers.tiny.cache import Cache, read_prompts, read_token
from ftops.engine.trainers.tiny.parameters import Array, Indices, Tokens
from ftops.engine.trainers.tiny.products import Products
from ftops.engine.trainers.tiny.sampling import Draws, draw_tokens, list_likeliest, log_shares
from ftops.engine.trainers.tiny.sizes import CONTEXT_LENGTH, HEAD_DIM
from ftops.engine.trainers.tiny.tokenizer import Tokenizer

_SIDE_BY_SIDE = 64  # answers at most
_CACHE_FLOATS = 1 << 26  # room for their keys and values: 256 MiB
_PROMPT_SCORES = 1 << 22  # prompts * longest²: how much is read in one step
_GROW_BY = 64  # tokens of room


@dataclass(slots=True)
class _Row:
    """One answer on its way; `prompt` is read when there is room for it."""

    answer: Answer
    draws: Draws
    prompt: Tokens
    n_drawn: int = 0
    token: int = 0  # the last one

    @property
    def room(self) -> int:
        """Tokens that it may come to."""
        return min(len(self.prompt) + self.draws.params.max_tokens, CONTEXT_LENGTH + 1)


class TinyBatch:
    """The `Batch` of this trainer; the caller has checked what it lets join."""

    def __init__(self, tokenizer: Tokenizer, products: Products) -> None:
        self._tokenizer = tokenizer
        self._products = products
        self._shape = products.parameters.shape
        self._allowed = _allow_tokens(tokenizer)
        self._waiting: deque[_Row] = deque()
        self._rows: list[_Row] = []
        self._empty: list[int] = []  # tickets of answers that may not have a single token
        self._n_joined = 0
        self._cache = Cache(self._slab(0, 0), np.zeros(0, dtype=np.intp))

    def __len__(self) -> int:
        return len(self._rows) + len(self._waiting) + len(self._empty)

    def add(self, prompts: Sequence[Tokens], params: SamplingParams) -> Sequence[int]:
        """Let answers to the encoded prompts join; their tickets, which later pieces carry."""
        entropy = secrets.randbits(63) if params.seed is None else params.seed % 2**63
        first = self._n_joined
        self._n_joined += len(prompts)
        if params.max_tokens < 1:
            self._empty += range(first, self._n_joined)
            return range(first, self._n_joined)
        stops = [stop for stop in params.stop if stop]
        for number, prompt in enumerate(prompts):
            draws = Draws(params, self._tokenizer.vocab_size, entropy=entropy, number=number)
            self._waiting.append(_Row(Answer(first + number, stops), draws, prompt))
        return range(first, self._n_joined)

    def leave(self, tickets: Collection[int]) -> None:
        """Nobody wants these answers any more."""
        gone = frozenset(tickets)
        self._empty = [ticket for ticket in self._empty if ticket not in gone]
        self._waiting = deque(row for row in self._waiting if row.answer.index not in gone)
        self._keep([n for n, row in enumerate(self._rows) if row.answer.index not in gone])

    def step(self) -> Sequence[Delta]:
        """Draw one more token for every answer; the pieces of text that are ready."""
        deltas = [Delta(ticket, "", finish_reason="length") for ticket in self._empty]
        self._empty.clear()
        logits = [self._read_tokens(), *self._read_prompts()]
        if not self._rows:
            return deltas
        adjusted = np.concatenate(logits) + self._allowed
        tokens = draw_tokens(adjusted, [row.draws for row in self._rows])
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

    def _read_tokens(self) -> Array:
        """Logits of what follows the last token of each answer."""
        n_rows = len(self._rows)
        if not n_rows:
            return np.zeros((0, self._tokenizer.vocab_size), dtype=np.float32)
        self._reserve(n_rows, int(self._cache.lengths[:n_rows].max()) + 1)
        rows = Cache(self._cache.stored[:, :, :n_rows], self._cache.lengths[:n_rows])
        tokens = np.array([row.token for row in self._rows])
        logits = read_token(self._products, rows, tokens)
        self._cache.lengths[:n_rows] = rows.lengths
        return logits

    def _read_prompts(self) -> Sequence[Array]:
        """Let those join for whom there is room; logits of what follows their prompts."""
        coming = self._choose()
        if not coming:
            return []
        logits, filled = read_prompts(self._products, [row.prompt for row in coming])
        first, n_rows = len(self._rows), len(self._rows) + len(coming)
        longest = int(filled.lengths.max())
        self._reserve(n_rows, longest + 1)
        self._cache.stored[:, :, first:n_rows, :, :longest] = filled.stored[:, :, :, :, :longest]
        self._cache.lengths[first:n_rows] = filled.lengths
        self._rows += coming
        return [logits]

    def _choose(self) -> list[_Row]:
        """The first of those waiting that fit into the memory, and into one step."""
        if not self._waiting:
            return []
        shape = self._shape
        floats = 2 * shape.n_layers * shape.width
        room = max((row.room for row in self._rows), default=0)
        coming: list[_Row] = []
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
        self._cache = Cache(larger, lengths)

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
            self._cache = Cache(self._slab(0, 0), np.zeros(0, dtype=np.intp))

    def _extend(self, row: _Row, token: int, logprob: TokenLogprob | None, *, full: bool) -> None:
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
            shares = log_shares(logits[place])
            token, name = int(tokens[place]), self._tokenizer.name_token
            top = {name(one): value for one, value in list_likeliest(shares, n_wanted).items()}
            entries[place] = TokenLogprob(name(token), float(shares[token]), top)
        return entries


def _allow_tokens(tokenizer: Tokenizer) -> Array:
    """0 for every token that may be drawn: text, and what ends an answer."""
    allowed = np.zeros(tokenizer.vocab_size, dtype=np.float32)
    allowed[tokenizer.n_text_tokens :] = -np.inf
    allowed[list(tokenizer.ends)] = 0
    return allowed
