"""Turns rows and prompts into the trainers' documents: which text, which special tokens, and how
much each piece counts in the loss.

    completion   PROMPT COMPLETION <end_of_text>
    chat         <role> CONTENT <end_of_turn> <role> CONTENT <end_of_turn> …

Only what the model is to say counts fully; the rest counts `prompt_loss_weight`. A preference is
the same chat twice, with one answer each.
"""

from collections.abc import Sequence

from ftops.engine.trainer import Document, PreferencePair, TextSpan
from ftops.engine.training_file import ChatRow, CompletionRow, PreferenceRow, TrainingRow, Turn

END_OF_TEXT = "end_of_text"
END_OF_TURN = "end_of_turn"
ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


def render_row(row: CompletionRow | ChatRow, prompt_loss_weight: float = 0.0) -> Document:
    """The row as it is trained on, its end token included."""
    if isinstance(row, CompletionRow):
        return (
            *render_prompt(row.prompt, prompt_loss_weight),
            TextSpan(text=row.completion),
            TextSpan(special=END_OF_TEXT),
        )
    return tuple(
        segment for turn in row.turns for segment in _turn_segments(turn, prompt_loss_weight)
    )


def render_pair(row: PreferenceRow) -> PreferencePair:
    """Both answers as they are compared, end tokens included."""
    prompt = render_chat_prompt(row.turns)
    return PreferencePair(
        (*prompt, TextSpan(text=row.preferred), TextSpan(special=END_OF_TURN)),
        (*prompt, TextSpan(text=row.other), TextSpan(special=END_OF_TURN)),
    )


def render_prompt(prompt: str, weight: float = 0.0) -> Document:
    """A text that the model is to go on from."""
    return (TextSpan(text=prompt, weight=weight),) if prompt else ()


def render_chat_prompt(turns: Sequence[Turn]) -> Document:
    """A chat so far, and the word given to the assistant."""
    said = [segment for turn in turns for segment in _turn_segments(turn, 0.0)]
    return (*said, TextSpan(special=ROLES["assistant"], weight=0.0))


def render_prompt_of(row: TrainingRow) -> Document:
    """What stands before the answer at the end of the row."""
    match row:
        case CompletionRow():
            return render_prompt(row.prompt)
        case ChatRow():
            return render_chat_prompt(row.turns[:-1])
        case PreferenceRow():
            return render_chat_prompt(row.turns)


def render_answer(prompt: Document, row: TrainingRow) -> Document:
    """The row's answer behind a prompt that may be another row's; only the answer counts."""
    if isinstance(row, CompletionRow):
        return (*prompt, TextSpan(text=row.completion), TextSpan(special=END_OF_TEXT))
    text = row.turns[-1].content if isinstance(row, ChatRow) else row.preferred
    return (*prompt, TextSpan(text=text), TextSpan(special=END_OF_TURN))


def _turn_segments(turn: Turn, prompt_loss_weight: float) -> tuple[TextSpan, ...]:
    weight = 1.0 if turn.trained else prompt_loss_weight
    return (
        TextSpan(special=ROLES[turn.role], weight=0.0),
        TextSpan(text=turn.content, weight=weight),
        TextSpan(special=END_OF_TURN, weight=weight),
    )
