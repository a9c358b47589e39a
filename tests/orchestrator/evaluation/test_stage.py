"""The evaluation of a run: who is asked, who is left out and why, what leaks, what is required."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from ftops.errors import (
    DatasetError,
    LimitExceeded,
    NotFound,
    RequirementMissed,
    RunError,
    Unreachable,
)
from ftops.orchestrator.desk import get_run_folder
from ftops.orchestrator.evaluation.comparing import compare_runs
from ftops.orchestrator.evaluation.gate import check_run_gate
from ftops.orchestrator.runs import load_evaluation
from ftops.records import Prompt, Run, RunStatus, Stage
from ftops.scoring.evaluation import Evaluation
from ftops.spec.evaluate import EvaluateSpec
from tests.orchestrator.desks import Bench, write_rows

EXAM = [(f"fresh {n}\n\n", f" {n % 3 + 1}") for n in range(30)]


def evaluate(bench: Bench, **section: object) -> tuple[Run, Evaluation]:
    write_rows(bench.folder / "exam.jsonl", EXAM)
    run = bench.run(bench.write_job(evaluate={"file": "exam.jsonl", **section}))
    found = load_evaluation(run, bench.home)
    assert found is not None
    return run, found


def names(evaluation: Evaluation) -> list[str]:
    return [one.name for one in evaluation.candidates]


def reasons(evaluation: Evaluation) -> dict[str, str]:
    return {one.name: one.reason for one in evaluation.left_out}


def always(answer: str) -> Callable[[Prompt], str]:
    return lambda prompt: answer


def knowing(prompt: Prompt) -> str:
    """Right about every question of the exam."""
    text = prompt if isinstance(prompt, str) else prompt[-1].content
    number = int(text.rstrip().rpartition(" ")[2])
    return f" {number % 3 + 1}"


def test_without_more_the_model_stands_beside_what_costs_nothing(bench: Bench) -> None:
    _, found = evaluate(bench)
    assert names(found) == ["tuned", "naive Bayes", "nearest neighbour", "majority"]
    assert {one.second for one in found.comparisons} == set(names(found)[1:])


def test_base_examples_and_other_models_answer_the_same_rows(bench: Bench) -> None:
    bench.provider.voices = {"ada": always(" 1"), "gpt": knowing}
    against = ["base", {"few-shot": 2}, {"model": "gpt"}]
    _, found = evaluate(bench, against=against)
    assert names(found) == ["tuned", "base", "few-shot", "gpt"]
    assert [one.rows for one in found.candidates] == [30] * 4
    gpt = found.find("gpt")
    assert gpt is not None
    assert gpt.figures["accuracy"].value == 1.0


def test_examples_stand_before_the_question(bench: Bench) -> None:
    heard: list[Prompt] = []

    def hear(prompt: Prompt) -> str:
        heard.append(prompt)
        return " 1"

    bench.provider.voices = {"ada": hear}
    evaluate(bench, against=[{"few-shot": {"examples": 3, "choose": "random"}}])
    asked = str(heard[0])
    assert asked.count("question ") == 3
    assert asked.rstrip().rpartition("\n")[2].startswith("fresh ")


def test_a_candidate_that_is_gone_is_left_out_with_the_reason(bench: Bench) -> None:
    run, found = evaluate(bench, against=["base", {"model": "retired"}, "baseline"])
    assert run.status is RunStatus.SUCCEEDED
    assert set(reasons(found)) == {"base", "retired"}
    assert "retired cannot be asked at fake" in reasons(found)["retired"]


def test_a_network_that_fails_is_no_reason_to_leave_somebody_out(bench: Bench) -> None:
    def fail(prompt: Prompt) -> str:
        raise Unreachable("gone")

    bench.provider.voices = {"ada": fail}
    with pytest.raises(Unreachable):
        evaluate(bench, against=["base"])
    bench.provider.voices = {"ada": always(" 1")}
    asked = len(bench.provider.asked)
    _, found = evaluate(bench, against=["base"])
    assert names(found) == ["tuned", "base"]
    models = [model for model, _ in bench.provider.asked[asked:]]
    assert set(models) == {"ada"}  # what the tuned model had answered is not asked again


def test_the_evaluated_model_itself_cannot_be_missing(bench: Bench) -> None:
    bench.provider.loading_lag = 10_000
    with pytest.raises(NotFound):
        evaluate(bench)


def test_an_untrained_base_is_left_out_unless_it_is_asked_for(bench: Bench) -> None:
    bench.provider.capabilities = replace(bench.provider.capabilities, bases_untrained=True)
    bench.provider.voices = {"ada": always(" 1")}
    _, found = evaluate(bench, against=["base", {"few-shot": 3}])
    assert set(reasons(found)) == {"base", "few-shot"}
    assert "knows nothing before it is trained" in reasons(found)["base"]
    _, asked = evaluate(bench, against=[{"base": {"untrained": True}}])
    assert names(asked) == ["tuned", "base"]


def test_the_previous_run_of_the_same_name_is_asked(bench: Bench) -> None:
    first, _ = evaluate(bench, against=["previous"])
    job = bench.write_job(seed=7, evaluate={"file": "exam.jsonl", "against": ["previous"]})
    found = load_evaluation(bench.run(job), bench.home)
    assert found is not None
    previous = found.find("previous")
    assert previous is not None
    assert previous.model == first.fine_tuned_model


def test_without_an_earlier_run_there_is_no_previous_one(bench: Bench) -> None:
    _, found = evaluate(bench, against=["previous"])
    assert reasons(found) == {"previous": "no earlier run of this name has made a model"}


def test_a_previous_model_that_was_deleted_is_left_out(bench: Bench) -> None:
    first, _ = evaluate(bench)
    bench.ledger.mark_model_deleted(str(first.fine_tuned_model))
    job = bench.write_job(seed=7, evaluate={"file": "exam.jsonl", "against": ["previous"]})
    found = load_evaluation(bench.run(job), bench.home)
    assert found is not None
    assert "was deleted on" in reasons(found)["previous"]


def test_the_same_model_twice_has_two_names(bench: Bench) -> None:
    bench.provider.voices = {"gpt": knowing}
    _, found = evaluate(bench, against=[{"model": "gpt"}, {"model": "gpt"}])
    assert names(found) == ["tuned", "gpt", "gpt (2)"]


def test_a_leak_is_refused_by_name_before_anything_is_sent(bench: Bench) -> None:
    write_rows(bench.folder / "exam.jsonl", [("fresh\n\n", " 1"), ("question 3\n\n", " 1")])
    job = bench.write_job(evaluate={"file": "exam.jsonl"})
    with pytest.raises(DatasetError) as caught:
        bench.run(job)
    assert "leak: 1 row of exam.jsonl is a training row: line 2" in caught.value.message
    assert "overlap: allow" in caught.value.hint
    assert bench.provider.count("upload_file") == 0


def test_a_leak_that_is_allowed_is_told_in_the_notes(bench: Bench) -> None:
    write_rows(bench.folder / "exam.jsonl", [*EXAM, ("question 3\n\n", " 1")])
    job = bench.write_job(evaluate={"file": "exam.jsonl", "overlap": "allow"})
    found = load_evaluation(bench.run(job), bench.home)
    assert found is not None
    assert found.overlap_rows == 1
    assert any(note.startswith("leak: 1 of 31 rows") for note in found.notes)


def test_a_validation_file_that_leaks_is_told_and_refused_only_if_that_is_said(
    bench: Bench,
) -> None:
    found = load_evaluation(bench.run(bench.write_job()), bench.home)
    assert found is not None
    assert found.overlap_rows == 2
    with pytest.raises(DatasetError, match=r"leak: 2 rows of validation\.jsonl"):
        bench.run(bench.write_job(seed=3, evaluate={"overlap": "refuse"}))


def test_a_planted_no_difference_is_called_so(bench: Bench) -> None:
    rows = [(f"question {n % 12}\n\n", f" {n % 3 + 1}") for n in range(600)]
    write_rows(bench.folder / "exam.jsonl", rows)
    bench.provider.voices = {"twin": knowing}
    section = {"file": "exam.jsonl", "overlap": "allow", "against": [{"model": "twin"}]}
    found = load_evaluation(bench.run(bench.write_job(evaluate=section)), bench.home)
    assert found is not None
    (comparison,) = found.comparisons
    assert comparison.verdict.value == "no difference"


def test_requirements_that_are_missed_leave_the_run_and_its_model(bench: Bench) -> None:
    require = {"accuracy": ">= 0.99", "f1": ">= 0"}
    run, found = evaluate(bench, require=require)
    assert (run.status, found.passed) == (RunStatus.SUCCEEDED, False)
    assert run.fine_tuned_model
    with pytest.raises(RequirementMissed) as caught:
        check_run_gate(run, bench.home)
    assert "1 of 2 requirements are not met:\n  accuracy >= 0.99 (" in caught.value.message
    assert bench.detail(run, Stage.EVALUATE)["missed"] == ["accuracy >= 0.99"]


def test_another_section_evaluates_again_without_training_or_asking_again(bench: Bench) -> None:
    run, _ = evaluate(bench)
    asked = len(bench.provider.asked)
    again, found = evaluate(bench, require={"accuracy": ">= 0"}, metrics=["accuracy", "f1_micro"])
    assert (again.id, len(bench.provider.asked)) == (run.id, asked)
    assert (found.passed, bench.provider.count("create_job")) == (True, 1)
    assert list(found.candidates[0].figures) == ["accuracy", "f1_micro"]


def test_a_judge_compares_each_candidate_with_the_model(bench: Bench) -> None:
    bench.provider.voices = {"gpt": knowing, "wise": always("A")}
    metrics = [{"judge": {"model": "wise"}}, "accuracy"]
    _, found = evaluate(bench, against=[{"model": "gpt"}], metrics=metrics)
    gpt = found.find("gpt")
    assert gpt is not None
    assert gpt.figures["judge"].value == 0.5  # it prefers whoever stands first
    assert any("the two orders disagree on" in note for note in found.notes)


def test_several_judges_have_figures_of_their_own(bench: Bench) -> None:
    bench.provider.voices = {"wise": always("5"), "strict": always("1")}
    judges = [{"judge": {"model": name, "mode": "grade"}} for name in ("wise", "strict")]
    _, found = evaluate(bench, against=[], metrics=["accuracy", *judges])
    figures = {name: one.value for name, one in found.candidates[0].figures.items()}
    assert list(figures) == ["accuracy", "judge", "judge_2"]
    assert (figures["judge"], figures["judge_2"]) == (1.0, 0.0)


def test_nothing_is_asked_beyond_what_it_may_cost(bench: Bench) -> None:
    with pytest.raises(LimitExceeded, match="the price of ft:ada:acme::ftjob-1 at fake is not"):
        evaluate(bench, max_cost_usd=1)
    assert bench.provider.asked == []


def test_what_a_judge_costs_counts_before_anybody_is_asked(bench: Bench) -> None:
    bench.provider.asking_usd = {"ft:ada:acme::ftjob-1": 0.0, "wise": 1000.0}
    judge = {"judge": {"model": "wise"}}
    with pytest.raises(LimitExceeded, match=r"nothing was asked: the evaluation would cost"):
        evaluate(bench, metrics=["accuracy", judge], max_cost_usd=1)
    dumb = {"judge": {"model": "dumb"}}
    with pytest.raises(LimitExceeded, match="the price of dumb at fake is not known"):
        evaluate(bench, metrics=["accuracy", dumb], max_cost_usd=1)
    assert bench.provider.asked == []
    _, found = evaluate(bench, metrics=["accuracy"], max_cost_usd=1)
    assert found.rows == 30


def test_of_many_rows_so_many_are_asked_by_lot_and_more_hold_the_fewer(bench: Bench) -> None:
    run, ten = evaluate(bench, max_rows=10)
    assert "10 of 30 rows were asked, drawn by lot (max_rows)" in ten.notes
    kept = get_run_folder(bench.home, run.id) / "answers" / "tuned.jsonl"
    lines = [json.loads(line)["line"] for line in kept.read_text().splitlines()]
    assert len(lines) == 10
    assert lines == sorted(lines)
    assert lines != list(range(1, 11))  # where a sorted file has one class alone
    _, twenty = evaluate(bench, max_rows=20)
    assert twenty.rows == 20
    assert len(bench.provider.asked) == 20  # ten of them were answered before
    _, all_of_them = evaluate(bench, max_rows=30)
    assert not any("by lot" in note for note in all_of_them.notes)


def test_every_answer_is_kept_with_its_row(bench: Bench) -> None:
    run, _ = evaluate(bench)
    path = get_run_folder(bench.home, run.id) / "answers" / "tuned.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["line"] for row in rows] == list(range(1, 31))
    assert {"prompt", "expected", "given", "correct", "seconds", "problem"} <= set(rows[0])


def test_answers_of_candidates_that_are_no_more_are_removed(bench: Bench) -> None:
    run, _ = evaluate(bench)
    evaluate(bench, against=[])
    folder = get_run_folder(bench.home, run.id) / "answers"
    assert [path.name for path in folder.iterdir()] == ["tuned.jsonl"]


@pytest.mark.parametrize("left", [None, b"garbage", b'{"version": 99}', b'{"version": 2}'])
def test_an_evaluation_that_is_lost_or_torn_is_made_again_of_the_answers_and_the_gate_holds(
    bench: Bench, left: bytes | None
) -> None:
    bench.provider.voices = {"ada": always(" 1")}
    section = {"require": {"accuracy": ">= 0.9999"}, "against": ["base"]}
    run, _ = evaluate(bench, **section)
    asked = len(bench.provider.asked)
    path = get_run_folder(bench.home, run.id) / "evaluation.json"
    path.unlink()
    if left is not None:
        path.write_bytes(left)
    again, found = evaluate(bench, **section)
    assert (again.id, again.status) == (run.id, RunStatus.SUCCEEDED)
    assert names(found) == ["tuned", "base"]
    assert len(bench.provider.asked) == asked
    with pytest.raises(RequirementMissed):
        check_run_gate(again, bench.home)


def test_a_run_is_not_compared_with_itself(bench: Bench) -> None:
    run, _ = evaluate(bench)
    with pytest.raises(RunError, match="a run cannot be compared with itself"):
        compare_runs([run, run], bench.ledger, bench.home, EvaluateSpec.model_validate({}))
