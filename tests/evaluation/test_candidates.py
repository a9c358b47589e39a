"""Few-shot examples are selected reproducibly and formatted for the model."""

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


def make_few_shot(examples: int, selection: str, seed: int | None = None) -> FewShotCandidate:
    values = {"examples": examples, "selection": selection, "seed": seed}
    return FewShotCandidate.model_validate(values)


def test_balanced_examples_have_equal_classes_while_rows_last() -> None:
    (chosen,) = select_examples(ROWS, ["q"], make_few_shot(9, "balanced"), 1)
    assert Counter(example.answer for example in chosen) == {"sports": 3, "money": 3, "politics": 3}
    (more,) = select_examples(ROWS, ["q"], make_few_shot(12, "balanced"), 1)
    assert Counter(example.answer for example in more)["politics"] == 3
    assert len(more) == len(set(more)) == 12


def test_with_more_classes_than_examples_each_example_has_its_own_class() -> None:
    (chosen,) = select_examples(ROWS, ["q"], make_few_shot(2, "balanced"), 1)
    assert len({example.answer for example in chosen}) == 2


def test_the_selection_depends_on_the_seed() -> None:
    draws = [
        next(iter(select_examples(ROWS, ["q"], make_few_shot(5, "random", seed), 9)))
        for seed in (None, None, 9, 10)
    ]
    assert draws[0] == draws[1] == draws[2] != draws[3]


def test_no_more_examples_are_selected_than_rows_exist() -> None:
    for selection in ("random", "balanced", "nearest"):
        (chosen,) = select_examples(ROWS, ["the team won"], make_few_shot(100, selection), 1)
        assert len(chosen) == len(ROWS)


def test_nearest_examples_are_selected_for_each_prompt_with_the_nearest_last() -> None:
    rows = [
        FewShotExample("a cup of tea", "drink"),
        FewShotExample("a loaf of bread", "food"),
        FewShotExample("green tea with milk", "drink"),
    ]
    tea, bread = select_examples(
        rows, ["green tea", "bread and butter"], make_few_shot(1, "nearest"), 1
    )
    assert [example.prompt for example in tea] == ["green tea with milk"]
    assert [example.prompt for example in bread] == ["a loaf of bread"]
    (both,) = select_examples(rows, ["green tea with milk"], make_few_shot(2, "nearest"), 1)
    assert both[-1].prompt == "green tea with milk"


def test_text_examples_end_with_the_stop_sequence_and_precede_the_prompt() -> None:
    examples = [FewShotExample("apple ->", "red"), FewShotExample("leaf ->", "green")]
    assert build_prompt(examples, "sea ->", TEXT) == "apple -> red\nleaf -> green\nsea ->"
    assert list_stops(TEXT) == ("\n",)


def test_text_examples_without_a_stop_sequence_have_a_separator_that_is_a_stop() -> None:
    prompt_format = PromptFormat(RowFormat.COMPLETION)
    assert build_prompt([FewShotExample("a", "1")], "b", prompt_format) == f"a 1{GAP}b"
    assert list_stops(prompt_format) == (GAP,)


def test_chat_examples_are_messages_after_the_system_message() -> None:
    system = Message("system", "Answer with a colour.")
    question = (system, Message("user", "sea"))
    examples = [FewShotExample(Chat((system, Message("user", "apple"))), "red")]
    prompt = build_prompt(examples, Chat(question), CHAT)
    assert isinstance(prompt, Chat)
    assert prompt.messages == (
        system,
        Message("user", "apple"),
        Message("assistant", "red"),
        Message("user", "sea"),
    )


def test_an_example_with_a_tool_call_has_the_call_and_an_empty_result() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "light", "arguments": "{}"}}
    response = Message("assistant", "", {"tool_calls": [call]})
    question = Chat((Message("user", "sea"),), {"tools": []})
    examples = [FewShotExample(Chat((Message("user", "apple"),)), "[…]", response)]
    assert build_prompt(examples, question, CHAT) == Chat(
        (
            Message("user", "apple"),
            response,
            Message("tool", "", {"tool_call_id": "c1"}),
            Message("user", "sea"),
        ),
        {"tools": []},
    )
