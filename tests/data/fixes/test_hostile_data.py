"""Damaged and hostile files are prepared, or refused with their name and without output."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ftops.data.plans.planner import write_prepared
from ftops.data.reading.source import open_source
from ftops.errors import DatasetError
from ftops.records import DataPlan, PlanStep
from tests.data.data_files import pair, write_rows
from tests.data.fixes.preparation import prepare_path, read_lines
from tests.data.reading.test_hostile import FILES_WITH_BAD_RECORDS, UNREADABLE_FILES


@pytest.mark.parametrize("name", UNREADABLE_FILES)
def test_an_unreadable_file_is_not_prepared(tmp_path: Path, name: str) -> None:
    filename, make, reason = UNREADABLE_FILES[name]
    path = tmp_path / filename
    path.write_bytes(make())
    with pytest.raises(DatasetError, match=reason):
        prepare_path(path)
    assert [entry.name for entry in tmp_path.iterdir()] == [filename]


@pytest.mark.parametrize("name", FILES_WITH_BAD_RECORDS)
def test_bad_records_are_dropped_or_reported(tmp_path: Path, name: str) -> None:
    filename, data, _, _ = FILES_WITH_BAD_RECORDS[name]
    path = tmp_path / filename
    path.write_bytes(data)
    try:
        preparation = prepare_path(path)
    except DatasetError as error:
        assert filename in error.message
        assert [entry.name for entry in tmp_path.iterdir()] == [filename]
    else:
        assert all(set(row) == {"prompt", "completion"} for row in preparation.rows)
    assert path.read_bytes() == data


DEEP = json.loads("[" * 500 + "]" * 500)


def test_deeply_nested_records_are_dropped(tmp_path: Path) -> None:
    rows = [pair("a", "b"), pair("a", DEEP), {"messages": DEEP}, DEEP, pair("a", "b") | {"x": DEEP}]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    plan = DataPlan(
        (
            PlanStep("drop-extra-keys", {"keys": ["x"]}),
            PlanStep("drop-invalid-rows", {"codes": ["not-text", "not-an-object", "bad-chat"]}),
        )
    )
    result = write_prepared(open_source(path), plan, tmp_path / "out.jsonl")
    assert read_lines(tmp_path / "out.jsonl") == [rows[0], rows[0]]
    assert sum(stats.count for stats in result.fix_stats) == 4


LINES = st.one_of(
    st.binary(max_size=40),
    st.text(max_size=40).map(str.encode),
    st.sampled_from([b'{prompt: "a", completion: "b"}', b'{"prompt": "a", "completion": 3}', b""]),
    st.dictionaries(st.sampled_from(["prompt", "completion", "Prompt", "id"]), st.text(max_size=5))
    .map(json.dumps)
    .map(str.encode),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(LINES, max_size=20))
def test_any_lines_are_prepared_or_give_a_dataset_error(tmp_path: Path, lines: list[bytes]) -> None:
    path = tmp_path / "any.jsonl"
    path.write_bytes(b"\n".join(lines))
    try:
        preparation = prepare_path(path)
    except DatasetError as error:
        assert "any.jsonl" in error.message
    else:
        assert preparation.rows
