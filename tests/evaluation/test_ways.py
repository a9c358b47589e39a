"""How models are asked that learned of rows of different shapes."""

from ftops.evaluation.ways import Way, instruct
from ftops.records import Message, RowFormat

TEXT = Way(RowFormat.COMPLETION, separator=" ->", stop="\n")


def test_an_answer_ends_at_the_stop_sequence_and_stands_for_its_label() -> None:
    way = Way(RowFormat.COMPLETION, stop="\n", labels={"1": "sports"})
    assert way.read(" 1\nand more") == "sports"
    assert way.read(" sports ") == "sports"
    assert way.read(" 9") == "9"


def test_a_chat_model_is_asked_a_text_without_its_separator() -> None:
    assert Way().ask("Who won? ->", TEXT) == (Message("user", "Who won?"),)


def test_a_text_model_gets_its_own_separator_in_place_of_the_other() -> None:
    arrow = Way(RowFormat.COMPLETION, separator=" =>")
    assert arrow.ask("Who won? ->", TEXT) == "Who won? =>"
    assert TEXT.ask("Who won? ->", TEXT) == "Who won? ->"


def test_a_text_model_is_asked_the_words_of_a_chat() -> None:
    chat = (Message("system", "Be short."), Message("user", "Who won?"))
    assert TEXT.ask(chat, Way()) == "Be short.\nWho won? ->"


def test_instructions_are_a_line_before_a_text_and_a_system_message_before_a_chat() -> None:
    assert instruct("Who won? ->", "Name one team.\n") == "Name one team.\nWho won? ->"
    question = Message("user", "Who won?")
    assert instruct((question,), "Name one team.") == (
        Message("system", "Name one team."),
        question,
    )


def test_instructions_stand_before_what_a_system_message_says_already() -> None:
    chat = (Message("system", "Be short."), Message("user", "Who won?"))
    told = instruct(chat, "Name one team.")
    assert told == (Message("system", "Name one team.\n\nBe short."), chat[1])


def test_without_instructions_a_prompt_stays_as_it_is() -> None:
    assert instruct("Who won? ->", None) == "Who won? ->"
