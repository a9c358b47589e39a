"""Examples in the prompt are chosen the same way each time, and put as the model reads them."""

from collections import Counter

from ftops.evaluation.candidates import (
    GAP,
    FewShotExample,
    build_prompt,
    list_stops,
    select_examples,
)
from ftops.evaluation.prompt_format import PromptFormat
from ftops.records import Chat, Message, RowFormat
from ftops.spec.evaluate import FewShotCandidate

ROWS = [
    *(FewShotExample(f"the team won match number {n}", "sports") for n in range(20)),
    *(FewShotExample(f"the bank raised rate number {n}", "money") for n in range(6)),
    *(FewShotExample(f"the minister left office number {n}", "politics") for n in range(3)),
]
TEXT = PromptFormat(RowFormat.COMPLETION, separator=" ->", stop="\n")
CHAT = PromptFormat()


def wanted(examples: int, selection: str, seed: int | None = None) -> FewShotCandidate:
    values = {"examples": examples, "selection": selection, "seed": seed}
    return FewShotCandidate.model_validate(values)


def test_balanced_examples_hold_each_class_as_often_as_there_are_rows() -> None:
    (chosen,) = select_examples(ROWS, ["q"], wanted(9, "balanced"), 1)
    assert Counter(one.answer for one in chosen) == {"sports": 3, "money": 3, "politics": 3}
    (more,) = select_examples(ROWS, ["q"], wanted(12, "balanced"), 1)
    assert Counter(one.answer for one in more)["politics"] == 3
    assert len(more) == len(set(more)) == 12


def test_of_more_classes_than_examples_as_many_are_drawn() -> None:
    (chosen,) = select_examples(ROWS, ["q"], wanted(2, "balanced"), 1)
    assert len({one.answer for one in chosen}) == 2


def test_the_same_seed_draws_the_same_examples_and_another_one_others() -> None:
    draws = [
        next(iter(select_examples(ROWS, ["q"], wanted(5, "random", seed), 9)))
        for seed in (None, None, 9, 10)
    ]
    assert draws[0] == draws[1] == draws[2] != draws[3]


def test_no_more_examples_are_drawn_than_there_are_rows() -> None:
    for choose in ("random", "balanced", "nearest"):
        (chosen,) = select_examples(ROWS, ["the team won"], wanted(100, choose), 1)
        assert len(chosen) == len(ROWS)


def test_nearest_examples_are_those_of_each_question_and_the_nearest_stands_last() -> None:
    rows = [
        FewShotExample("a cup of tea", "drink"),
        FewShotExample("a loaf of bread", "food"),
        FewShotExample("green tea with milk", "drink"),
    ]
    tea, bread = select_examples(rows, ["green tea", "bread and butter"], wanted(1, "nearest"), 1)
    assert [one.prompt for one in tea] == ["green tea with milk"]
    assert [one.prompt for one in bread] == ["a loaf of bread"]
    (both,) = select_examples(rows, ["green tea with milk"], wanted(2, "nearest"), 1)
    assert both[-1].prompt == "green tea with milk"


def test_text_examples_end_with_the_stop_sequence_and_the_question_stands_last() -> None:
    shown = [FewShotExample("apple ->", "red"), FewShotExample("leaf ->", "green")]
    assert build_prompt(shown, "sea ->", TEXT) == "apple -> red\nleaf -> green\nsea ->"
    assert list_stops(TEXT) == ("\n",)


def test_text_examples_without_a_stop_sequence_are_parted_by_a_mark_that_ends_answers() -> None:
    way = PromptFormat(RowFormat.COMPLETION)
    assert build_prompt([FewShotExample("a", "1")], "b", way) == f"a 1{GAP}b"
    assert list_stops(way) == (GAP,)


def test_chat_examples_are_turns_after_the_system_message() -> None:
    system = Message("system", "Answer with a colour.")
    question = (system, Message("user", "sea"))
    shown = [FewShotExample(Chat((system, Message("user", "apple"))), "red")]
    prompt = build_prompt(shown, Chat(question), CHAT)
    assert isinstance(prompt, Chat)
    assert prompt.messages == (
        system,
        Message("user", "apple"),
        Message("assistant", "red"),
        Message("user", "sea"),
    )


def test_an_example_with_a_call_has_the_call_and_an_empty_answer_to_it() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "light", "arguments": "{}"}}
    answer = Message("assistant", "", {"tool_calls": [call]})
    question = Chat((Message("user", "sea"),), {"tools": []})
    shown = [FewShotExample(Chat((Message("user", "apple"),)), "[…]", answer)]
    assert build_prompt(shown, question, CHAT) == Chat(
        (
            Message("user", "apple"),
            answer,
            Message("tool", "", {"tool_call_id": "c1"}),
            Message("user", "sea"),
        ),
        {"tools": []},
    )
