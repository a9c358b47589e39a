"""What both loops of benchmarks/trainer.py train on: the same weights, the same steps."""

import json
from dataclasses import dataclass
from pathlib import Path

from ftops.engine.tiny.batch import TrainingExample, encode_examples
from ftops.engine.tiny.config import SIZES, ModelShape
from ftops.engine.tiny.document import TextSpan
from ftops.engine.tiny.tokenizer import Tokenizer

RATE, DECAY, CLIP = 1e-3, 0.5, 1.0  # of AdamW; the gradient's greatest length
_DATA = Path(__file__).parent.parent / "configs" / "data" / "household-faq" / "train.jsonl"
_ROWS_A_STEP = 32
_VOCAB_SIZE = 512


@dataclass(frozen=True, slots=True)
class Workload:
    """A model's shape, and the rows of each step of one round."""

    shape: ModelShape
    batches: list[list[TrainingExample]]

    @property
    def n_tokens(self) -> int:
        """Useful tokens in one round."""
        return sum(example.n_tokens for batch in self.batches for example in batch)


def load_workload(size: str) -> Workload:
    """All whole batches of household-faq for a model of this size."""
    rows = [json.loads(line) for line in _DATA.read_text(encoding="utf-8").splitlines()]
    documents = [
        (TextSpan(row["prompt"], 0.0), TextSpan(row["completion"]), TextSpan(special="end_of_text"))
        for row in rows
    ]
    texts = [part.text for document in documents for part in document if part.text]
    tokenizer = Tokenizer.train(texts, _VOCAB_SIZE)
    examples = encode_examples(documents, tokenizer)
    starts = range(0, len(examples) - _ROWS_A_STEP + 1, _ROWS_A_STEP)
    return Workload(
        ModelShape(SIZES[size].n_layers, SIZES[size].width, tokenizer.vocab_size),
        [examples[start : start + _ROWS_A_STEP] for start in starts],
    )
