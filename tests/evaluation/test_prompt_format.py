"""Prompts for models with different row formats."""

from ftops.evaluation.prompt_format import PromptFormat, add_instructions
from ftops.records import Chat, Message, RowFormat

TEXT = PromptFormat(RowFormat.COMPLETION, separator=" ->", stop="\n")


def test_a_completion_ends_at_the_stop_sequence_and_is_decoded_to_its_label() -> None:
    prompt_format = PromptFormat(RowFormat.COMPLETION, stop="\n", label_map={"1": "sports"})
    assert prompt_format.parse(" 1\nand more") == "sports"
    assert prompt_format.parse(" sports ") == "sports"
    assert prompt_format.parse(" 9") == "9"


def test_a_chat_model_gets_a_text_without_its_separator() -> None:
    assert PromptFormat().convert("Who won? ->", TEXT) == Chat((Message("user", "Who won?"),))


def test_a_text_model_gets_its_own_separator() -> None:
    arrow = PromptFormat(RowFormat.COMPLETION, separator=" =>")
    assert arrow.convert("Who won? ->", TEXT) == "Who won? =>"
    assert TEXT.convert("Who won? ->", TEXT) == "Who won? ->"


def test_a_text_model_gets_the_text_of_a_chat() -> None:
    chat = Chat((Message("system", "Be short."), Message("user", "Who won?")))
    assert TEXT.convert(chat, PromptFormat()) == "Be short.\nWho won? ->"


def test_instructions_are_a_line_of_a_text_and_a_system_message_of_a_chat() -> None:
    assert add_instructions("Who won? ->", "Name one team.\n") == "Name one team.\nWho won? ->"
    question = Message("user", "Who won?")
    assert add_instructions(Chat((question,)), "Name one team.") == Chat(
        (Message("system", "Name one team."), question)
    )


def test_instructions_precede_an_existing_system_message() -> None:
    chat = Chat((Message("system", "Be short."), Message("user", "Who won?")))
    instructed = add_instructions(chat, "Name one team.")
    assert instructed == Chat(
        (Message("system", "Name one team.\n\nBe short."), Message("user", "Who won?"))
    )


def test_without_instructions_a_prompt_is_unchanged() -> None:
    assert add_instructions("Who won? ->", None) == "Who won? ->"
