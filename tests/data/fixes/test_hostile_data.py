"""Damaged and hostile files are prepared, or refused with their name, and never half-written."""

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
from tests.data.fixes.trials import read_lines, try_file
from tests.data.reading.test_hostile import FAULTY, REFUSED


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_not_prepared(tmp_path: Path, name: str) -> None:
    filename, make, reason = REFUSED[name]
    path = tmp_path / filename
    path.write_bytes(make())
    with pytest.raises(DatasetError, match=reason):
        try_file(path)
    assert [one.name for one in tmp_path.iterdir()] == [filename]


@pytest.mark.parametrize("name", FAULTY)
def test_bad_records_are_left_out_or_named(tmp_path: Path, name: str) -> None:
    filename, data, _, _ = FAULTY[name]
    path = tmp_path / filename
    path.write_bytes(data)
    try:
        trial = try_file(path)
    except DatasetError as error:
        assert filename in error.message
        assert [one.name for one in tmp_path.iterdir()] == [filename]
    else:
        assert all(set(row) == {"prompt", "completion"} for row in trial.rows)
    assert path.read_bytes() == data


DEEP = json.loads("[" * 500 + "]" * 500)


def test_records_that_nest_deep_are_left_out_like_others(tmp_path: Path) -> None:
    rows = [pair("a", "b"), pair("a", DEEP), {"messages": DEEP}, DEEP, pair("a", "b") | {"x": DEEP}]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    plan = DataPlan(
        (
            PlanStep("drop-extra-keys", {"keys": ["x"]}),
            PlanStep("drop-invalid-rows", {"codes": ["not-text", "not-an-object", "bad-chat"]}),
        )
    )
    outcome = write_prepared(open_source(path), plan, tmp_path / "out.jsonl")
    assert read_lines(tmp_path / "out.jsonl") == [rows[0], rows[0]]
    assert sum(stats.count for stats in outcome.fix_stats) == 4


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
def test_no_lines_make_it_fail_otherwise_than_by_a_clear_error(
    tmp_path: Path, lines: list[bytes]
) -> None:
    path = tmp_path / "any.jsonl"
    path.write_bytes(b"\n".join(lines))
    try:
        trial = try_file(path)
    except DatasetError as error:
        assert "any.jsonl" in error.message
    else:
        assert trial.rows
