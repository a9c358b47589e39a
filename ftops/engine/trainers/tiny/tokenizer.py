"""Text to tokens and back: byte-level BPE trained on the job's own rows, and special tokens.

All 256 bytes are in the vocabulary, so any text can be encoded, seen before or not. Special tokens
stand behind the vocabulary of the BPE and are known to this module alone: no text that a user
writes can become one, and none of them ever becomes text.
"""

from collections.abc import Iterable

import numpy as np
import tokenizers
from numpy.typing import NDArray
from tokenizers import decoders, models, pre_tokenizers, trainers

from ftops.engine.trainers.protocol import Document
from ftops.engine.trainers.tiny.parameters import Tokens
from ftops.errors import EngineError

END_OF_TEXT = "end_of_text"  # starts and ends every document
END_OF_TURN = "end_of_turn"
SPECIALS = (END_OF_TEXT, "system", "user", "assistant", "tool", END_OF_TURN)
_LONGEST_TOKEN_BYTES = 64  # so that the bytes of a prompt say how many tokens it has at least
_LONG_TEXT = 1000  # characters


def _byte_of_characters() -> dict[str, int]:
    """The byte that each character of a byte-level vocabulary stands for.

    Printable Latin-1 characters stand for themselves, all other bytes for U+0100 and onwards.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(0x100 + n): byte for n, byte in enumerate(others)
    }


_BYTES = _byte_of_characters()


class Tokenizer:
    """A trained BPE with the special tokens behind it; ids are 0 … vocab_size - 1."""

    def __init__(self, bpe: tokenizers.Tokenizer) -> None:
        self._bpe = bpe
        self.n_text_tokens = bpe.get_vocab_size(with_added_tokens=False)
        self.vocab_size = self.n_text_tokens + len(SPECIALS)
        self.end_of_text = self.special_id(END_OF_TEXT)
        self.ends = (self.end_of_text, self.special_id(END_OF_TURN))
        names = (bpe.id_to_token(token) or "" for token in range(self.n_text_tokens))
        self.pieces = [bytes(_BYTES[character] for character in name) for name in names]

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> "Tokenizer":
        """Learn at most `vocab_size` tokens, bytes and special tokens included."""
        bpe = tokenizers.Tokenizer(models.BPE())
        bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        bpe.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size - len(SPECIALS),
            min_frequency=2,
            show_progress=False,
            max_token_length=_LONGEST_TOKEN_BYTES,
            initial_alphabet=sorted(_BYTES),
        )
        bpe.train_from_iterator((_encodable(text) for text in texts), trainer)
        return cls(bpe)

    @classmethod
    def from_json(cls, text: str) -> "Tokenizer":
        """The tokenizer that `to_json` wrote; EngineError when it is damaged."""
        try:
            return cls(tokenizers.Tokenizer.from_str(text))
        except Exception as error:  # tokenizers raises plain Exception
            raise EngineError(f"the tokenizer cannot be read: {error}") from error

    def to_json(self) -> str:
        return self._bpe.to_str(pretty=False)

    def special_id(self, name: str) -> int:
        if name not in SPECIALS:
            raise EngineError(
                f"no special token {name!r}", hint=f"There are {', '.join(SPECIALS)}."
            )
        return self.n_text_tokens + SPECIALS.index(name)

    def encode(self, text: str) -> list[int]:
        text = _encodable(text)
        if len(text) > _LONG_TEXT:  # a batch does not hold the interpreter's lock meanwhile
            return list(self._bpe.encode_batch_fast([text], add_special_tokens=False)[0].ids)
        return list(self._bpe.encode(text, add_special_tokens=False).ids)

    def encode_document(self, document: Document) -> tuple[Tokens, NDArray[np.float32]]:
        """Token ids of a document, without a start token, and the weight of each."""
        ids: list[int] = []
        weights: list[float] = []
        for segment in document:
            new = (
                [self.special_id(segment.special)] if segment.special else self.encode(segment.text)
            )
            ids += new
            weights += [segment.weight] * len(new)
        return np.array(ids, dtype=np.uint16), np.array(weights, dtype=np.float32)

    def name_token(self, token: int) -> str:
        """A token as text for people: its characters, its bytes, or its special name."""
        if token >= self.n_text_tokens:
            return f"<|{SPECIALS[token - self.n_text_tokens]}|>"
        piece = self.pieces[token]
        try:
            return piece.decode()
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in piece)


def _encodable(text: str) -> str:
    """The text with lone surrogates, which UTF-8 cannot write, replaced by question marks."""
    return text.encode("utf-8", errors="replace").decode()
