"""A model in memory that answers prompts, many side by side."""

from collections.abc import Collection, Iterator, Sequence

import numpy as np

from ftops.engine.trainers.protocol import Delta, Document, PromptTooLong, SamplingParams
from ftops.engine.trainers.tiny.batch import TinyBatch
from ftops.engine.trainers.tiny.encode import encode_examples
from ftops.engine.trainers.tiny.gradients import measure
from ftops.engine.trainers.tiny.parameters import Parameters, Tokens
from ftops.engine.trainers.tiny.products import Products
from ftops.engine.trainers.tiny.sizes import CONTEXT_LENGTH
from ftops.engine.trainers.tiny.tokenizer import Tokenizer
from ftops.errors import EngineError


class TinyModel:
    """A model in memory: the `LoadedModel` of this trainer."""

    context_length = CONTEXT_LENGTH

    def __init__(self, tokenizer: Tokenizer, parameters: Parameters) -> None:
        self._tokenizer = tokenizer
        self._parameters = parameters
        self._products = Products(parameters)
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

    def open_batch(self) -> "OpenBatch":
        """Answers that others may join while they are drawn."""
        return OpenBatch(self._tokenizer, TinyBatch(self._tokenizer, self._products))

    def generate(self, prompts: Sequence[Document], params: SamplingParams) -> Iterator[Delta]:
        """Answer all prompts side by side.

        PromptTooLong when one leaves no room for an answer, EngineError when `logit_bias` names
        a token that does not exist: both before the first piece.
        """
        batch = self.open_batch()
        batch.join(prompts, params)
        return _drain(batch)


class OpenBatch:
    """A batch whose door checks what comes in."""

    def __init__(self, tokenizer: Tokenizer, batch: TinyBatch) -> None:
        self._tokenizer = tokenizer
        self._batch = batch

    def __len__(self) -> int:
        return len(self._batch)

    def join(self, prompts: Sequence[Document], params: SamplingParams) -> Sequence[int]:
        """Let the prompts be answered; their tickets. Raises what `generate` raises."""
        vocab_size = self._tokenizer.vocab_size
        for token in params.logit_bias:
            if not 0 <= token < vocab_size:
                raise EngineError(
                    f"logit_bias names token {token}; the model has {vocab_size} tokens",
                    hint="Name tokens by their number in the model's own vocabulary.",
                )
        encoded: dict[int, Tokens] = {}  # a prompt that is answered `n` times, once
        for index, prompt in enumerate(prompts):
            if id(prompt) not in encoded:
                encoded[id(prompt)] = self._encode_prompt(index, prompt)
        return self._batch.add([encoded[id(prompt)] for prompt in prompts], params)

    def step(self) -> Sequence[Delta]:
        return self._batch.step()

    def leave(self, tickets: Collection[int]) -> None:
        self._batch.leave(tickets)

    def _encode_prompt(self, index: int, prompt: Document) -> Tokens:
        ids, _ = self._tokenizer.encode_document(prompt)
        if len(ids) >= CONTEXT_LENGTH:
            raise PromptTooLong(index, len(ids), CONTEXT_LENGTH - 1)
        return np.concatenate([np.array([self._tokenizer.end_of_text], dtype=ids.dtype), ids])


def _drain(batch: OpenBatch) -> Iterator[Delta]:
    while len(batch):
        yield from batch.step()
