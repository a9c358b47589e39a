"""Renders rows and prompts as documents: their text, special tokens and weights in the loss.

    completion   PROMPT COMPLETION <end_of_text>
    chat         <role> CONTENT <end_of_turn> <role> CONTENT <end_of_turn> …

Completions and assistant messages have the weight 1, the rest has `prompt_loss_weight`. A
preference row is the same chat twice, each time with one of the answers.
"""

from collections.abc import Sequence

from ftops.engine.trainer import Document, PreferencePair, TextSpan
from ftops.engine.training_file import ChatRow, CompletionRow, PreferenceRow, TrainingRow, Turn

END_OF_TEXT = "end_of_text"
END_OF_TURN = "end_of_turn"
ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


def render_rows(
    rows: Sequence[TrainingRow], prompt_loss_weight: float = 0.0
) -> Sequence[Document] | Sequence[PreferencePair]:
    """Render all rows of a file; they have the same format."""
    pairs = [render_pair(row) for row in rows if isinstance(row, PreferenceRow)]
    return pairs or [
        render_row(row, prompt_loss_weight) for row in rows if not isinstance(row, PreferenceRow)
    ]


def render_row(row: CompletionRow | ChatRow, prompt_loss_weight: float = 0.0) -> Document:
    """The row with its end token."""
    if isinstance(row, CompletionRow):
        return (
            *render_prompt(row.prompt, prompt_loss_weight),
            TextSpan(text=row.completion),
            TextSpan(special=END_OF_TEXT),
        )
    return tuple(span for turn in row.turns for span in _turn_spans(turn, prompt_loss_weight))


def render_pair(row: PreferenceRow) -> PreferencePair:
    """Both answers with their end tokens."""
    prompt = render_chat_prompt(row.turns)
    return PreferencePair(
        (*prompt, TextSpan(text=row.preferred), TextSpan(special=END_OF_TURN)),
        (*prompt, TextSpan(text=row.other), TextSpan(special=END_OF_TURN)),
    )


def render_prompt(prompt: str, weight: float = 0.0) -> Document:
    """A text to complete."""
    return (TextSpan(text=prompt, weight=weight),) if prompt else ()


def render_chat_prompt(turns: Sequence[Turn]) -> Document:
    """The messages so far, then the role token of the assistant."""
    messages = [span for turn in turns for span in _turn_spans(turn, 0.0)]
    return (*messages, TextSpan(special=ROLES["assistant"], weight=0.0))


def render_prompt_of(row: TrainingRow) -> Document:
    """The row without its last answer."""
    match row:
        case CompletionRow():
            return render_prompt(row.prompt)
        case ChatRow():
            return render_chat_prompt(row.turns[:-1])
        case PreferenceRow():
            return render_chat_prompt(row.turns)


def render_answer(prompt: Document, row: TrainingRow) -> Document:
    """The row's answer after a prompt, possibly of another row; only the answer has a weight."""
    if isinstance(row, CompletionRow):
        return (*prompt, TextSpan(text=row.completion), TextSpan(special=END_OF_TEXT))
    text = row.turns[-1].content if isinstance(row, ChatRow) else row.preferred
    return (*prompt, TextSpan(text=text), TextSpan(special=END_OF_TURN))


def _turn_spans(turn: Turn, prompt_loss_weight: float) -> tuple[TextSpan, ...]:
    weight = 1.0 if turn.trained else prompt_loss_weight
    return (
        TextSpan(special=ROLES[turn.role], weight=0.0),
        TextSpan(text=turn.content, weight=weight),
        TextSpan(special=END_OF_TURN, weight=weight),
    )
