"""Layouts of other tools: recognized by their keys, read without loss, or refused by name."""

import json
from pathlib import Path

import pytest

from ftops.data.reading.layouts import LAYOUTS
from ftops.data.reading.options import AS_IS, AUTO, ReadOptions
from ftops.data.reading.recognition import get_layout, match_layout
from ftops.data.reading.source import Source, open_source
from ftops.data.rows import read_source_rows
from ftops.errors import DatasetError
from ftops.records import Json

JsonObject = dict[str, Json]
USER: JsonObject = {"role": "user", "content": "Which river?"}
SYSTEM: JsonObject = {"role": "system", "content": "Be short."}
ASSISTANT: JsonObject = {"role": "assistant", "content": "The Elbe."}
WORSE: JsonObject = {"role": "assistant", "content": "No idea."}
HUMAN: JsonObject = {"from": "human", "value": "Which river?"}
GPT: JsonObject = {"from": "gpt", "value": "The Elbe."}
PAIR: JsonObject = {"prompt": "Which river?", "completion": "The Elbe."}
CHAT: JsonObject = {"messages": [USER, ASSISTANT]}
PREFERENCE: JsonObject = {
    "input": {"messages": [USER]},
    "preferred_output": [ASSISTANT],
    "non_preferred_output": [WORSE],
}
LEVEL: JsonObject = {
    "name": "level",
    "parameters": {"type": "object", "properties": {"town": {"type": "string"}}},
}
TOOLS: list[Json] = [{"type": "function", "function": LEVEL}]
CALLED: JsonObject = {"name": "level", "arguments": {"town": "Pirna"}}


def calls_message(*names: str, text: str | None = None) -> JsonObject:
    """The assistant's message with one tool call for each id."""
    function: JsonObject = {"name": "level", "arguments": '{"town":"Pirna"}'}
    tool_calls: list[Json] = [
        {"id": name, "type": "function", "function": function} for name in names
    ]
    return {"role": "assistant", "content": text, "tool_calls": tool_calls}


def tool_message(call: str, text: str = "2 m", **more: Json) -> JsonObject:
    return {"role": "tool", "tool_call_id": call, "content": text, **more}


# The layout, a record of it, and the expected row.
EXAMPLES: list[tuple[str, JsonObject, JsonObject]] = [
    ("alpaca", {"instruction": "Which", "input": "river?", "output": "The Elbe."},
     {"prompt": "Which\nriver?", "completion": "The Elbe."}),
    ("alpaca", {"instruction": "Which river?", "input": "", "output": "The Elbe."}, PAIR),
    ("alpaca", {"instruction": "Which river?", "output": "The Elbe."}, PAIR),
    ("alpaca", {"instruction": "Which river?", "input": None, "output": "The Elbe.",
                "system": None, "history": []}, PAIR),
    ("alpaca-chat",
     {"instruction": "Which", "input": "river?", "output": "The Elbe.", "system": "Be short.",
      "history": [["Hello", "Hi"]]},
     {"messages": [SYSTEM, {"role": "user", "content": "Hello"},
                   {"role": "assistant", "content": "Hi"},
                   {"role": "user", "content": "Which\nriver?"}, ASSISTANT]}),
    ("dolly", {"instruction": "Which", "context": "river?", "response": "The Elbe.",
               "category": "open_qa"},
     {"prompt": "Which\nriver?", "completion": "The Elbe."}),
    ("system-question-response",
     {"id": "7", "system_prompt": "Be short.", "question": "Which river?",
      "response": "The Elbe."}, {"messages": [SYSTEM, USER, ASSISTANT]}),
    ("user-assistant", {"user": "Which river?", "assistant": "The Elbe."}, CHAT),
    ("sharegpt", {"id": "a1", "conversations": [HUMAN, GPT]}, CHAT),
    ("sharegpt", {"conversations": [USER, ASSISTANT], "system": "Be short."},
     {"messages": [SYSTEM, USER, ASSISTANT]}),
    ("sharegpt",
     {"conversations": [HUMAN, {"from": "function_call", "value": json.dumps(CALLED)},
                        {"from": "observation", "value": "2 m"}, GPT],
      "tools": json.dumps([LEVEL])},
     {"messages": [USER, calls_message("call_1"), tool_message("call_1"), ASSISTANT],
      "tools": TOOLS}),
    ("sharegpt",
     {"conversations": [
         HUMAN,
         {"from": "gpt", "value": f"Let me look.\n<tool_call>\n{json.dumps(CALLED)}\n</tool_call>\n"
                                  f"<tool_call>{json.dumps(CALLED)}</tool_call>"},
         {"from": "tool", "value": "<tool_response>\n2 m\n</tool_response>\n"
                                   "<tool_response>3 m</tool_response>"},
         GPT]},
     {"messages": [USER, calls_message("call_1", "call_2", text="Let me look."),
                   tool_message("call_1"), tool_message("call_2", "3 m"), ASSISTANT]}),
    ("conversation", {"conversation": [HUMAN, GPT]}, CHAT),
    ("messages", {"messages": [HUMAN, GPT]}, CHAT),
    ("messages", {"messages": [USER, ASSISTANT], "system": "Be short."},
     {"messages": [SYSTEM, USER, ASSISTANT]}),
    ("messages", {"messages": [{"role": "User", "content": "Which river?"},
                               {"role": "Chatbot", "content": "The Elbe."}]}, CHAT),
    ("messages",
     {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [
         {"type": "function", "function": {
             "name": "level", "arguments": {"town": "Pirna", "day": None}}}]},
         {"role": "tool", "name": "level", "content": "2 m"}, ASSISTANT], "tools": TOOLS},
     {"messages": [USER, calls_message("call_1"), tool_message("call_1", name="level"), ASSISTANT],
      "tools": TOOLS}),
    ("prompt-messages", {"prompt": [SYSTEM, USER], "completion": [ASSISTANT]},
     {"messages": [SYSTEM, USER, ASSISTANT]}),
    ("gemini",
     {"systemInstruction": {"role": "system", "parts": [{"text": "Be short."}]},
      "contents": [{"role": "user", "parts": [{"text": "Which "}, {"text": "river?"}]},
                   {"role": "model", "parts": [{"text": "The Elbe."}]}]},
     {"messages": [SYSTEM, USER, ASSISTANT]}),
    ("preference", {"prompt": "Which river?", "chosen": "The Elbe.", "rejected": "No idea."},
     PREFERENCE),
    ("preference", {"prompt": [USER], "chosen": [ASSISTANT], "rejected": [WORSE]}, PREFERENCE),
    ("preference", {"prompt": "Which river?", "chosen": [USER, ASSISTANT],
                    "rejected": [USER, WORSE]}, PREFERENCE),
    ("preference", {"prompt": "Which river?", "messages": [USER, ASSISTANT],
                    "chosen": [USER, ASSISTANT], "rejected": [USER, WORSE]}, PREFERENCE),
    ("preference-implicit", {"chosen": [USER, ASSISTANT], "rejected": [USER, WORSE]}, PREFERENCE),
    ("preference-transcript",
     {"chosen": "\n\nHuman: Which river?\n\nAssistant: The Elbe.",
      "rejected": "\n\nHuman: Which river?\n\nAssistant: No idea."}, PREFERENCE),
    ("alpaca-preference", {"instruction": "Which river?", "input": "", "chosen": "The Elbe.",
                           "rejected": "No idea."}, PREFERENCE),
    ("question-preference",
     {"system": "Be short.", "question": "Which river?", "chosen": "The Elbe.",
      "rejected": "No idea."}, {**PREFERENCE, "input": {"messages": [SYSTEM, USER]}}),
    ("sharegpt-preference",
     {"conversations": [HUMAN], "chosen": GPT, "rejected": {"from": "gpt", "value": "No idea."}},
     PREFERENCE),
    ("xlam",
     {"id": 3, "query": "Which river?", "answers": json.dumps([CALLED]),
      "tools": json.dumps([{"name": "level", "parameters": {
          "town": {"type": "str", "description": "where"},
          "days": {"type": "List[int], optional", "default": ""}}}])},
     {"messages": [USER, calls_message("call_1")],
      "tools": [{"type": "function", "function": {"name": "level", "parameters": {
          "type": "object", "properties": {
              "town": {"type": "string", "description": "where"},
              "days": {"type": "array", "items": {"type": "integer"}, "default": ""}},
          "required": ["town"]}}}]}),
    ("squad",
     {"id": "x", "title": "Rivers", "context": "Dresden lies on the Elbe.",
      "question": "Which river?", "answers": {"text": ["Elbe", "Elbe"], "answer_start": [20, 20]}},
     {"prompt": "Dresden lies on the Elbe.\nWhich river?", "completion": "Elbe"}),
    ("context-question-answer",
     {"context": "Dresden lies there.", "question": "Which river?", "answer": "The Elbe."},
     {"prompt": "Dresden lies there.\nWhich river?", "completion": "The Elbe."}),
    ("question-answers", {"question": "Which river?", "answers": ["The Elbe."]}, PAIR),
    ("question-answer-list", {"question": "Which river?", "answer": ["The Elbe."]}, PAIR),
    ("question-answer", {"question": "Which river?", "answer": "The Elbe."}, PAIR),
    ("question-answer", {"Question": "Which river?", "Answer": "The Elbe."}, PAIR),
    ("input-output", {"input": "Which river?", "output": "The Elbe."}, PAIR),
    ("text-label", {"text": "Which river?", "label": 2},
     {"prompt": "Which river?", "completion": "2"}),
]  # fmt: skip


def write(path: Path, *records: JsonObject) -> Path:
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return path


def open_path(path: Path, layout: str | None = AUTO) -> Source:
    return open_source(path, ReadOptions(layout=layout))


def read_rows(source: Source) -> list[JsonObject]:
    return [row.raw for row in read_source_rows(source)]


@pytest.mark.parametrize(("name", "record", "row"), EXAMPLES)
def test_a_record_becomes_an_equivalent_row(
    tmp_path: Path, name: str, record: JsonObject, row: JsonObject
) -> None:
    source = open_path(write(tmp_path / "a.jsonl", record, record))
    assert source.layout == name
    assert any(get_layout(name).becomes in item for item in source.inferred)
    assert read_rows(source) == [row, row]
    # the layout's name in a job file or a plan gives the same rows
    assert read_rows(open_path(tmp_path / "a.jsonl", name)) == [row, row]


@pytest.mark.parametrize(
    ("name", "record", "row"), [example for example in EXAMPLES if "Question" not in example[1]]
)
def test_nulls_in_other_keys_do_not_change_the_layout(
    tmp_path: Path, name: str, record: JsonObject, row: JsonObject
) -> None:
    others = {key: None for _, other, _ in EXAMPLES for key in other if key.islower()}
    source = open_path(write(tmp_path / "a.jsonl", {**others, **record}))
    assert source.layout == name
    assert read_rows(source) == [row]


def test_every_layout_has_an_example() -> None:
    with_examples = {name for name, _, _ in EXAMPLES}
    column_pairs = {
        layout.name for layout in LAYOUTS if layout.columns and len(layout.required) == 2
    }
    assert {layout.name for layout in LAYOUTS if layout.read} - with_examples - column_pairs == {
        "text"
    }


@pytest.mark.parametrize("row", [PAIR, CHAT, PREFERENCE])
def test_rows_in_a_training_format_are_unchanged(tmp_path: Path, row: JsonObject) -> None:
    source = open_path(write(tmp_path / "a.jsonl", row, row))
    assert source.layout is None
    assert source.plain is not None
    assert read_rows(source) == [row, row]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({**PAIR, "label": True}, "KTO rows (prompt, completion, label)"),
        ({"instruction": "a", "output": "b", "kto_tag": False}, "KTO rows"),
        ({"conversations": [HUMAN, GPT], "kto_tag": True}, "KTO rows"),
        ({"system": "SYSTEM: a", "chat": "USER: b ASSISTANT: c"}, "Glaive transcripts"),
        ({"text": "A whole text."}, "plain texts (text)"),
        ({"chosen": "a b", "rejected": "a c"}, "the end of the prompt is unknown"),
        ({"instruction": "a", "instances": [{"input": "b", "output": "c"}]}, "Self-Instruct"),
        ({"segments": [{"label": True, "text": "a"}]}, "segments"),
        ({"translation": {"en": "a", "de": "b"}}, "the target language are unknown"),
        ({"question": "a", "choices": ["b", "c"], "answer": 0}, "questions with choices"),
    ],
)  # fmt: skip
def test_a_layout_without_a_counterpart_is_refused_by_name(
    tmp_path: Path, record: JsonObject, message: str
) -> None:
    with pytest.raises(DatasetError) as caught:
        open_path(write(tmp_path / "a.jsonl", record))
    assert message in caught.value.message
    assert caught.value.hint


def test_plain_texts_are_read_on_request(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", {"text": "A whole text."})
    assert read_rows(open_path(path, "text")) == [{"prompt": "", "completion": "A whole text."}]


@pytest.mark.parametrize("key", ["images", "label", "tools", "weight", "rejected", "history"])
@pytest.mark.parametrize("layout", [AUTO, "question-answer"])
def test_a_key_that_carries_data_is_never_dropped(tmp_path: Path, layout: str, key: str) -> None:
    record: JsonObject = {"question": "a", "answer": "b", key: ["c"]}
    with pytest.raises(DatasetError) as caught:
        open_path(write(tmp_path / "a.jsonl", record), layout)
    assert f"'{key}'" in caught.value.message
    assert "--prompt '{question}' --completion answer" in caught.value.hint


@pytest.mark.parametrize("key", ["images", "topic"])
@pytest.mark.parametrize("layout", [AUTO, "question-answer"])
def test_a_key_that_occurs_only_in_a_later_row_is_an_error_of_that_row(
    tmp_path: Path, layout: str, key: str
) -> None:
    plain: JsonObject = {"question": "a", "answer": "b"}
    path = write(tmp_path / "a.jsonl", *[plain] * 300, {**plain, key: "c"})
    with pytest.raises(DatasetError, match=rf"a.jsonl:301: '{key}' is not a key of the layout"):
        read_rows(open_path(path, layout))


def test_an_unknown_key_is_dropped_only_if_the_layout_is_named(tmp_path: Path) -> None:
    record: JsonObject = {"question": "a", "answer": "b", "topic": "rivers"}
    path = write(tmp_path / "a.jsonl", record)
    with pytest.raises(DatasetError) as caught:
        open_path(path)
    assert "'topic'" in caught.value.message
    assert "--layout question-answer" in caught.value.hint
    source = open_path(path, "question-answer")
    assert "not used: 'topic'" in source.inferred
    assert read_rows(source) == [{"prompt": "a", "completion": "b"}]


def test_dropped_metadata_keys_are_listed(tmp_path: Path) -> None:
    record: JsonObject = {"id": 7, "source": "web", "question": "a", "answer": "b"}
    source = open_path(write(tmp_path / "a.jsonl", record))
    assert source.inferred[-1] == "not used: 'id', 'source'"


def test_metadata_keys_are_the_same_for_layouts_and_columns(tmp_path: Path) -> None:
    metadata_keys = "created-at,License,question_id,meta"
    record: JsonObject = dict.fromkeys(metadata_keys.split(","), "x")
    layout = open_path(write(tmp_path / "a.jsonl", {**record, "question": "a", "answer": "b"}))
    table = tmp_path / "a.csv"
    table.write_text(f"{metadata_keys},prompt,completion\nx,x,x,x,a,b\n")
    assert read_rows(layout) == read_rows(open_path(table)) == [{"prompt": "a", "completion": "b"}]
    assert layout.inferred[-1] == "not used: 'created-at', 'license', 'question_id', 'meta'"


def test_a_layout_is_not_inferred_without_auto(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", {"question": "a", "answer": "b"})
    with pytest.raises(DatasetError) as caught:
        open_path(path, None)
    assert "question, answer" in caught.value.message
    assert "prepare: {layout: question-answer}" in caught.value.hint
    with pytest.raises(DatasetError, match="neither prompt and completion nor messages"):
        read_rows(open_path(path, AS_IS))


def test_one_row_with_a_history_makes_all_rows_chats(tmp_path: Path) -> None:
    plain: JsonObject = {"instruction": "a", "input": "", "output": "b", "history": []}
    path = write(tmp_path / "a.jsonl", *[plain] * 9, {**plain, "history": [["c", "d"]]})
    source = open_path(path)
    assert source.layout == "alpaca-chat"
    assert [len(row.messages) for row in read_source_rows(source)] == [2] * 9 + [4]


def test_rows_that_do_not_match_the_layout_are_reported_with_their_places(tmp_path: Path) -> None:
    good: JsonObject = {"instruction": "a", "input": "", "output": "b"}
    bad: list[JsonObject] = [
        {"instruction": "a"}, {**good, "output": None}, {**good, "instruction": {}},
        {**good, "input": [1]}, {**good, "output": True}, {**good, "output": ""},
    ]  # fmt: skip
    with pytest.raises(DatasetError) as caught:
        read_rows(open_path(write(tmp_path / "a.jsonl", *[good] * 10, *bad)))
    lines = [line.partition(".jsonl:")[2] for line in caught.value.message.splitlines()[1:]]
    assert lines == [
        "11: output is missing", "12: output is null", "13: instruction is an object",
        "14: the column 'input' is a list, not text",
        "15: completion is true or false, not text",
        "16: completion is empty: there is nothing to learn from it",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ([HUMAN, {**GPT, "image": "a.png"}], "conversations[1] has 'image'"),
        ([HUMAN, {"from": "judge", "value": "a"}], "the role 'judge'"),
        ([HUMAN, {"from": "observation", "value": "a"}, GPT], "a call that was not made"),
        ([HUMAN, {"from": "function_call", "value": "level(1)"}], "not JSON: 'level(1)'"),
        ([HUMAN, {"from": "function_call", "value": "{}"}], "a call without a name"),
        ([HUMAN, {"from": "gpt", "value": {"a": 1}}], "conversations[1] is an object"),
        ([HUMAN, {"from": "function_call", "value": json.dumps(CALLED)}, GPT], "has no answer"),
        ([GPT, HUMAN], "the last message is not the assistant's"),
    ],
)
def test_an_invalid_turn_is_refused_with_the_reason(
    tmp_path: Path, turns: list[Json], reason: str
) -> None:
    with pytest.raises(DatasetError) as caught:
        read_rows(open_path(write(tmp_path / "a.jsonl", {"conversations": turns})))
    assert reason in caught.value.message


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"chosen": [USER, ASSISTANT], "rejected": [SYSTEM, WORSE]}, "more than their last"),
        ({"prompt": "Other?", "chosen": [USER, ASSISTANT], "rejected": [USER, WORSE]},
         "do not begin with what the prompt says"),
        ({"chosen": [ASSISTANT], "rejected": [WORSE]}, "no prompt"),
        ({"prompt": "a", "chosen": "b", "rejected": "c", "messages": [USER]},
         "messages differs from chosen"),
        ({"question": "a", "answers": ["b", "c"]}, "2 different texts"),
        ({"question": "a", "answers": {"text": []}}, "answers"),
        ({"query": "a", "answers": [CALLED],
          "tools": [{"name": "f", "parameters": {"a": {"type": "Callable"}}}]}, "'Callable'"),
    ],
)  # fmt: skip
def test_ambiguous_records_are_refused(tmp_path: Path, record: JsonObject, reason: str) -> None:
    with pytest.raises(DatasetError) as caught:
        read_rows(open_path(write(tmp_path / "a.jsonl", record)))
    assert reason in caught.value.message


def test_the_layout_with_the_most_matching_keys_is_chosen() -> None:
    layout = match_layout({"instruction": "a", "input": "b", "output": "c", "question": "d"})
    assert layout is not None
    assert layout.name == "alpaca"
    assert match_layout({"input": {"messages": []}, "reply": "c"}) is None


def test_an_unknown_layout_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", {"conversations": [HUMAN, GPT]})
    with pytest.raises(DatasetError) as caught:
        open_path(path, "share-gpt")
    assert caught.value.hint == "Did you mean 'sharegpt'?"


def test_a_layout_and_columns_conflict() -> None:
    with pytest.raises(DatasetError, match="defines prompts and completions"):
        ReadOptions(layout="alpaca", prompt="{a}")


def test_duplicate_keys_are_found_in_records_of_a_layout(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"question": "a", "answer": "b", "answer": "c"}\n')
    with pytest.raises(DatasetError, match="the key 'answer' is duplicated"):
        read_rows(open_path(path))


LIST_RECORD: JsonObject = {"conversations": [HUMAN, GPT]}


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a"])
@pytest.mark.parametrize("count", [1, 3])
def test_records_of_lists_are_rows_in_a_file_of_any_name(
    tmp_path: Path, name: str, count: int
) -> None:
    source = open_path(write(tmp_path / name, *[LIST_RECORD] * count))
    assert read_rows(source) == [CHAT] * count


def test_columns_in_one_object_are_a_table_except_in_json_lines(tmp_path: Path) -> None:
    columns: JsonObject = {"question": ["a", "b"], "answer": ["c", "d"]}
    rows = [{"prompt": "a", "completion": "c"}, {"prompt": "b", "completion": "d"}]
    assert read_rows(open_path(write(tmp_path / "a.json", columns))) == rows
    with pytest.raises(DatasetError, match=r"a.jsonl"):
        read_rows(open_path(write(tmp_path / "a.jsonl", columns)))


def test_pretty_printed_records_are_read_in_an_array_and_refused_otherwise(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps([LIST_RECORD, LIST_RECORD], indent=1))
    assert read_rows(open_path(path)) == [CHAT, CHAT]
    path.write_text(json.dumps(LIST_RECORD, indent=1))
    assert read_rows(open_path(path)) == [CHAT]
    path.write_text("\n".join([json.dumps(LIST_RECORD, indent=1)] * 2))
    with pytest.raises(DatasetError) as caught:
        open_path(path)
    assert "one record per line" in caught.value.hint


NULLS: list[tuple[JsonObject, JsonObject]] = [
    ({**PAIR, "messages": None, "id": None}, PAIR),
    ({**CHAT, "prompt": None, "tools": None}, CHAT),
    ({"messages": [{**USER, "name": None, "tool_calls": None}, {**ASSISTANT, "weight": None}]},
     CHAT),
    ({**PREFERENCE, "messages": None, "input": {"messages": [USER], "tools": None}}, PREFERENCE),
    ({"messages": [USER, {**calls_message("1"), "weight": None}],
      "tools": [{"type": "function", "function": {**LEVEL, "strict": None, "parameters": {
          "type": "object", "properties": {"town": {"type": "string"}, "day": None}}}}]},
     {"messages": [USER, calls_message("1")], "tools": TOOLS}),
]  # fmt: skip


@pytest.mark.parametrize(("record", "row"), NULLS)
def test_nulls_of_a_data_frame_are_missing_keys(
    tmp_path: Path, record: JsonObject, row: JsonObject
) -> None:
    assert read_rows(open_path(write(tmp_path / "a.jsonl", row, record))) == [row, row]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"prompt": None, "completion": "b", "id": None}, "prompt is null"),
        ({"messages": [{"role": "user", "content": None, "name": None}, ASSISTANT]},
         "messages[0].content is null"),
    ],
)  # fmt: skip
def test_a_null_in_place_of_a_text_is_an_error(
    tmp_path: Path, record: JsonObject, reason: str
) -> None:
    with pytest.raises(DatasetError) as caught:
        read_rows(open_path(write(tmp_path / "a.jsonl", record)))
    assert reason in caught.value.message


def test_a_table_of_known_columns_is_read_by_its_layout(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("Instruction,Input,Output\nWhich,river?,The Elbe.\nWhich river?,,The Elbe.\n")
    assert [row["prompt"] for row in read_rows(open_path(path))] == [
        "Which\nriver?",
        "Which river?",
    ]
    with pytest.raises(DatasetError) as caught:
        open_path(path, None)
    assert "prepare: {layout: alpaca}" in caught.value.hint
