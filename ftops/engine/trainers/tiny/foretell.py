"""How many tokens a job's rows will be, before there is a job, by the vocabulary it would make.

The tokenizer is trained on the rows themselves, as training does first, so the figures are those
of the training to come: the same rows always make the same tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ftops.engine.trainers.protocol import Document, Pair, list_documents
from ftops.engine.trainers.tiny.sizes import CONTEXT_LENGTH
from ftops.engine.trainers.tiny.vocabulary import train_tokenizer


@dataclass(frozen=True, slots=True)
class TokenForecast:
    """Tokens of one epoch, after rows above the context length are cut to it.

    `learned_tokens` count in full in the loss; `longest` is the longest row before it is cut, and
    `cut_rows` how many are.
    """

    tokens: int
    learned_tokens: int
    longest: int
    cut_rows: int
    vocabulary: int


def foretell_tokens(rows: Sequence[Document] | Sequence[Pair]) -> TokenForecast:
    """Train the tokenizer and count; both documents of a pair count."""
    documents = list_documents(rows)
    tokenizer = train_tokenizer(documents)
    tokens = learned = longest = cut = 0
    for document in documents:
        _, weights = tokenizer.encode_document(document)
        longest = max(longest, len(weights))
        cut += len(weights) > CONTEXT_LENGTH
        kept = weights[-CONTEXT_LENGTH:]
        tokens += max(1, len(kept))
        learned += int((kept == 1).sum())
    return TokenForecast(tokens, learned, longest, cut, tokenizer.vocab_size)
