"""Rows and prompts as documents for the trainers."""

import pytest

from ftops.engine.tiny.document import TextSpan, render_answer, render_prompt, render_row
from ftops.engine.trainer import ChatPrompt, get_prompt
from ftops.engine.training_file import ChatRow, CompletionRow, Turn, get_answer_text
from ftops.errors import EngineError

CHAT = ChatRow(
    (
        Turn("developer", "be short"),
        Turn("user", "hello"),
        Turn("assistant", "hi", trained=True),
    )
)


def test_a_completion_row_counts_its_completion_and_its_end() -> None:
    document = render_row(CompletionRow("a ->", " 1"), prompt_loss_weight=0.1)
    assert document == (
        TextSpan(text="a ->", weight=0.1),
        TextSpan(text=" 1"),
        TextSpan(special="end_of_text"),
    )


def test_a_chat_row_counts_what_the_assistant_says_and_its_end() -> None:
    document = render_row(CHAT)
    assert [(part.special or part.text, part.weight) for part in document] == [
        ("system", 0.0),
        ("be short", 0.0),
        ("end_of_turn", 0.0),
        ("user", 0.0),
        ("hello", 0.0),
        ("end_of_turn", 0.0),
        ("assistant", 0.0),
        ("hi", 1.0),
        ("end_of_turn", 1.0),
    ]


def test_an_assistant_turn_of_weight_0_is_only_read() -> None:
    row = ChatRow((Turn("assistant", "no"), Turn("assistant", "yes", trained=True)))
    counted = [part.text for part in render_row(row) if part.weight]
    assert counted == ["yes", ""]


def test_what_is_asked_is_how_the_training_document_begins() -> None:
    for row in (CompletionRow("a ->", " 1"), CompletionRow("", "x"), CHAT):
        prompt = [(part.text, part.special) for part in render_prompt(get_prompt(row))]
        document = [(part.text, part.special) for part in render_row(row)]
        assert document[: len(prompt)] == prompt
        assert len(document) == len(prompt) + 2
        answered = render_answer(get_prompt(row), get_answer_text(row))
        assert [(part.text, part.special) for part in answered] == document


def test_prompts_end_where_the_answer_begins() -> None:
    assert render_prompt(ChatPrompt(CHAT.turns[:2]))[-1] == TextSpan(
        special="assistant", weight=0.0
    )
    assert render_prompt("") == ()


@pytest.mark.parametrize(
    "chat",
    [
        ChatPrompt((Turn("user", "hello"),), tools=({"type": "function"},)),
        ChatPrompt((Turn("assistant", "", tool_calls=({"id": "1"},)),)),
        ChatPrompt((Turn("tool", "12", tool_call_id="1"),)),
    ],
)
def test_a_chat_with_tools_has_no_template(chat: ChatPrompt) -> None:
    with pytest.raises(EngineError, match="no template for them"):
        render_prompt(chat)
