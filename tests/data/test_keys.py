"""Keys and signs that carry more than text: refused by name, and never left out by themselves."""

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
from tests.data.data_files import chat, pair, preference, refusal, write_rows


def findings(path: Path, options: ReadOptions | None = None) -> dict[str, Finding]:
    verdict = run_checks(open_source(path, options)).get_result(DataTarget())
    return {one.code: one for one in verdict.findings}


def prepare(path: Path, plan: DataPlan | None = None) -> list[Any]:
    """The rows as `ftops data prepare --yes` writes them."""
    options, target = ReadOptions(), path.with_name("out.jsonl")
    if plan is None:
        plan = draft_plan(lambda: open_source(path, options), options, PlanOptions()).plan
    write_prepared(open_source(path, options), plan, target)
    return [orjson.loads(line) for line in target.read_bytes().splitlines()]


CARRYING = [
    "image", "Images", "image_url", "audio", "video", "label", "labels", "rejected", "chosen",
    "score", "weight", "weights", "tool_calls", "System Prompt", "history", "context",
    "reasoning", "input",
]  # fmt: skip


@pytest.mark.parametrize("key", CARRYING)
def test_a_key_that_carries_something_is_refused_by_name(tmp_path: Path, key: str) -> None:
    rows = [chat("Which bird?", "A wren.") | {key: [f"{n}.png"]} for n in range(12)]
    path = write_rows(tmp_path / "a.jsonl", rows)
    assert findings(path)["unsupported-key"].count == 12
    with pytest.raises(DatasetError, match=f"unexpected key '{key}'.*would be lost"):
        prepare(path)
    assert not (tmp_path / "out.jsonl").exists()


def test_a_key_of_unknown_meaning_is_left_out_when_it_is_named_alone(tmp_path: Path) -> None:
    rows = [pair(f"Which bird {n}?", f" wren {n}") | {"mood": "wary", "id": n} for n in range(12)]
    path = write_rows(tmp_path / "a.jsonl", rows)
    found = findings(path)["unknown-key"]
    assert (found.count, found.fix, found.fix_params) == (12, None, None)
    with pytest.raises(DatasetError, match="unexpected key 'mood', 'id'"):
        prepare(path)
    named = ReadOptions(drop=("mood",))
    assert findings(path, named)["extra-key"].fix_params == {"keys": ["id"]}
    dropped = read_rows(path, ReadOptions(drop=("mood", "id")))
    assert [row.raw for row in dropped] == [
        pair(f"Which bird {n}?", f" wren {n}") for n in range(12)
    ]
    plan = DataPlan((PlanStep("drop-extra-keys", {"keys": ["mood", "id"]}),))
    assert prepare(path, plan)[3] == pair("Which bird 3?", " wren 3")


def test_keys_that_describe_a_row_are_dropped_by_a_fix_that_names_them(tmp_path: Path) -> None:
    rows = [chat(f"Which bird {n}?", f"A wren, {n}.") | {"id": n, "Source": "a"} for n in range(12)]
    path = write_rows(tmp_path / "a.jsonl", rows)
    plan = draft_plan(lambda: open_source(path), ReadOptions(), PlanOptions()).plan
    assert plan.steps[0] == PlanStep("drop-extra-keys", {"keys": ["id", "Source"]})
    assert prepare(path)[2] == chat("Which bird 2?", "A wren, 2.")
    with_more = write_rows(tmp_path / "b.jsonl", [*rows, rows[0] | {"images": ["a.png"]}])
    with pytest.raises(DatasetError, match=r"b\.jsonl:13: unexpected key 'id', 'Source', 'images'"):
        prepare(with_more, plan)


def test_a_plan_without_names_drops_what_describes_a_row_alone(tmp_path: Path) -> None:
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
def test_a_sign_that_stands_for_a_picture_or_a_sound_is_an_error(tmp_path: Path, text: str) -> None:
    rows = [pair(text, "wren"), chat(text, "wren"), preference()]
    rows[2]["input"] = {"messages": [{"role": "user", "content": text}]}
    for number, row in enumerate(rows):
        path = write_rows(tmp_path / f"{number}.jsonl", [row])
        assert "only text is trained" in refusal(path)[1]


@pytest.mark.parametrize(
    "text",
    ["The tag `<image>` of RSS", "<image><url>a.png</url></image>", "a < image > b", "<images>",
     "<img src='a'>", "<video controls>"],
)  # fmt: skip
def test_markup_and_quoted_tags_are_text(tmp_path: Path, text: str) -> None:
    rows = [pair(text, "ok"), pair("<b>", "ok")]
    path = write_rows(tmp_path / "a.jsonl", rows)
    assert [row.raw for row in read_rows(path)] == rows


def test_a_sign_is_found_among_rows_with_markup(tmp_path: Path) -> None:
    rows = [pair("<image>a</image>", "ok"), pair("<image> bird?", "wren")]
    assert len(refusal(write_rows(tmp_path / "a.jsonl", rows))) == 2


def test_a_picture_beside_its_text_is_no_text_part(tmp_path: Path) -> None:
    part = {"type": "image_url", "image_url": {"url": "a.png"}, "text": "a bird"}
    path = write_rows(tmp_path / "a.jsonl", [chat([part], "wren")])
    assert "is not a text part; only text is supported" in refusal(path)[1]


@pytest.mark.parametrize("column", ["image", "rejected", "Weight", "context", "mood"])
def test_a_column_that_would_be_lost_is_refused_until_the_user_decides(
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
def test_a_column_of_numbers_is_offered_as_text_with_all_its_digits(
    tmp_path: Path, options: ReadOptions | None
) -> None:
    lines = [f'{{"prompt": "How much is {n}?", "completion": {n}}}' for n in NUMBERS * 2]
    path = write_rows(tmp_path / "a.jsonl", lines)
    found = findings(path, options)
    assert found["not-text"].severity == "error"  # nothing is converted by itself
    assert found["number-column"].fix == "stringify-numbers"
    chosen = options or ReadOptions()
    plan = draft_plan(lambda: open_source(path, chosen), chosen, PlanOptions()).plan
    write_prepared(open_source(path, chosen), plan, tmp_path / "out.jsonl")
    rows = [orjson.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    assert [row["completion"].strip() for row in rows] == NUMBERS


def test_a_column_of_true_and_false_is_offered_as_text(tmp_path: Path) -> None:
    lines = [f'{{"prompt": "q{n}", "completion": {("true", "false")[n % 2]}}}' for n in range(12)]
    path = write_rows(tmp_path / "a.jsonl", lines)
    assert {row["completion"].strip() for row in prepare(path)} == {"true", "false"}


@pytest.mark.parametrize("other", ['"maybe"', "1.5"])
def test_values_among_others_are_not_offered(tmp_path: Path, other: str) -> None:
    lines = [f'{{"prompt": "q{n}", "completion": {("true", other)[n % 2]}}}' for n in range(12)]
    path = write_rows(tmp_path / "a.jsonl", lines)
    assert "number-column" not in findings(path)


def test_a_number_is_shown_as_it_stands() -> None:
    assert show_record({"completion": Literal("1.10")}) == '{"completion":1.10}'


def test_null_never_becomes_text(tmp_path: Path) -> None:
    lines = [f'{{"prompt": "q{n}", "completion": {("1.5", "null")[n % 2]}}}' for n in range(12)]
    path = write_rows(tmp_path / "a.jsonl", lines)
    found = findings(path)
    assert found["null-value"].count == 6
    assert "number-column" in found
    assert {row["completion"] for row in prepare(path)} == {" 1.5"}
