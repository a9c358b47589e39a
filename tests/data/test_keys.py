"""Keys and placeholders that are not text: refused by name, and never dropped by default."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from ftops.data.check_runner import run_checks
from ftops.data.checks.check import DataTarget
from ftops.data.findings import Finding
from ftops.data.plans.planner import PlanOptions, draft_plan, write_prepared
from ftops.data.plans.runner import show_record
from ftops.data.reading.options import ReadOptions
from ftops.data.reading.source import open_source
from ftops.data.rows import read_rows
from ftops.errors import DatasetError
from ftops.records import DataPlan, PlanStep
from ftops.rows.json_values import Literal
from tests.data.data_files import chat, get_read_error, pair, preference, write_rows


def get_findings(path: Path, options: ReadOptions | None = None) -> dict[str, Finding]:
    result = run_checks(open_source(path, options)).get_result(DataTarget())
    return {finding.code: finding for finding in result.findings}


def prepare(path: Path, plan: DataPlan | None = None) -> list[Any]:
    """The rows that `ftops data prepare --yes` writes."""
    options, target = ReadOptions(), path.with_name("out.jsonl")
    if plan is None:
        plan = draft_plan(lambda: open_source(path, options), options, PlanOptions()).plan
    write_prepared(open_source(path, options), plan, target)
    return [orjson.loads(line) for line in target.read_bytes().splitlines()]


MEANINGFUL_KEYS = [
    "image", "Images", "image_url", "audio", "video", "label", "labels", "rejected", "chosen",
    "score", "weight", "weights", "tool_calls", "System Prompt", "history", "context",
    "reasoning", "input",
]  # fmt: skip


@pytest.mark.parametrize("key", MEANINGFUL_KEYS)
def test_a_key_that_carries_data_is_refused_by_name(tmp_path: Path, key: str) -> None:
    rows = [chat("Which bird?", "A wren.") | {key: [f"{n}.png"]} for n in range(12)]
    path = write_rows(tmp_path / "a.jsonl", rows)
    assert get_findings(path)["unsupported-key"].count == 12
    with pytest.raises(DatasetError, match=f"unexpected key '{key}'.*would be lost"):
        prepare(path)
    assert not (tmp_path / "out.jsonl").exists()


def test_an_unknown_key_is_dropped_only_when_it_is_named(tmp_path: Path) -> None:
    rows = [pair(f"Which bird {n}?", f" wren {n}") | {"mood": "wary", "id": n} for n in range(12)]
    path = write_rows(tmp_path / "a.jsonl", rows)
    finding = get_findings(path)["unknown-key"]
    assert (finding.count, finding.fix, finding.fix_params) == (12, None, None)
    with pytest.raises(DatasetError, match="unexpected key 'mood', 'id'"):
        prepare(path)
    options = ReadOptions(drop=("mood",))
    assert get_findings(path, options)["extra-key"].fix_params == {"keys": ["id"]}
    dropped = read_rows(path, ReadOptions(drop=("mood", "id")))
    assert [row.raw for row in dropped] == [
        pair(f"Which bird {n}?", f" wren {n}") for n in range(12)
    ]
    plan = DataPlan((PlanStep("drop-extra-keys", {"keys": ["mood", "id"]}),))
    assert prepare(path, plan)[3] == pair("Which bird 3?", " wren 3")


def test_keys_with_metadata_are_dropped_by_a_fix_that_names_them(tmp_path: Path) -> None:
    rows = [chat(f"Which bird {n}?", f"A wren, {n}.") | {"id": n, "Source": "a"} for n in range(12)]
    path = write_rows(tmp_path / "a.jsonl", rows)
    plan = draft_plan(lambda: open_source(path), ReadOptions(), PlanOptions()).plan
    assert plan.steps[0] == PlanStep("drop-extra-keys", {"keys": ["id", "Source"]})
    assert prepare(path)[2] == chat("Which bird 2?", "A wren, 2.")
    with_more = write_rows(tmp_path / "b.jsonl", [*rows, rows[0] | {"images": ["a.png"]}])
    with pytest.raises(DatasetError, match=r"b\.jsonl:13: unexpected key 'id', 'Source', 'images'"):
        prepare(with_more, plan)


def test_a_plan_without_names_drops_only_keys_with_metadata(tmp_path: Path) -> None:
    plan = DataPlan((PlanStep("drop-extra-keys"),))
    row = preference()
    row["input"] = {**row["input"], "id": 7}  # type: ignore[dict-item]
    path = write_rows(tmp_path / "a.jsonl", [row | {"uuid": "a"}])
    assert prepare(path, plan) == [preference()]
    other = write_rows(tmp_path / "b.jsonl", [preference() | {"mood": "wary"}])
    with pytest.raises(DatasetError, match="unexpected key 'mood'"):
        prepare(other, plan)


@pytest.mark.parametrize(
    "text",
    ["<image>\nWhich bird?", "Which bird? <image>", "<image_1> or <|image_2|>?", "Hear <audio>.",
     "See <video>!", "<|image_pad|>"],
)  # fmt: skip
def test_a_placeholder_of_an_image_or_a_sound_is_an_error(tmp_path: Path, text: str) -> None:
    rows = [pair(text, "wren"), chat(text, "wren"), preference()]
    rows[2]["input"] = {"messages": [{"role": "user", "content": text}]}
    for number, row in enumerate(rows):
        path = write_rows(tmp_path / f"{number}.jsonl", [row])
        assert "only text is trained" in get_read_error(path)[1]


@pytest.mark.parametrize(
    "text",
    ["The tag `<image>` of RSS", "<image><url>a.png</url></image>", "a < image > b", "<images>",
     "<img src='a'>", "<video controls>"],
)  # fmt: skip
def test_markup_and_quoted_tags_are_text(tmp_path: Path, text: str) -> None:
    rows = [pair(text, "ok"), pair("<b>", "ok")]
    path = write_rows(tmp_path / "a.jsonl", rows)
    assert [row.raw for row in read_rows(path)] == rows


def test_a_placeholder_is_found_among_rows_with_markup(tmp_path: Path) -> None:
    rows = [pair("<image>a</image>", "ok"), pair("<image> bird?", "wren")]
    assert len(get_read_error(write_rows(tmp_path / "a.jsonl", rows))) == 2


def test_an_image_with_a_text_is_not_a_text_part(tmp_path: Path) -> None:
    part = {"type": "image_url", "image_url": {"url": "a.png"}, "text": "a bird"}
    path = write_rows(tmp_path / "a.jsonl", [chat([part], "wren")])
    assert "is not a text part; only text is supported" in get_read_error(path)[1]


@pytest.mark.parametrize("column", ["image", "rejected", "Weight", "context", "mood"])
def test_a_column_that_would_be_lost_is_refused_unless_an_option_decides(
    tmp_path: Path, column: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"id,Prompt,completion,{column}\n1,Which bird?,wren,x\n", encoding="utf-8")
    with pytest.raises(DatasetError, match=f"the column {column} would be lost") as caught:
        open_source(path)
    assert f"--drop {column}" in caught.value.hint
    assert "--prompt 'Prompt' --completion 'completion'" in caught.value.hint
    for options in (
        ReadOptions(drop=(column,)),
        ReadOptions(prompt="Prompt", completion="completion"),
    ):
        assert [row.raw for row in read_rows(path, options)] == [pair("Which bird?", "wren")]


NUMBERS = ["1.10", "0", "-3", "2e5", "123456789012345678901234567890", "0.30000000000000000001"]


@pytest.mark.parametrize(
    "options",
    [None, ReadOptions(prompt="prompt", completion="completion"), ReadOptions(drop=("mood",))],
)
def test_a_column_of_numbers_can_become_text_with_all_digits(
    tmp_path: Path, options: ReadOptions | None
) -> None:
    lines = [f'{{"prompt": "How much is {n}?", "completion": {n}}}' for n in NUMBERS * 2]
    path = write_rows(tmp_path / "a.jsonl", lines)
    findings = get_findings(path, options)
    assert findings["not-text"].severity == "error"  # nothing is converted by default
    assert findings["number-column"].fix == "stringify-numbers"
    read_options = options or ReadOptions()
    plan = draft_plan(lambda: open_source(path, read_options), read_options, PlanOptions()).plan
    write_prepared(open_source(path, read_options), plan, tmp_path / "out.jsonl")
    rows = [orjson.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    assert [row["completion"].strip() for row in rows] == NUMBERS


def test_a_column_of_booleans_can_become_text(tmp_path: Path) -> None:
    lines = [f'{{"prompt": "q{n}", "completion": {("true", "false")[n % 2]}}}' for n in range(12)]
    path = write_rows(tmp_path / "a.jsonl", lines)
    assert {row["completion"].strip() for row in prepare(path)} == {"true", "false"}


@pytest.mark.parametrize("other", ['"maybe"', "1.5"])
def test_a_column_of_mixed_types_has_no_such_finding(tmp_path: Path, other: str) -> None:
    lines = [f'{{"prompt": "q{n}", "completion": {("true", other)[n % 2]}}}' for n in range(12)]
    path = write_rows(tmp_path / "a.jsonl", lines)
    assert "number-column" not in get_findings(path)


def test_a_number_is_shown_unchanged() -> None:
    assert show_record({"completion": Literal("1.10")}) == '{"completion":1.10}'


def test_null_never_becomes_text(tmp_path: Path) -> None:
    lines = [f'{{"prompt": "q{n}", "completion": {("1.5", "null")[n % 2]}}}' for n in range(12)]
    path = write_rows(tmp_path / "a.jsonl", lines)
    findings = get_findings(path)
    assert findings["null-value"].count == 6
    assert "number-column" in findings
    assert {row["completion"] for row in prepare(path)} == {" 1.5"}
