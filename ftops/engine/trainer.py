"""The interface between the engine and a trainer, such as `tiny`."""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

from ftops.engine.training_file import (
    ChatRow,
    CompletionRow,
    PreferenceRow,
    TrainingRow,
    Turn,
)
from ftops.errors import EngineError
from ftops.records import Json
from ftops.rows.messages import JsonObject


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    """A chat that the model continues with the assistant's next message.

    `tools` are the functions that it may call, as in a request of the API.
    """

    turns: tuple[Turn, ...]
    tools: tuple[JsonObject, ...] = ()


Prompt: TypeAlias = str | ChatPrompt  # a text to complete, or a chat


def get_prompt(row: TrainingRow) -> Prompt:
    """The row without its last answer."""
    match row:
        case CompletionRow(prompt=prompt):
            return prompt
        case ChatRow(turns=turns, tools=tools):
            return ChatPrompt(turns[:-1], tools)
        case PreferenceRow(turns=turns, tools=tools):
            return ChatPrompt(turns, tools)


@dataclass(frozen=True, slots=True)
class EarlyStopping:
    """When to stop before the last epoch, with the best checkpoint as the result.

    The training stops when `metric` has not improved for `patience` evaluations in a row.
    """

    metric: str = "valid_loss"
    patience: int = 3


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """One job, ready to train: rows in file order, hyperparameters as requested or "auto".

    A trainer renders the rows with the template of its models. Completions and chats are trained on
    by supervised fine-tuning, preferences by direct preference optimization (DPO) with the model
    that the job starts from as the reference.
    """

    base: str  # a base model of the trainer, or the folder of an earlier fine-tuned model
    training: Sequence[TrainingRow]
    validation: Sequence[TrainingRow]
    n_epochs: int | str = "auto"
    batch_size: int | str = "auto"
    learning_rate_multiplier: float | str = "auto"
    seed: int = 0
    beta: float | str = "auto"  # DPO: how strongly the model is kept close to the reference
    prompt_loss_weight: float = 0.0  # weight in the loss of a token that is no answer
    learning_rate: float | None = None  # absolute; instead of the multiplier
    eval_every: int | None = None  # steps between two validations; by default one each epoch
    early_stopping: EarlyStopping | None = None
    lora: Mapping[str, Json] | None = None  # the fields of `LoraOptions` that are set


def check_request(request: TrainingRequest) -> None:
    """EngineError for no rows, rows of two formats, or an invalid hyperparameter."""
    if not request.training:
        raise EngineError("the training file has no rows", hint="Use a training file with rows.")
    rows = (*request.training, *request.validation)
    if len({isinstance(row, PreferenceRow) for row in rows}) > 1:
        raise EngineError(
            "some rows are preference pairs and some are not", hint="Use rows of one format."
        )
    for name in ("n_epochs", "batch_size", "learning_rate_multiplier", "beta"):
        value = getattr(request, name)
        wrong = value != "auto" if isinstance(value, str) else not 0 < value < math.inf
        if wrong:
            raise EngineError(f"{name} is {value!r}", hint='Use a number above 0, or "auto".')
    if request.learning_rate is not None and not 0 < request.learning_rate < math.inf:
        raise EngineError(f"learning_rate is {request.learning_rate!r}", hint="Use about 1e-4.")


@dataclass(frozen=True, slots=True)
class ResolvedHyperparameters:
    """The values that training uses, for "auto" too."""

    n_epochs: int
    batch_size: int
    learning_rate_multiplier: float
    n_steps: int
    beta: float | None = None  # of DPO
    learning_rate: float | None = None  # the highest of the training, if the trainer names it


@dataclass(frozen=True, slots=True)
class StepMetrics:
    """The metrics of one optimizer step; the `valid_` ones only if validation was due.

    `valid_` metrics use the same validation rows each time, so that they can be compared, and only
    some rows if all take too long. `full_valid_` metrics, at the last step, use all rows.

    Losses are in nats per completion token. Accuracies are between 0 and 1, by token and by whole
    completion (`sequence`), with the true text before each token (teacher forcing).

    For pairs, losses are in nats per pair, and these accuracies are of the preferred answers. The
    reward of an answer is beta times the increase of its log probability over the reference model,
    in nats. `reward_margin` is the mean of the preferred answer's reward less the other one's, and
    `reward_accuracy` is the share of pairs with a difference above 0.
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
    learning_rate: float | None = None
    tokens_per_second: float | None = None  # trained and other tokens of the step
    memory_bytes: int | None = None  # the most that the process has used


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """The totals of a finished training."""

    trained_tokens: int
    steps: int


@dataclass(frozen=True, slots=True)
class Sample:
    """What the model answers to a validation row during the training."""

    prompt: str
    expected: str
    answer: str


@dataclass(frozen=True, slots=True)
class Measurement:
    """A step with the longest rows of a training, without its first use of memory."""

    step_s: float
    tokens_per_second: float
    memory_bytes: int | None  # the most that the process has used; None: unknown


@dataclass(frozen=True, slots=True)
class TokenEstimate:
    """The tokens of one epoch, after rows above the context length are cut.

    `learned_tokens` count fully in the loss, `longest` is the longest row before it is cut,
    `cut_rows` is the number of cut rows, and `vocabulary` the number of tokens in the vocabulary.
    `memory_bytes` is the most that a step needs, if the trainer estimates it.
    """

    tokens: int
    learned_tokens: int
    longest: int
    cut_rows: int
    vocabulary: int
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """Sampling parameters; `temperature` 0 is greedy decoding."""

    max_tokens: int = 16
    temperature: float = 1.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    logprobs: int | None = None  # the number of alternatives for each token
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    json_schema: JsonObject | None = None  # of the answer; only for models that have a JSON mode
    precision: str | None = None  # of the weights, such as "fp32"; None: as the model is served
    # By name, the functions one of which the answer has to call: the schemas of their arguments.
    forced_calls: Mapping[str, JsonObject] = field(default_factory=dict)
    parallel_tool_calls: bool = True  # an answer may have several calls


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A sampled token with its log probability (natural log) and the most likely ones."""

    token: str
    logprob: float
    top: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GenerationChunk:
    """A piece of one answer. Text that may become a stop sequence is held back.

    `finish_reason` ("stop", "length" or "tool_calls") is set in the last chunk only; that one has
    all tool calls, as objects of the API.
    """

    index: int  # of the prompt; in a batch, the request id
    text: str
    logprobs: tuple[TokenLogprob, ...] = ()
    n_tokens: int = 0
    finish_reason: str | None = None
    tool_calls: tuple[JsonObject, ...] = ()


class ServableModel(Protocol):
    """A model that can answer."""

    @property
    def context_length(self) -> int:
        """The most tokens of prompt and answer together."""

    @property
    def longest_token_bytes(self) -> int:
        """The most bytes of UTF-8 text in one token: a bound for the tokens of a text."""

    def count_tokens(self, prompt: Prompt) -> int: ...


class LoadedModel(ServableModel, Protocol):
    """A model in memory."""

    def generate(
        self, prompts: Sequence[Prompt], params: SamplingParams
    ) -> Iterator[GenerationChunk]:
        """Answer all prompts in one batch; raises PromptTooLong before the first chunk."""

    def log_probability(self, prompt: Prompt, answer: str) -> float:
        """The log probability in nats of the answer with its end token, given the prompt.

        A prompt that is too long for the model loses its beginning.
        """


class Batch(Protocol):
    """Answers that are generated together; more can be added between any two steps."""

    def __len__(self) -> int:
        """The number of unfinished answers."""

    def add(self, prompts: Sequence[Prompt], params: SamplingParams) -> Sequence[int]:
        """Add an answer for each prompt; returns its request id. Raises what `generate` raises."""

    def step(self) -> Sequence[GenerationChunk]:
        """Generate the next token of every answer; chunks have request ids as `index`."""

    def remove(self, request_ids: Collection[int]) -> None:
        """Drop these answers."""


@runtime_checkable
class BatchingModel(LoadedModel, Protocol):
    """A model that generates for several requests in one batch."""

    def open_batch(self) -> Batch: ...


class AnswerSink(Protocol):
    """Takes the chunks of the answers to one request, from any thread."""

    is_closed: bool  # the reader has left
    unfinished: int  # answers
    system_fingerprint: str  # what serves the model, and the precision of its weights

    def put(self, chunk: GenerationChunk) -> None: ...

    def finish_answer(self) -> None:
        """One answer is complete; the last one ends the stream."""

    def finish(self, error: Exception | None = None) -> None:
        """End the stream."""


OnEpoch: TypeAlias = Callable[[StepMetrics, Callable[[Path], None]], None]
"""Called after the last step of each epoch, with a function that writes the model to a folder."""


OnSamples: TypeAlias = Callable[[int, Sequence[Sample]], None]
"""Called after a validation with its step and a few answers, the same ones after a resume."""


CHECKPOINT_EVERY_S = 2.0  # the default interval


@dataclass(frozen=True, slots=True)
class TrainingHooks:
    """The functions that a trainer calls.

    `on_step` gets the metrics of each step. When `should_stop()` turns true, the training writes a
    checkpoint and raises TrainingStopped. `on_epoch` is called before the first checkpoint after
    the epoch. `on_checkpoint` is called before each checkpoint: the metrics that `on_step` has
    received must be on the disk when it returns.
    """

    on_step: Callable[[StepMetrics], None]
    should_stop: Callable[[], bool]
    on_epoch: OnEpoch | None = None
    on_checkpoint: Callable[[], None] | None = None
    on_samples: OnSamples | None = None


class Trainer(Protocol):
    """Trains models and loads them."""

    bases: Mapping[str, int]  # its base models, with their approximate numbers of parameters

    def resolve(self, request: TrainingRequest) -> ResolvedHyperparameters:
        """Choose values for "auto"; the same request always gives the same ones."""

    def estimate(
        self, request: TrainingRequest, resolved: ResolvedHyperparameters
    ) -> TokenEstimate:
        """Count the tokens of one epoch, before there is a job.

        EngineError when `train` would refuse the request.
        """

    def train(
        self,
        request: TrainingRequest,
        resolved: ResolvedHyperparameters,
        hooks: TrainingHooks,
        *,
        into: Path,
        checkpoint: Path,
        checkpoint_every_s: float = CHECKPOINT_EVERY_S,
    ) -> TrainingResult:
        """Train, and write the model's files into the existing, empty folder `into`.

        Continues from the file `checkpoint`, with the same result as an uninterrupted training, and
        writes it atomically at intervals. `checkpoint_every_s` is the least time between two
        checkpoints. Raises TrainingStopped when `hooks` stop the training.
        """

    def load(self, folder: Path) -> LoadedModel:
        """Load a model that `train` wrote."""


@runtime_checkable
class MeasuringTrainer(Trainer, Protocol):
    """A trainer that can measure a training before it starts."""

    def measure(
        self, request: TrainingRequest, resolved: ResolvedHyperparameters
    ) -> Measurement: ...


class TrainingStopped(Exception):
    """Training was stopped; its checkpoint is written."""


class PromptTooLong(Exception):
    """A prompt does not fit in the model's context."""

    def __init__(self, index: int, tokens: int, limit: int) -> None:
        super().__init__(f"prompt {index} has {tokens} tokens; the model takes {limit}")
        self.index = index
        self.tokens = tokens
        self.limit = limit


class ModelUnavailable(Exception):
    """The process that serves a model failed; the same request may succeed later."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(f"{message}. {hint}" if hint else message)
