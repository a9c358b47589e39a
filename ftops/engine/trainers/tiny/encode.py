"""Rows to examples: a start token in front, the target of each token behind it, cut to fit."""

from collections.abc import Sequence

import numpy as np

from ftops.engine.trainers.protocol import Document, Pair
from ftops.engine.trainers.tiny.batches import Example
from ftops.engine.trainers.tiny.preference import PairExample
from ftops.engine.trainers.tiny.sizes import CONTEXT_LENGTH
from ftops.engine.trainers.tiny.tokenizer import Tokenizer


def encode_examples(documents: Sequence[Document], tokenizer: Tokenizer) -> list[Example]:
    """One example a document.

    A document of more than CONTEXT_LENGTH tokens keeps its last ones: the beginning of the prompt
    is lost, not the answer.
    """
    return [_encode_example(document, tokenizer) for document in documents]


def encode_pairs(pairs: Sequence[Pair], tokenizer: Tokenizer) -> list[PairExample]:
    """One example a pair, whose documents are cut to fit like any other."""
    return [
        PairExample(
            _encode_example(pair.preferred, tokenizer), _encode_example(pair.other, tokenizer)
        )
        for pair in pairs
    ]


def _encode_example(document: Document, tokenizer: Tokenizer) -> Example:
    ids, weights = tokenizer.encode_document(document)
    ids, weights = ids[-CONTEXT_LENGTH:], weights[-CONTEXT_LENGTH:]
    # Every document starts with the end of the one before it, so that its first token, too, can
    # be predicted, and so that an empty prompt is something to continue.
    start = np.array([tokenizer.end_of_text], dtype=ids.dtype)
    if not len(ids):  # an empty document: one row that counts for nothing
        return Example(start, start, np.zeros(1, dtype=np.float32))
    return Example(np.concatenate([start, ids[:-1]]), ids, weights)
