"""Answering prompts, many side by side, with a KV cache."""

import secrets
from collections.abc import Iterator, Sequence

import numpy as np

from ftops.engine.trainers.protocol import (
    Delta,
    Document,
    PromptTooLong,
    SamplingParams,
    TokenLogprob,
)
from ftops.engine.trainers.tiny.answer import Answer
from ftops.engine.trainers.tiny.cache import read_prompts, read_token
from ftops.engine.trainers.tiny.encode import encode_examples
from ftops.engine.trainers.tiny.gradients import measure
from ftops.engine.trainers.tiny.parameters import Array, Indices, Parameters, Tokens
from ftops.engine.trainers.tiny.sampling import Sampler, list_likeliest, log_shares
from ftops.engine.trainers.tiny.sizes import CONTEXT_LENGTH
from ftops.engine.trainers.tiny.tokenizer import Tokenizer
from ftops.errors import EngineError

_SIDE_BY_SIDE = 64  # answers at most
_CACHE_FLOATS = 1 << 26  # room for their keys and values: 256 MiB


class TinyModel:
    """A model in memory: the `LoadedModel` of this trainer."""

    context_length = CONTEXT_LENGTH

    def __init__(self, tokenizer: Tokenizer, parameters: Parameters) -> None:
        self._tokenizer = tokenizer
        self._parameters = parameters

    def count_tokens(self, document: Document) -> int:
        """Tokens of the document as written; the start token in front is not counted."""
        return len(self._tokenizer.encode_document(document)[0])

    def generate(self, prompts: Sequence[Document], params: SamplingParams) -> Iterator[Delta]:
        """Answer all prompts side by side.

        PromptTooLong when one leaves no room for an answer, EngineError when `logit_bias` names
        a token that does not exist: both before the first piece.
        """
        vocab_size = self._tokenizer.vocab_size
        for token in params.logit_bias:
            if not 0 <= token < vocab_size:
                raise EngineError(
                    f"logit_bias names token {token}; the model has {vocab_size} tokens",
                    hint="Name tokens by their number in the model's own vocabulary.",
                )
        encoded = [self._encode_prompt(index, prompt) for index, prompt in enumerate(prompts)]
        return self._answer_all(encoded, params)

    def log_probability(self, document: Document) -> float:
        """How likely the segments of weight 1 are behind what stands before them, in nats."""
        examples = encode_examples([document], self._tokenizer)
        if not examples[0].weights.any():
            return 0.0  # nothing is asked: an empty answer is certain
        return -measure(self._parameters, examples).loss

    def _encode_prompt(self, index: int, prompt: Document) -> Tokens:
        ids, _ = self._tokenizer.encode_document(prompt)
        if len(ids) >= CONTEXT_LENGTH:
            raise PromptTooLong(index, len(ids), CONTEXT_LENGTH - 1)
        return np.concatenate([np.array([self._tokenizer.end_of_text], dtype=ids.dtype), ids])

    def _answer_all(self, prompts: list[Tokens], params: SamplingParams) -> Iterator[Delta]:
        entropy = secrets.randbits(63) if params.seed is None else params.seed % 2**63
        shape = self._parameters.shape
        start = 0
        while start < len(prompts):
            longest = max(len(tokens) for tokens in prompts[start : start + _SIDE_BY_SIDE])
            room = min(longest + params.max_tokens, CONTEXT_LENGTH + 1)
            fitting = _CACHE_FLOATS // (2 * shape.n_layers * shape.width * room)
            end = min(len(prompts), start + max(1, min(_SIDE_BY_SIDE, fitting)))
            yield from self._answer(start, prompts[start:end], params, entropy)
            start = end

    def _answer(
        self, first: int, prompts: list[Tokens], params: SamplingParams, entropy: int
    ) -> Iterator[Delta]:
        numbers = list(range(first, first + len(prompts)))
        answers = [Answer(number, [stop for stop in params.stop if stop]) for number in numbers]
        if params.max_tokens <= 0:
            yield from (Delta(number, "", finish_reason="length") for number in numbers)
            return
        sampler = Sampler(params, numbers, self._allow_tokens(), entropy)
        logits, cache = read_prompts(self._parameters, prompts)
        for n_drawn in range(1, params.max_tokens + 1):
            tokens, adjusted = sampler.draw(logits)
            logprobs = self._list_logprobs(tokens, adjusted, params)
            full = cache.lengths >= CONTEXT_LENGTH
            going = []
            for row, (answer, token) in enumerate(zip(answers, tokens.tolist(), strict=True)):
                self._extend(answer, token, logprobs[row])
                if n_drawn == params.max_tokens or full[row]:
                    answer.end("length")
                if (delta := answer.take()) is not None:
                    yield delta
                if answer.finish_reason is None:
                    going.append(row)
            if not going:
                return
            if len(going) < len(answers):
                rows = np.array(going)
                answers = [answers[row] for row in going]
                tokens = tokens[rows]
                sampler.keep(rows)
                cache.keep(rows)
            logits = read_token(self._parameters, cache, tokens)

    def _allow_tokens(self) -> Array:
        """0 for every token that may be drawn: text, and what ends an answer."""
        allowed = np.zeros(self._tokenizer.vocab_size, dtype=np.float32)
        allowed[self._tokenizer.n_text_tokens :] = -np.inf
        allowed[list(self._tokenizer.ends)] = 0
        return allowed

    def _extend(self, answer: Answer, token: int, logprob: TokenLogprob | None) -> None:
        if token in self._tokenizer.ends:
            answer.end("stop")
        else:
            answer.add(self._tokenizer.pieces[token], logprob)

    def _list_logprobs(
        self, tokens: Indices, logits: Array, params: SamplingParams
    ) -> Sequence[TokenLogprob | None]:
        if params.logprobs is None:
            return [None] * len(tokens)
        entries = []
        for token, row in zip(tokens.tolist(), log_shares(logits), strict=True):
            top = list_likeliest(row, params.logprobs)
            entries.append(
                TokenLogprob(
                    self._tokenizer.name_token(token),
                    float(row[token]),
                    {self._tokenizer.name_token(other): value for other, value in top.items()},
                )
            )
        return entries
