"""The sums over the rows of a step, from which its metrics follow."""

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class StepTotals:
    """Sums over the rows in the loss; the totals of packs can be added.

    `loss` is weighted, in nats. The counts are of tokens of weight 1 (completions), so that they do
    not depend on the prompt loss weight. For pairs, `weight` is their number, and the tokens are
    those of the preferred answers.
    """

    loss: float = 0.0
    weight: float = 0.0
    tokens: int = 0
    correct_tokens: int = 0
    sequences: int = 0
    correct_sequences: int = 0
    pairs: int = 0
    won_pairs: int = 0  # with a higher reward of the preferred answer
    margin: float = 0.0  # sum of the differences of rewards, in nats

    def __add__(self, other: Self) -> Self:
        return type(self)(
            self.loss + other.loss,
            self.weight + other.weight,
            self.tokens + other.tokens,
            self.correct_tokens + other.correct_tokens,
            self.sequences + other.sequences,
            self.correct_sequences + other.correct_sequences,
            self.pairs + other.pairs,
            self.won_pairs + other.won_pairs,
            self.margin + other.margin,
        )

    @property
    def mean_loss(self) -> float:
        return self.loss / self.weight if self.weight else 0.0

    @property
    def token_accuracy(self) -> float:
        return self.correct_tokens / self.tokens if self.tokens else 0.0

    @property
    def sequence_accuracy(self) -> float:
        return self.correct_sequences / self.sequences if self.sequences else 0.0

    @property
    def reward_accuracy(self) -> float | None:
        return self.won_pairs / self.pairs if self.pairs else None

    @property
    def reward_margin(self) -> float | None:
        return self.margin / self.pairs if self.pairs else None
