"""Whatever stands where tools, calls and answers belong is a row or a reason, never a crash."""

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

ODD = (
    st.none()
    | st.booleans()
    | st.integers(0, 2)
    | st.sampled_from(["", "f", "{}", "{", "function"])
)
ANY = ODD | st.lists(ODD, max_size=2) | st.dictionaries(st.sampled_from(["name", "id"]), ODD)


def mostly(good: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """What is wanted, and once in a while something else."""
    return st.integers(0, 40).flatmap(lambda lot: ANY if lot == 7 else good)


NAMES = mostly(st.sampled_from("fg"))
SCHEMAS = st.fixed_dictionaries(
    {}, optional={"type": ANY, "properties": st.dictionaries(st.just("a"), ANY) | ANY,
                  "required": ANY, "additionalProperties": ANY, "enum": ANY},
)  # fmt: skip
FUNCTIONS = st.fixed_dictionaries({"name": NAMES}, optional={"parameters": mostly(SCHEMAS)})
TOOLS = st.fixed_dictionaries({"type": mostly(st.just("function")), "function": mostly(FUNCTIONS)})
ARGUMENTS = mostly(st.sampled_from(["{}", '{"a": 1}', '{"a": {"b": [null]}, "c": 2}', "[]"]))
CALLED = st.fixed_dictionaries({"name": NAMES, "arguments": ARGUMENTS})
CALLS = st.fixed_dictionaries(
    {"id": mostly(st.sampled_from("ab")), "type": st.just("function"), "function": mostly(CALLED)}
)
ASKS = st.fixed_dictionaries(
    {"role": st.just("assistant"), "tool_calls": mostly(st.lists(CALLS, min_size=1, max_size=2))},
    optional={"weight": st.sampled_from([0, 1]), "function_call": mostly(CALLED)},
)
SAYS = ASKS | st.fixed_dictionaries(
    {"role": mostly(st.sampled_from(["user", "assistant", "user", "tool"])),
     "content": mostly(st.just("x"))},
    optional={"tool_call_id": mostly(st.sampled_from("ab")), "name": mostly(st.just("f"))},
)  # fmt: skip
CHATS = st.fixed_dictionaries(
    {"messages": st.builds(lambda some, last: [*some, last], st.lists(SAYS, max_size=2), ASKS)},
    optional={"tools": mostly(st.lists(TOOLS, max_size=2)), "parallel_tool_calls": ODD,
              "functions": mostly(st.lists(FUNCTIONS, max_size=1))},
)  # fmt: skip


@settings(deadline=None, derandomize=True, database=None, max_examples=1000)
@given(CHATS)
def test_any_chat_is_a_row_or_a_reason(chat: dict[str, object]) -> None:
    parsed = BatchParser().parse(Batch([chat], [1]))
    assert len(parsed.raws) + len(parsed.row_errors) == 1
    StringifyArguments({}).repair(chat)
    if not parsed.raws:
        assert parsed.row_errors[0].reason
        return
    examination = CheckSet(create_profile([parsed]))
    examination.add(parsed)
    assert examination.get_result(DataTarget(tools=False), unit="line").rows == 1
    raw = cast("dict[str, Json]", chat)
    row = Row(1, parsed.format, raw)
    assert row.completion
    assert split_row(row)[-1].text
    assert number_calls(raw).keys() == raw.keys() >= write_tools(raw).keys()
