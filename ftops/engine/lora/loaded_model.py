"""A trained model in the worker's own process: it measures its job's model before it is published.

The engine answers requests in other processes, faster; see `serving.py`.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig

from ftops.engine.base_models import BaseModel
from ftops.engine.lora.encoding import InvalidChat, RowEncoder, load_tokenizer
from ftops.engine.lora.model import (
    add_adapter,
    choose_device,
    load_adapter,
    load_weights,
    merge_options,
    read_info,
)
from ftops.engine.lora.objective import predict
from ftops.engine.lora.packing import make_pack
from ftops.engine.trainer import GenerationChunk, Prompt, PromptTooLong, SamplingParams
from ftops.engine.training_file import ChatRow, CompletionRow, Turn
from ftops.errors import EngineError


class LoraModel:
    """A model with its adapter, if it has one; prompts are answered one after the other."""

    longest_token_bytes = 256

    def __init__(self, model: Any, tokenizer: Any, context_length: int) -> None:
        self.context_length = context_length
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._encoder = RowEncoder(tokenizer)
        self._ends = {tokenizer.eos_token_id, self._encoder.find_end_token()} - {None}

    def count_tokens(self, prompt: Prompt) -> int:
        return len(self.encode_prompt(prompt))

    def encode_prompt(self, prompt: Prompt) -> list[int]:
        """The tokens of the prompt; EngineError when the chat template does not fit it."""
        try:
            return self._encoder.encode_prompt(prompt)
        except InvalidChat as problem:
            raise EngineError(str(problem)) from problem

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, with special ones."""
        text: str = self._tokenizer.decode(list(tokens), skip_special_tokens=False)
        return text

    def generate(
        self, prompts: Sequence[Prompt], params: SamplingParams
    ) -> Iterator[GenerationChunk]:
        """Answer the prompts, each with one chunk; of `params` only those of greedy decoding count.

        Raises PromptTooLong before the first chunk.
        """
        encoded = [self.encode_prompt(prompt) for prompt in prompts]
        for index, tokens in enumerate(encoded):
            if len(tokens) + params.max_tokens > self.context_length:
                raise PromptTooLong(index, len(tokens), self.context_length - params.max_tokens)
        for index, tokens in enumerate(encoded):
            text, n_tokens, ended = self.complete(tokens, params.max_tokens)
            yield GenerationChunk(
                index, text, n_tokens=n_tokens, finish_reason="stop" if ended else "length"
            )

    def complete(self, tokens: Sequence[int], max_tokens: int) -> tuple[str, int, bool]:
        """The answer by greedy decoding, its number of tokens, and whether it has its end token."""
        ids = torch.tensor([list(tokens)], device=self._model.device)
        settings = GenerationConfig(
            max_new_tokens=max_tokens,
            do_sample=False,
            use_cache=True,
            eos_token_id=sorted(self._ends),
            pad_token_id=min(self._ends, default=0),
        )
        output = self._model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=settings
        )
        answer = output[0, len(tokens) :].tolist()
        text: str = self._tokenizer.decode(answer, skip_special_tokens=True)
        return text, len(answer), bool(answer) and answer[-1] in self._ends

    def log_probability(self, prompt: Prompt, answer: str) -> float:
        """The log probability in nats of the answer with its end token, given the prompt."""
        row: CompletionRow | ChatRow
        if isinstance(prompt, str):
            row = CompletionRow(prompt, answer)
        else:
            row = ChatRow((*prompt.turns, Turn("assistant", answer, trained=True)), prompt.tools)
        document = self._encoder.encode_row(row).documents[0]
        with torch.no_grad():
            values, _ = predict(self._model, make_pack([document], self._model.device))
        return float(values.double().sum())


def load_model(base: BaseModel, folder: Path) -> LoraModel:
    """Load a model that a training wrote."""
    options = merge_options(None, read_info(folder))
    model = load_weights(folder if options.full else base.folder, options, choose_device())
    if not options.full:
        model = add_adapter(model, options, seed=0)
        load_adapter(model, folder)
    return LoraModel(model, load_tokenizer(base.folder), base.context_length)
