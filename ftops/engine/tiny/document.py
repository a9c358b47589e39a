"""Renders rows and prompts as documents: their text, special tokens and weights in the loss.

    completion   PROMPT COMPLETION <end_of_text>
    chat         <role> CONTENT <end_of_turn> <role> CONTENT <end_of_turn> …

Completions and assistant messages have the weight 1, the rest has `prompt_loss_weight`. A
preference row is the same chat twice, each time with one of the answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ftops.engine.trainer import Prompt, TrainingRequest, get_prompt
from ftops.engine.training_file import ChatRow, CompletionRow, PreferenceRow, TrainingRow, Turn
from ftops.errors import EngineError
from ftops.rows.messages import JsonObject

END_OF_TEXT = "end_of_text"
END_OF_TURN = "end_of_turn"
ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


@dataclass(frozen=True, slots=True)
class TextSpan:
    """A piece of a document: `text`, or one `special` token.

    `weight` is the weight of each of its tokens in the loss.
    """

    text: str = ""
    weight: float = 1.0  # 1: completions; 0: not trained on; between: `prompt_loss_weight`
    special: str = ""  # the name of a special token (see tokenizer.py); then `text` is empty


Document: TypeAlias = tuple[TextSpan, ...]  # one training row, its end token included


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """A row of preference data: the preferred answer to a prompt and another one."""

    preferred: Document
    other: Document


RenderedRows: TypeAlias = Sequence[Document] | Sequence[PreferencePair]


@dataclass(frozen=True, slots=True)
class RenderedRequest:
    """A `TrainingRequest` with its rows rendered, without the fields that `tiny` does not use."""

    base: str
    training: RenderedRows
    validation: RenderedRows
    n_epochs: int | str = "auto"
    batch_size: int | str = "auto"
    learning_rate_multiplier: float | str = "auto"
    seed: int = 0
    beta: float | str = "auto"


def render_request(request: TrainingRequest) -> RenderedRequest:
    """The request with its rows rendered."""
    return RenderedRequest(
        base=request.base,
        training=render_rows(request.training, request.prompt_loss_weight),
        validation=render_rows(request.validation, request.prompt_loss_weight),
        n_epochs=request.n_epochs,
        batch_size=request.batch_size,
        learning_rate_multiplier=request.learning_rate_multiplier,
        seed=request.seed,
        beta=request.beta,
    )


def list_documents(rows: RenderedRows) -> Sequence[Document]:
    """The documents of the rows: both of each pair, in order."""
    documents: list[Document] = []
    for row in rows:
        documents += (row.preferred, row.other) if isinstance(row, PreferencePair) else (row,)
    return documents


def render_rows(rows: Sequence[TrainingRow], prompt_loss_weight: float = 0.0) -> RenderedRows:
    """Render all rows of a file; they have the same format."""
    pairs = [render_pair(row) for row in rows if isinstance(row, PreferenceRow)]
    return pairs or [
        render_row(row, prompt_loss_weight) for row in rows if not isinstance(row, PreferenceRow)
    ]


def render_row(row: CompletionRow | ChatRow, prompt_loss_weight: float = 0.0) -> Document:
    """The row with its end token."""
    if isinstance(row, CompletionRow):
        return (
            *_text_spans(row.prompt, prompt_loss_weight),
            TextSpan(text=row.completion),
            TextSpan(special=END_OF_TEXT),
        )
    return _chat_spans(row.turns, row.tools, prompt_loss_weight)


def render_pair(row: PreferenceRow) -> PreferencePair:
    """Both answers with their end tokens."""
    prompt = render_prompt(get_prompt(row))
    return PreferencePair(
        (*prompt, TextSpan(text=row.preferred), TextSpan(special=END_OF_TURN)),
        (*prompt, TextSpan(text=row.other), TextSpan(special=END_OF_TURN)),
    )


def render_prompt(prompt: Prompt) -> Document:
    """A text to complete, or the messages so far and the role token of the assistant."""
    if isinstance(prompt, str):
        return _text_spans(prompt, 0.0)
    messages = _chat_spans(prompt.turns, prompt.tools, 0.0)
    return (*messages, TextSpan(special=ROLES["assistant"], weight=0.0))


def render_answer(prompt: Prompt, answer: str) -> Document:
    """An answer with its end token after a prompt; only the answer has a weight."""
    end = END_OF_TEXT if isinstance(prompt, str) else END_OF_TURN
    return (*render_prompt(prompt), TextSpan(text=answer), TextSpan(special=end))


def _chat_spans(turns: Sequence[Turn], tools: Sequence[JsonObject], weight: float) -> Document:
    if tools or any(turn.tool_calls or turn.role not in ROLES for turn in turns):
        raise EngineError(
            "a chat has tools, and models with random weights have no template for them",
            hint="Use a base model whose chat template has tools.",
        )
    return tuple(span for turn in turns for span in _turn_spans(turn, weight))


def _turn_spans(turn: Turn, prompt_loss_weight: float) -> tuple[TextSpan, ...]:
    weight = 1.0 if turn.trained else prompt_loss_weight
    return (
        TextSpan(special=ROLES[turn.role], weight=0.0),
        TextSpan(text=turn.content, weight=weight),
        TextSpan(special=END_OF_TURN, weight=weight),
    )


def _text_spans(prompt: str, weight: float) -> Document:
    return (TextSpan(text=prompt, weight=weight),) if prompt else ()
