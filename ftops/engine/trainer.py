"""What the engine asks of a trainer; `tiny` is the first, others only need the same shape."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable


@dataclass(frozen=True, slots=True)
class TextSpan:
    """A piece of a document: `text`, or one `special` token.

    `weight` is how much each of its tokens counts in the loss.
    """

    text: str = ""
    weight: float = 1.0  # 1: trained on; 0: only read; between: `prompt_loss_weight`
    special: str = (
        ""  # the name of a special token (see the trainer's tokenizer); then `text` is empty
    )


Document: TypeAlias = tuple[TextSpan, ...]  # one training row, its end token included


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """One row of preferences: two answers to the same prompt, of which one was preferred."""

    preferred: Document
    other: Document


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """One job, ready to train: rows in file order, figures as the user gave them or "auto".

    Documents are imitated; pairs are learned by direct preference optimization, against the model
    that the job starts from.
    """

    base: str  # a size of the trainer, or the folder of an earlier fine-tuned model
    training: Sequence[Document] | Sequence[PreferencePair]
    validation: Sequence[Document] | Sequence[PreferencePair]
    n_epochs: int | str = "auto"
    batch_size: int | str = "auto"
    learning_rate_multiplier: float | str = "auto"
    seed: int = 0
    beta: float | str = "auto"  # pairs only: how closely the model is held to where it started


def list_documents(rows: Sequence[Document] | Sequence[PreferencePair]) -> Sequence[Document]:
    """The documents in the rows: both of each pair, one after the other."""
    found: list[Document] = []
    for row in rows:
        found += (row.preferred, row.other) if isinstance(row, PreferencePair) else (row,)
    return found


@dataclass(frozen=True, slots=True)
class ResolvedHyperparameters:
    """The figures that training really uses."""

    n_epochs: int
    batch_size: int
    learning_rate_multiplier: float
    n_steps: int
    beta: float | None = None  # of preference training


@dataclass(frozen=True, slots=True)
class StepMetrics:
    """What one optimizer step showed; the `valid_` figures only when validation was due.

    They are of the same validation rows each time, so that they can be compared, though of some
    alone where all would take too long; the `full_valid_` ones, at the last step, are of all.

    Losses are nats a completion token; accuracies are shares between 0 and 1, by token and by
    whole completion (`sequence`), the model seeing the true text before each token.

    Of pairs, losses are nats a pair and those accuracies look at the preferred answers. A reward
    is beta times how much likelier an answer has become than it was to the model at the start, in
    nats; `reward_margin` is that of the preferred answer less that of the other, on average, and
    `reward_accuracy` the share of pairs in which it is above 0.
    """

    step: int  # from 1
    total_steps: int
    epoch: int  # from 1
    elapsed_examples: int
    elapsed_tokens: int  # trained tokens so far, epochs counted
    train_loss: float
    train_token_accuracy: float
    train_sequence_accuracy: float
    valid_loss: float | None = None
    valid_token_accuracy: float | None = None
    valid_sequence_accuracy: float | None = None
    train_reward_accuracy: float | None = None
    train_reward_margin: float | None = None
    valid_reward_accuracy: float | None = None
    valid_reward_margin: float | None = None
    full_valid_loss: float | None = None
    full_valid_token_accuracy: float | None = None


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What a finished job says about itself."""

    trained_tokens: int
    steps: int


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How tokens are drawn; `temperature` 0 takes the likeliest."""

    max_tokens: int = 16
    temperature: float = 1.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    logprobs: int | None = None  # how many alternatives to report for each token
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A drawn token with its log probability (natural log) and the likeliest alternatives."""

    token: str
    logprob: float
    top: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GenerationChunk:
    """A piece of one answer. Text that may still become a stop sequence is held back.

    `finish_reason` ("stop" or "length") stands in the last piece only.
    """

    index: int  # which prompt it answers
    text: str
    logprobs: tuple[TokenLogprob, ...] = ()
    n_tokens: int = 0
    finish_reason: str | None = None


class LoadedModel(Protocol):
    """A model in memory, ready to answer."""

    @property
    def context_length(self) -> int:
        """The longest prompt and answer together, in tokens."""

    @property
    def longest_token_bytes(self) -> int:
        """The most bytes of UTF-8 text that one token stands for.

        So a text of N bytes has at least N divided by that many tokens, whatever it says.
        """

    def count_tokens(self, document: Document) -> int: ...

    def generate(
        self, prompts: Sequence[Document], params: SamplingParams
    ) -> Iterator[GenerationChunk]:
        """Answer all prompts side by side; raises PromptTooLong before the first piece."""

    def log_probability(self, document: Document) -> float:
        """How likely the segments of weight 1 are behind what stands before them, in nats.

        A document that is too long for the model loses its beginning.
        """


class Batch(Protocol):
    """Answers that are drawn side by side, whoever asked; others may join between any two steps."""

    def __len__(self) -> int:
        """How many answers are not at their end yet."""

    def add(self, prompts: Sequence[Document], params: SamplingParams) -> Sequence[int]:
        """Let the prompts be answered; a ticket for each. Raises what `generate` raises."""

    def step(self) -> Sequence[GenerationChunk]:
        """Go on with every answer; each piece carries a ticket as its `index`."""

    def remove(self, request_ids: Collection[int]) -> None:
        """Nobody wants these answers any more."""


@runtime_checkable
class BatchingModel(LoadedModel, Protocol):
    """A model that answers several callers for about the price of one."""

    def open_batch(self) -> Batch: ...


OnEpoch: TypeAlias = Callable[[StepMetrics, Callable[[Path], None]], None]
"""Told of the last step of each epoch, with a way to write the model as it then is into a folder.
"""


CHECKPOINT_EVERY_S = 2.0  # at most that often, unless told otherwise


class Trainer(Protocol):
    """Something that makes models out of documents."""

    bases: Mapping[str, int]  # the base models that it offers, with their parameters (about)

    def resolve(self, request: TrainingRequest) -> ResolvedHyperparameters:
        """Turn "auto" into figures; the same request always gives the same ones."""

    def train(
        self,
        request: TrainingRequest,
        resolved: ResolvedHyperparameters,
        *,
        into: Path,
        checkpoint: Path,
        on_step: Callable[[StepMetrics], None],
        should_stop: Callable[[], bool],
        on_epoch: OnEpoch | None = None,
        on_checkpoint: Callable[[], None] | None = None,
        checkpoint_every_s: float = CHECKPOINT_EVERY_S,
    ) -> TrainingResult:
        """Train, and leave the model's files in the existing, empty folder `into`.

        Goes on from `checkpoint` (a file it writes now and then, aside and renamed) when that
        exists, with the same result as a training that never stopped. When `should_stop()` turns
        true it writes the checkpoint and raises TrainingStopped. `on_epoch` is called before a
        checkpoint that lies behind the epoch is written. `on_checkpoint` is called before each
        checkpoint: what `on_step` was told must be safe on the disk when it returns.
        `checkpoint_every_s` is the least time between two checkpoints.
        """

    def load(self, folder: Path) -> LoadedModel:
        """Read a model that `train` left."""


class TrainingStopped(Exception):
    """Training ended early because it was told to; its checkpoint is written."""


class PromptTooLong(Exception):
    """A prompt does not fit in the model's context."""

    def __init__(self, index: int, tokens: int, limit: int) -> None:
        super().__init__(f"prompt {index} has {tokens} tokens; the model takes {limit}")
        self.index = index
        self.tokens = tokens
        self.limit = limit
