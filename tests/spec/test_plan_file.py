"""The plan file: writing, reading, and errors with line and column."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ftops.data.fixes.registry import FIX_PARAMS
from ftops.errors import SpecError
from ftops.records import DataPlan, PlanStep
from ftops.spec.plan_file import read_plan, render_plan

PLAN = DataPlan(
    steps=(
        PlanStep("repair-json"),
        PlanStep("drop-invalid-rows", {"codes": ["null-value", "not-json"]}),
        PlanStep("encode-labels", {"labels": {"part of": " 1", "${HOME}": " 2", "no": " 3"}}),
        PlanStep("add-separator", {"separator": "\n\n###\n\n", "instead_of": []}),
        PlanStep("drop-long-rows", {"characters": 10_000}),
    ),
    read={"prompt": "{sentence}\\nHow?", "sheet": "Labels"},
)


def write(folder: Path, text: str) -> Path:
    path = folder / "train.plan.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_plan_round_trips(tmp_path: Path) -> None:
    path = write(tmp_path, render_plan(PLAN))
    plan = read_plan(path, FIX_PARAMS)
    assert plan == PLAN
    assert plan.name == str(path)
    assert render_plan(plan) == render_plan(PLAN)
    empty = read_plan(write(tmp_path, render_plan(DataPlan())), FIX_PARAMS)
    assert empty == DataPlan()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(min_size=1, max_size=30))
def test_any_text_round_trips(tmp_path: Path, text: str) -> None:
    if any("\ud800" <= character <= "\udfff" for character in text):
        return
    plan = DataPlan(
        (
            PlanStep("normalize-labels", {"labels": {text: text}}),
            PlanStep("add-stop", {"stop": text, "instead_of": [text]}),
        )
    )
    assert read_plan(write(tmp_path, render_plan(plan)), FIX_PARAMS) == plan


def test_a_plan_may_be_written_by_hand(tmp_path: Path) -> None:
    text = "version: 1\nsteps:\n- repair-json\n- add-stop: {stop: ' END'}\n- majority-vote:\n"
    plan = read_plan(write(tmp_path, text), FIX_PARAMS)
    assert [step.code for step in plan.steps] == ["repair-json", "add-stop", "majority-vote"]
    assert plan.steps[1].values == {"stop": " END"}


INVALID_PLANS = {
    "version: 2\nsteps: []\n": "1:10: version must be 1",
    "steps: []\n": "1:1: version must be 1",
    "version: 1\nstep: []\n": "2:1: unknown key 'step' in the plan",
    "version: 1\nsteps: repair-json\n": "2:8: steps must be a list",
    "version: 1\nsteps:\n  - repair-jsn\n": "3:5: unknown fix 'repair-jsn'",
    "version: 1\nsteps:\n  - add-stop\n": "3:5: add-stop lacks stop",
    "version: 1\nsteps:\n  - add-stop: {stop: 3}\n": "3:22: stop of add-stop must be text",
    "version: 1\nsteps:\n  - add-stop: {stop: ''}\n": "3:22: stop of add-stop must be text",
    "version: 1\nsteps:\n  - majority-vote: {ties: 1}\n": "3:21: unknown key 'ties' in majority",
    "version: 1\nsteps:\n  - majority-vote\n  - majority-vote\n": "4:5: the step majority-vote",
    "version: 1\nsteps:\n  - [majority-vote]\n": "3:5: a step is the code of a fix",
    "version: 1\nsteps:\n  - majority-vote: 3\n": "3:20: the values of majority-vote must",
    "version: 1\nsteps:\n  - drop-long-rows: {characters: 0}\n": "3:34: characters of drop-long",
    "version: 1\nsteps:\n  - drop-invalid-rows: {codes: [1]}\n": "3:32: codes of drop-invalid-rows",
    "version: 1\nsteps:\n  - encode-labels: {labels: [a]}\n": "3:29: labels of encode-labels must",
    "version: 1\nread: {colums: a}\n": "2:8: unknown key 'colums' in read",
    "version: 1\nread: {prompt: [a]}\n": "2:16: prompt must be text",
    "version: 1\nread: 3\n": "2:7: read must be a mapping",
    "- majority-vote\n": "1:1: a plan is a mapping",
    "version: 1\nsteps: [&a majority-vote]\n": "2:9: anchors are not allowed",
    "# nothing\n": "1:1: the file contains only comments",
}


@pytest.mark.parametrize("text", INVALID_PLANS)
def test_a_mistake_is_reported_with_its_place(tmp_path: Path, text: str) -> None:
    with pytest.raises(SpecError) as caught:
        read_plan(write(tmp_path, text), FIX_PARAMS)
    assert f"train.plan.yaml:{INVALID_PLANS[text]}" in caught.value.message
    assert "Correct the plan" in caught.value.hint


def test_all_mistakes_are_reported_at_once_and_the_nearest_fix_is_suggested(tmp_path: Path) -> None:
    text = "version: 1\nsteps:\n  - add-separater: {separator: x}\n  - majority-vote: {a: b}\n"
    with pytest.raises(SpecError) as caught:
        read_plan(write(tmp_path, text), FIX_PARAMS)
    assert "did you mean 'add-separator'?" in caught.value.message
    assert "unknown key 'a' in majority-vote" in caught.value.message


def test_a_missing_plan_is_reported(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="there is no such file") as caught:
        read_plan(tmp_path / "none.yaml", FIX_PARAMS)
    assert "ftops data prepare" in caught.value.hint
    with pytest.raises(SpecError, match="this is a folder, not a plan"):
        read_plan(tmp_path, FIX_PARAMS)
