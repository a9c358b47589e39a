"""Any value in place of tools, calls and answers is a row or an error, never a crash."""

from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from ftops.data.batch_parser import BatchParser
from ftops.data.check_set import CheckSet
from ftops.data.checks.check import DataTarget
from ftops.data.fixes.records import StringifyArguments
from ftops.data.profile import create_profile
from ftops.data.reading.batch import Batch
from ftops.data.rows import Row
from ftops.data.tokens.segments import split_row
from ftops.records import Json
from ftops.rows.tools import number_calls, write_tools

UNUSUAL = (
    st.none()
    | st.booleans()
    | st.integers(0, 2)
    | st.sampled_from(["", "f", "{}", "{", "function"])
)
ANY = (
    UNUSUAL
    | st.lists(UNUSUAL, max_size=2)
    | st.dictionaries(st.sampled_from(["name", "id"]), UNUSUAL)
)


def usually(valid: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The valid strategy, and occasionally any value."""
    return st.integers(0, 40).flatmap(lambda number: ANY if number == 7 else valid)


NAMES = usually(st.sampled_from("fg"))
SCHEMAS = st.fixed_dictionaries(
    {}, optional={"type": ANY, "properties": st.dictionaries(st.just("a"), ANY) | ANY,
                  "required": ANY, "additionalProperties": ANY, "enum": ANY},
)  # fmt: skip
FUNCTIONS = st.fixed_dictionaries({"name": NAMES}, optional={"parameters": usually(SCHEMAS)})
TOOLS = st.fixed_dictionaries(
    {"type": usually(st.just("function")), "function": usually(FUNCTIONS)}
)
ARGUMENTS = usually(st.sampled_from(["{}", '{"a": 1}', '{"a": {"b": [null]}, "c": 2}', "[]"]))
CALL_FUNCTIONS = st.fixed_dictionaries({"name": NAMES, "arguments": ARGUMENTS})
CALLS = st.fixed_dictionaries(
    {
        "id": usually(st.sampled_from("ab")),
        "type": st.just("function"),
        "function": usually(CALL_FUNCTIONS),
    }
)
CALL_MESSAGES = st.fixed_dictionaries(
    {"role": st.just("assistant"), "tool_calls": usually(st.lists(CALLS, min_size=1, max_size=2))},
    optional={"weight": st.sampled_from([0, 1]), "function_call": usually(CALL_FUNCTIONS)},
)
MESSAGES = CALL_MESSAGES | st.fixed_dictionaries(
    {"role": usually(st.sampled_from(["user", "assistant", "user", "tool"])),
     "content": usually(st.just("x"))},
    optional={"tool_call_id": usually(st.sampled_from("ab")), "name": usually(st.just("f"))},
)  # fmt: skip
CHATS = st.fixed_dictionaries(
    {
        "messages": st.builds(
            lambda some, last: [*some, last], st.lists(MESSAGES, max_size=2), CALL_MESSAGES
        )
    },
    optional={
        "tools": usually(st.lists(TOOLS, max_size=2)),
        "parallel_tool_calls": UNUSUAL,
        "functions": usually(st.lists(FUNCTIONS, max_size=1)),
    },
)


@settings(deadline=None, derandomize=True, database=None, max_examples=1000)
@given(CHATS)
def test_any_chat_is_a_row_or_an_error(chat: dict[str, object]) -> None:
    parsed = BatchParser().parse(Batch([chat], [1]))
    assert len(parsed.raws) + len(parsed.row_errors) == 1
    StringifyArguments({}).repair(chat)
    if not parsed.raws:
        assert parsed.row_errors[0].reason
        return
    check_set = CheckSet(create_profile([parsed]))
    check_set.add(parsed)
    assert check_set.get_result(DataTarget(tools=False), unit="line").rows == 1
    raw = cast("dict[str, Json]", chat)
    row = Row(1, parsed.format, raw)
    assert row.completion
    assert split_row(row)[-1].text
    assert number_calls(raw).keys() == raw.keys() >= write_tools(raw).keys()
