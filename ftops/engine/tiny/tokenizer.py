"""The tokenizer: byte-level BPE trained on the job's own rows, and special tokens.

All 256 bytes are in the vocabulary, so any text can be encoded. The ids of special tokens follow
those of the BPE, and only this module maps them: no text of a user is encoded to one, and none is
decoded to text.

The size of the vocabulary depends on the job. Answers that repeat pieces of their own prompt (a
name, a number) need small tokens: with a vocabulary hardly larger than the 256 bytes the model
learns to copy, also what it has never seen. All other answers (a label, a known sentence) are
better composed of whole words. Measured with `ada`, accuracy on unseen rows, names to repeat /
short texts in three classes: vocabulary 320: 0.89 / 0.71; 512: 0.85 / 0.87; 1024: 0.29 / 0.96.

The decision uses held-out training rows: the share of answers with a word that is in no other
answer, but resembles a word of their prompt. Short trial trainings do not show it: copying emerges
only after many epochs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import tokenizers
from numpy.typing import NDArray
from tokenizers import decoders, models, pre_tokenizers, trainers

from ftops.engine.tiny.config import CONTEXT_LENGTH
from ftops.engine.tiny.document import Document, RenderedRows, list_documents
from ftops.engine.tiny.parameters import Tokens
from ftops.engine.trainer import TokenEstimate
from ftops.errors import EngineError

END_OF_TEXT = "end_of_text"  # starts and ends every document
END_OF_TURN = "end_of_turn"
SPECIALS = (END_OF_TEXT, "system", "user", "assistant", "tool", END_OF_TURN)
_MAX_TOKEN_BYTES = 64  # so that the bytes of a prompt bound its tokens from below
_LONG_TEXT = 1000  # characters


def _byte_of_characters() -> dict[str, int]:
    """The byte of each character in a byte-level vocabulary.

    Printable Latin-1 characters are their own bytes; U+0100 and onwards are all other bytes.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(0x100 + n): byte for n, byte in enumerate(others)
    }


_BYTES = _byte_of_characters()


class Tokenizer:
    """A trained BPE, followed by the special tokens; ids are 0 … vocab_size - 1."""

    def __init__(self, bpe: tokenizers.Tokenizer) -> None:
        self._bpe = bpe
        self.n_text_tokens = bpe.get_vocab_size(with_added_tokens=False)
        self.vocab_size = self.n_text_tokens + len(SPECIALS)
        self.end_of_text = self.special_id(END_OF_TEXT)
        self.ends = (self.end_of_text, self.special_id(END_OF_TURN))
        names = (bpe.id_to_token(token) or "" for token in range(self.n_text_tokens))
        self.pieces = [bytes(_BYTES[character] for character in name) for name in names]

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> Self:
        """Train a vocabulary of at most `vocab_size` tokens, bytes and special tokens included."""
        bpe = tokenizers.Tokenizer(models.BPE())
        bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        bpe.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size - len(SPECIALS),
            min_frequency=2,
            show_progress=False,
            max_token_length=_MAX_TOKEN_BYTES,
            initial_alphabet=sorted(_BYTES),
        )
        bpe.train_from_iterator((_encodable(text) for text in texts), trainer)
        return cls(bpe)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote; EngineError when it is damaged."""
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
        if len(text) > _LONG_TEXT:  # encoding a batch releases the GIL
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
        """A token as text: its characters, its bytes, or its special name."""
        if token >= self.n_text_tokens:
            return f"<|{SPECIALS[token - self.n_text_tokens]}|>"
        piece = self.pieces[token]
        try:
            return piece.decode()
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in piece)


def _encodable(text: str) -> str:
    """The text with lone surrogates, which UTF-8 cannot encode, replaced by question marks."""
    return text.encode("utf-8", errors="replace").decode()


_SAMPLED_ROWS = 5_000
_HELD_OUT_EVERY = 5  # of them
_TRAINING_ROWS = 20_000  # evenly spaced: more hardly change the vocabulary
_COPIED_SHARE = 0.15  # of the held-out rows
_PREFIX_LENGTH = 3  # letters that resembling words share; case is ignored


@dataclass(frozen=True, slots=True)
class VocabularyPlan:
    """Settings that depend on the kind of job."""

    vocab_size: int  # at most, special tokens included
    token_dropout: float  # share of the prompt tokens that a training step masks
    passes: float  # factor of the epochs that the job needs


_COPYING = VocabularyPlan(vocab_size=320, token_dropout=0.0, passes=2.5)
_CLASSIFYING = VocabularyPlan(vocab_size=1024, token_dropout=0.1, passes=1.0)


def plan_job(documents: Sequence[Document]) -> VocabularyPlan:
    """Choose by held-out rows; the same documents always give the same plan."""
    documents = documents[:_SAMPLED_ROWS]
    held_out = documents[::_HELD_OUT_EVERY]
    known_words: set[str] = set()
    for number, document in enumerate(documents):
        if number % _HELD_OUT_EVERY:
            known_words |= _words(document, answer=True)
    copied = sum(1 for document in held_out if _copies(document, known_words))
    return _COPYING if copied > _COPIED_SHARE * len(held_out) else _CLASSIFYING


def _copies(document: Document, known_words: set[str]) -> bool:
    prefixes = {word[:_PREFIX_LENGTH] for word in _words(document, answer=False)}
    return any(
        word[:_PREFIX_LENGTH] in prefixes for word in _words(document, answer=True) - known_words
    )


def _words(document: Document, *, answer: bool) -> set[str]:
    """The words in lower case: of the answer (weight 1), or of the rest."""
    texts = (part.text for part in document if (part.weight == 1) == answer)
    return {word.strip(".,;:!?\"'()") for text in texts for word in text.lower().split()} - {""}


def train_tokenizer(documents: Sequence[Document]) -> Tokenizer:
    """A tokenizer trained on the documents, with the vocabulary that suits them."""
    sample = documents[:: -(-len(documents) // _TRAINING_ROWS)]
    texts = (part.text for document in sample for part in document if part.text)
    return Tokenizer.train(texts, plan_job(documents).vocab_size)


def estimate_tokens(rows: RenderedRows) -> TokenEstimate:
    """Train the tokenizer and count; both documents of a pair count."""
    documents = list_documents(rows)
    tokenizer = train_tokenizer(documents)
    tokens = trained = longest = cut = 0
    for document in documents:
        _, weights = tokenizer.encode_document(document)
        longest = max(longest, len(weights))
        cut += len(weights) > CONTEXT_LENGTH
        kept = weights[-CONTEXT_LENGTH:]
        tokens += max(1, len(kept))
        trained += int((kept == 1).sum())
    return TokenEstimate(tokens, trained, longest, cut, tokenizer.vocab_size)
