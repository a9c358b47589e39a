"""What kind of job the data is, and the vocabulary that suits it.

Answers that repeat pieces of their own prompt (a name, a number) are spelled out of small pieces:
with a vocabulary hardly larger than the 256 bytes the model learns to copy, and copies what it
has never seen. All other answers (a label, a known sentence) are better told from whole words.
Measured with `ada`, share of unseen rows that are right, names to repeat / news in three classes:
vocabulary 320: 0.89 / 0.71; 512: 0.85 / 0.87; 1024: 0.29 / 0.96.

Which of the two it is, is decided on rows held out of the training rows: how many of their answers
hold a word that no other answer taught, but that resembles a word of their prompt? Short probe
trainings would not tell: copying shows only after many epochs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ftops.engine.trainers.protocol import Document
from ftops.engine.trainers.tiny.tokenizer import Tokenizer

_LOOKED_AT = 5_000  # rows
_HELD_OUT_EVERY = 5  # of them
_TRAINED_ON = 20_000  # rows, evenly spaced: more would not change the vocabulary much
_COPIED_SHARE = 0.15  # of the held-out rows
_ALIKE = 3  # letters at the beginning; case aside


@dataclass(frozen=True, slots=True)
class Plan:
    """What follows from the kind of job."""

    vocab_size: int  # at most, special tokens included
    token_dropout: float  # share of the tokens only read that a training step does not see
    passes: float  # how often the rows must be read, relative to other jobs


_COPYING = Plan(vocab_size=320, token_dropout=0.0, passes=2.5)
_TELLING = Plan(vocab_size=1024, token_dropout=0.1, passes=1.0)


def plan_job(documents: Sequence[Document]) -> Plan:
    """Look at held-out rows and decide; the same documents always give the same plan."""
    documents = documents[:_LOOKED_AT]
    held_out = documents[::_HELD_OUT_EVERY]
    taught: set[str] = set()
    for number, document in enumerate(documents):
        if number % _HELD_OUT_EVERY:
            taught |= _words(document, answer=True)
    copied = sum(1 for document in held_out if _copies(document, taught))
    return _COPYING if copied > _COPIED_SHARE * len(held_out) else _TELLING


def _copies(document: Document, taught: set[str]) -> bool:
    beginnings = {word[:_ALIKE] for word in _words(document, answer=False)}
    return any(word[:_ALIKE] in beginnings for word in _words(document, answer=True) - taught)


def _words(document: Document, *, answer: bool) -> set[str]:
    """The words, in lower case, of what is answered (weight 1) or of what is only read."""
    texts = (part.text for part in document if (part.weight == 1) == answer)
    return {word.strip(".,;:!?\"'()") for text in texts for word in text.lower().split()} - {""}


def train_tokenizer(documents: Sequence[Document]) -> Tokenizer:
    """A tokenizer trained on the documents, with the vocabulary that suits them."""
    seen = documents[:: -(-len(documents) // _TRAINED_ON)]
    texts = (part.text for document in seen for part in document if part.text)
    return Tokenizer.train(texts, plan_job(documents).vocab_size)
