"""Prompts and labels of a model that is trained on prepared rows."""

from ftops.data.plans.inference import get_label_map, get_separator_and_stop, prepare_prompt
from ftops.records import DataPlan, PlanStep

PLAN = DataPlan(
    (
        PlanStep("strip-prompts"),
        PlanStep("remove-prompt-prefix", {"prefix": "Tell me: "}),
        PlanStep("lowercase-prompts", {"keep": ""}),
        PlanStep("encode-labels", {"labels": {" Part of": " 1", "mother": " 2"}}),
        PlanStep("add-separator", {"separator": " ->"}),
        PlanStep("add-leading-space"),
        PlanStep("drop-duplicates"),
    )
)


def test_a_prompt_is_prepared_like_the_training_rows() -> None:
    assert prepare_prompt(PLAN, "Tell me: WHAT IS IT? ") == "what is it? ->"
    assert prepare_prompt(PLAN, "what is it? ->") == "what is it? ->"


def test_separator_stop_and_labels_are_read_from_the_plan() -> None:
    assert get_separator_and_stop(PLAN) == (" ->", None)
    with_stop = DataPlan((*PLAN.steps, PlanStep("replace-stop", {"stop": " END"})))
    assert get_separator_and_stop(with_stop) == (" ->", " END")
    assert get_separator_and_stop(DataPlan()) == ("", None)
    assert get_label_map(PLAN) == {"1": "Part of", "2": "mother"}
    assert get_label_map(DataPlan()) == get_label_map(None) == {}
