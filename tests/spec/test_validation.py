"""Fields that conflict with each other."""

from pathlib import Path

import pytest

from tests.spec.job_files import MINIMAL, get_first_lines, get_load_error, load_text

VALIDATED = MINIMAL + "validation_file: v.jsonl\nhyperparameters:\n"
METRICS = "  compute_classification_metrics: true\n"


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("  classification_n_classes: 3\n", "no effect without compute_classification_metrics"),
        ("  classification_betas: [1]\n", "no effect without compute_classification_metrics"),
        (METRICS, "need the classes"),
        (METRICS + "  classification_n_classes: 2\n", "need the classes"),
        (
            METRICS + "  classification_n_classes: 3\n  classification_positive_class: a\n",
            "classification_positive_class is for two classes, not 3",
        ),
        (
            METRICS + "  classification_n_classes: 3\n  classification_betas: [1]\n",
            "classification_betas is for two classes, not 3",
        ),
    ],
)
def test_conflicting_classification_options_are_reported(
    tmp_path: Path, lines: str, reason: str
) -> None:
    problems = get_first_lines(get_load_error(tmp_path, VALIDATED + lines))
    assert len(problems) == 1
    assert reason in problems[0]


@pytest.mark.parametrize(
    "lines",
    [
        METRICS + "  classification_n_classes: 3\n",
        METRICS + "  classification_positive_class: ' yes'\n  classification_betas: [1]\n",
        METRICS + "  classification_n_classes: 2\n  classification_positive_class: ' yes'\n",
        "  compute_classification_metrics: false\n",
    ],
)
def test_consistent_classification_options_are_accepted(tmp_path: Path, lines: str) -> None:
    assert load_text(tmp_path, VALIDATED + lines).spec.validation_file == "v.jsonl"


def test_classification_metrics_need_a_validation_file(tmp_path: Path) -> None:
    text = MINIMAL + f"hyperparameters:\n{METRICS}  classification_n_classes: 3\n"
    assert "need a validation_file" in get_load_error(tmp_path, text)


def test_a_rule_is_skipped_for_an_invalid_field(tmp_path: Path) -> None:
    text = MINIMAL + "hyperparameters: {classification_n_classes: many}\n"
    assert len(get_first_lines(get_load_error(tmp_path, text))) == 1


def test_a_system_message_needs_chat_rows(tmp_path: Path) -> None:
    text = MINIMAL + "prepare: {system: Be brief., format: completion}\n"
    assert "completion rows have no system message" in get_load_error(tmp_path, text)
    chat = load_text(tmp_path, text.replace("completion", "chat"))
    assert chat.spec.prepare.system == "Be brief."


def test_a_preference_job_may_set_beta(tmp_path: Path) -> None:
    text = MINIMAL + "method: dpo\nhyperparameters: {beta: 0.5}\nprepare: {system: Be brief.}\n"
    spec = load_text(tmp_path, text).spec
    assert (spec.method, spec.hyperparameters.beta) == ("dpo", 0.5)
    assert load_text(tmp_path, MINIMAL).spec.method == "supervised"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("hyperparameters: {beta: auto}\n", "beta has no effect without method: dpo"),
        ("method: dpo\nhyperparameters: {prompt_loss_weight: 0.1}\n", "prompt_loss_weight has no"),
        ("method: dpo\nprepare: {separator: ->}\n", "separator has no effect with method: dpo"),
        ("method: dpo\nprepare: {format: chat}\n", "format has no effect with method: dpo"),
        ("method: dpo\nhyperparameters: {beta: 3}\n", "beta must be"),
        ("method: reinforcement\n", "reinforcement needs a grader"),
    ],
)
def test_fields_that_conflict_with_the_method_are_reported(
    tmp_path: Path, text: str, reason: str
) -> None:
    problems = get_first_lines(get_load_error(tmp_path, MINIMAL + text))
    assert len(problems) == 1
    assert reason in problems[0]


@pytest.mark.parametrize("line", ["separator: x", "stop: x", "prompt: x", "completion: x"])
def test_a_plan_excludes_options_of_single_fixes(tmp_path: Path, line: str) -> None:
    problems = get_first_lines(
        get_load_error(tmp_path, f"{MINIMAL}prepare:\n  plan: a.yaml\n  {line}\n")
    )
    assert len(problems) == 1
    assert "has no effect beside a plan" in problems[0]


def test_a_plan_may_be_combined_with_a_system_message_and_a_sheet(tmp_path: Path) -> None:
    text = f"{MINIMAL}prepare: {{plan: a.yaml, sheet: b, system: c, format: chat}}\n"
    assert load_text(tmp_path, text).spec.prepare.plan == "a.yaml"
