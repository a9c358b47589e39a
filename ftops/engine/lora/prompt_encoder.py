"""Renders and tokenizes prompts for a back end as the training does."""

import functools
from collections.abc import Sequence
from pathlib import Path

from ftops.engine.lora.encoding import InvalidChat, RowEncoder, load_tokenizer
from ftops.engine.trainer import Prompt
from ftops.errors import EngineError


class PromptEncoder:
    """The encoder of a base model; a prompt that is counted after its answer is encoded once."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer = load_tokenizer(folder)
        self.n_tokens = len(self.tokenizer)
        self._encoder = RowEncoder(self.tokenizer)
        self._last: tuple[Prompt, str, Sequence[int]] | None = None

    @functools.cached_property
    def call_format(self) -> tuple[str, str]:
        """See `RowEncoder.get_call_format`."""
        return self._encoder.get_call_format()

    def encode(self, prompt: Prompt, answer_start: str = "") -> Sequence[int]:
        """The tokens of the prompt; EngineError when the chat template refuses it."""
        if self._last is not None and self._last[:2] == (prompt, answer_start):
            return self._last[2]
        try:
            tokens = self._encoder.encode_prompt(prompt, answer_start)
        except InvalidChat as error:
            raise EngineError(f"messages: {error}") from error
        self._last = prompt, answer_start, tokens
        return tokens

    def list_end_tokens(self) -> frozenset[int]:
        """The tokens that end an answer."""
        ends = (self.tokenizer.eos_token_id, self._encoder.find_end_token())
        return frozenset(token for token in ends if token is not None)
