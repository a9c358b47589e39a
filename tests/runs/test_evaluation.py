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
from ftops.evaluation.requirements import check_run_requirements
from ftops.evaluation.result import CandidateScore, Evaluation
from ftops.evaluation.standalone import compare_runs
from ftops.evaluation.text import list_notes
from ftops.records import Checkpoint, Prompt, ProviderSettings, RowFormat, Run, RunStatus, Stage
from ftops.run_folder import RunFolder
from ftops.runs.estimate import TokenCounter
from ftops.runs.open_run import drive, load_evaluation, open_run
from ftops.spec.evaluate import EvaluateSpec
from tests.runs.bench import Bench, write_rows
from tests.runs.fake_provider import STEPS, FakeProvider
from tests.runs.test_tokens import WordCounting

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
    return {one.name: one.reason for one in evaluation.skipped}


def always(answer: str) -> Callable[[Prompt], str]:
    return lambda prompt: answer


def knowing(prompt: Prompt) -> str:
    """Right about every question of the exam."""
    text = prompt if isinstance(prompt, str) else prompt.messages[-1].content
    number = int(text.rstrip().rpartition(" ")[2])
    return f" {number % 3 + 1}"


def find_candidate(evaluation: Evaluation, name: str) -> CandidateScore | None:
    return next((one for one in evaluation.candidates if one.name == name), None)


def test_without_more_the_model_stands_beside_what_costs_nothing(bench: Bench) -> None:
    _, found = evaluate(bench)
    assert names(found) == ["tuned", "naive Bayes", "nearest neighbour", "majority"]
    assert {one.second for one in found.comparisons} == set(names(found)[1:])


def test_answers_in_json_are_compared_with_a_template(bench: Bench) -> None:
    rows = [(f"room {n} now\n\n", f' {{"room": {n}}}') for n in range(60)]
    write_rows(bench.folder / "rooms.jsonl", rows[40:])
    job = bench.write_job(evaluate={"file": "rooms.jsonl"})
    write_rows(bench.folder / "train.jsonl", rows[:40])
    found = load_evaluation(bench.run(job), bench.home)
    assert found is not None
    assert names(found) == ["tuned", "nearest neighbour", "regex template", "majority"]
    template = find_candidate(found, "regex template")
    assert template is not None
    assert (found.primary_metric, template.metrics["json_fields"].value) == ("json_fields", 1.0)


def test_base_examples_and_other_models_answer_the_same_rows(bench: Bench) -> None:
    bench.provider.voices = {"ada": always(" 1"), "gpt": knowing}
    against = ["base", {"few-shot": 2}, {"model": "gpt"}]
    _, found = evaluate(bench, against=against)
    assert names(found) == ["tuned", "base", "few-shot", "gpt"]
    assert [one.rows for one in found.candidates] == [30] * 4
    gpt = find_candidate(found, "gpt")
    assert gpt is not None
    assert gpt.metrics["accuracy"].value == 1.0


def test_examples_stand_before_the_question(bench: Bench) -> None:
    heard: list[Prompt] = []

    def hear(prompt: Prompt) -> str:
        heard.append(prompt)
        return " 1"

    bench.provider.voices = {"ada": hear}
    evaluate(bench, against=[{"few-shot": {"examples": 3, "selection": "random"}}])
    asked = str(heard[0])
    assert asked.count("question ") == 3
    assert asked.rstrip().rpartition("\n")[2].startswith("fresh ")


def test_a_candidate_that_is_gone_is_left_out_with_the_reason(bench: Bench) -> None:
    run, found = evaluate(bench, against=["base", {"model": "retired"}, "baseline"])
    assert run.status is RunStatus.SUCCEEDED
    assert set(reasons(found)) == {"base", "retired"}
    assert "retired cannot be used at fake" in reasons(found)["retired"]


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
    bench.provider.capabilities = replace(bench.provider.capabilities, untrained_bases=("ada",))
    bench.provider.voices = {"ada": always(" 1")}
    _, found = evaluate(bench, against=["base", {"few-shot": 3}])
    assert set(reasons(found)) == {"base", "few-shot"}
    assert "has random weights before training" in reasons(found)["base"]
    _, asked = evaluate(bench, against=[{"base": {"allow_untrained": True}}])
    assert names(asked) == ["tuned", "base"]


def test_the_previous_run_of_the_same_name_is_asked(bench: Bench) -> None:
    first, _ = evaluate(bench, against=["previous"])
    job = bench.write_job(seed=7, evaluate={"file": "exam.jsonl", "against": ["previous"]})
    found = load_evaluation(bench.run(job), bench.home)
    assert found is not None
    previous = find_candidate(found, "previous")
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


def test_checkpoints_are_asked_but_for_the_one_that_is_the_model_itself(bench: Bench) -> None:
    bench.provider.checkpoints = (
        Checkpoint("c1", 2, "half-way"),
        Checkpoint("c2", STEPS, "at-the-end"),
    )
    bench.provider.voices = {"half-way": always(" 1")}
    _, found = evaluate(bench, against=["checkpoints"])
    assert names(found) == ["tuned", "step 2"]


def test_a_job_that_kept_no_checkpoint_has_none_to_ask(bench: Bench) -> None:
    _, found = evaluate(bench, against=["checkpoints"])
    assert reasons(found) == {"checkpoints": "ftjob-1 has no checkpoints beside its model"}


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
    assert any(note.startswith("leak: 1 of 31 rows") for note in list_notes(found))


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
        check_run_requirements(run, bench.home)
    assert "1 of 2 requirements are not met:\n  accuracy >= 0.99 (" in caught.value.message
    assert bench.detail(run, Stage.EVALUATE)["missed"] == ["accuracy >= 0.99"]


def test_another_section_evaluates_again_without_training_or_asking_again(bench: Bench) -> None:
    run, _ = evaluate(bench)
    asked = len(bench.provider.asked)
    again, found = evaluate(bench, require={"accuracy": ">= 0"}, metrics=["accuracy", "f1_micro"])
    assert (again.id, len(bench.provider.asked)) == (run.id, asked)
    assert (found.passed, bench.provider.count("create_job")) == (True, 1)
    assert list(found.candidates[0].metrics) == ["accuracy", "f1_micro"]


def test_a_function_of_the_user_measures_and_what_it_raises_is_told_with_its_row(
    bench: Bench,
) -> None:
    (bench.folder / "check.py").write_text(
        "def score(prompt, expected, given):\n"
        "    if prompt.startswith('fresh 2\\n'):\n"
        "        raise ValueError('no idea')\n"
        "    return 0.25\n"
    )
    _, found = evaluate(bench, against=[], metrics=[{"python": "check.py:score"}])
    figure = found.candidates[0].metrics["python"]
    assert figure.value == pytest.approx(0.25 * 29 / 30)
    assert any("line 3: ValueError: no idea" in note for note in list_notes(found))


def test_other_rows_under_the_same_name_are_evaluated_anew(bench: Bench) -> None:
    evaluate(bench)
    write_rows(bench.folder / "exam.jsonl", EXAM[:9])
    found = load_evaluation(bench.run(bench.write_job(evaluate={"file": "exam.jsonl"})), bench.home)
    assert found is not None
    assert (found.rows, bench.provider.count("create_job")) == (9, 1)


def test_a_model_at_another_provider_is_asked_there(bench: Bench) -> None:
    other = FakeProvider(bench.folder / "other", bench.clock)
    other.voices = {"gpt": knowing}
    other.format = RowFormat.CHAT
    opened: list[ProviderSettings] = []

    def reach(settings: ProviderSettings) -> FakeProvider:
        opened.append(settings)
        return other

    write_rows(bench.folder / "exam.jsonl", EXAM)
    against = [{"model": {"name": "gpt", "provider": {"type": "elsewhere"}}}]
    job = bench.write_job(evaluate={"file": "exam.jsonl", "against": against})
    context = replace(bench.context, open_provider=reach)
    found = load_evaluation(drive(open_run(job, context), context), bench.home)
    assert found is not None
    gpt = find_candidate(found, "gpt")
    assert gpt is not None
    assert gpt.metrics["accuracy"].value == 1.0
    assert {settings.type for settings in opened} == {"elsewhere"}


def test_a_provider_that_cannot_be_reached_leaves_its_candidate_out(bench: Bench) -> None:
    against = [{"model": {"name": "gpt", "provider": {"type": "elsewhere"}}}]
    _, found = evaluate(bench, against=against)
    assert "the provider 'elsewhere' cannot be opened" in reasons(found)["gpt"]


def test_a_judge_compares_each_candidate_with_the_model(bench: Bench) -> None:
    bench.provider.voices = {"gpt": knowing, "wise": always("A")}
    metrics = [{"judge": {"model": "wise"}}, "accuracy"]
    _, found = evaluate(bench, against=[{"model": "gpt"}], metrics=metrics)
    gpt = find_candidate(found, "gpt")
    assert gpt is not None
    assert gpt.metrics["judge"].value == 0.5  # it prefers whoever stands first
    assert any("the two orders disagree on" in note for note in list_notes(found))


def test_several_judges_have_figures_of_their_own(bench: Bench) -> None:
    bench.provider.voices = {"wise": always("5"), "strict": always("1")}
    judges = [{"judge": {"model": name, "mode": "grade"}} for name in ("wise", "strict")]
    _, found = evaluate(bench, against=[], metrics=["accuracy", *judges])
    figures = {name: one.value for name, one in found.candidates[0].metrics.items()}
    assert list(figures) == ["accuracy", "judge", "judge_2"]
    assert (figures["judge"], figures["judge_2"]) == (1.0, 0.0)


def test_nothing_is_asked_beyond_what_it_may_cost(bench: Bench) -> None:
    with pytest.raises(LimitExceeded, match="the price of ft:ada:acme::ftjob-1 at fake is not"):
        evaluate(bench, max_cost_usd=1)
    assert bench.provider.asked == []


def test_of_many_rows_so_many_are_asked_by_lot_and_more_hold_the_fewer(bench: Bench) -> None:
    run, ten = evaluate(bench, max_rows=10)
    assert "10 of 30 rows were evaluated, a random sample (max_rows)" in list_notes(ten)
    kept = RunFolder.of(bench.home, run.id).path / "predictions" / "tuned.jsonl"
    lines = [json.loads(line)["line"] for line in kept.read_text().splitlines()]
    assert len(lines) == 10
    assert lines == sorted(lines)
    assert lines != list(range(1, 11))  # where a sorted file has one class alone
    _, twenty = evaluate(bench, max_rows=20)
    assert twenty.rows == 20
    assert len(bench.provider.asked) == 20  # ten of them were answered before
    _, all_of_them = evaluate(bench, max_rows=30)
    assert not any("sample" in note for note in list_notes(all_of_them))


def test_every_answer_is_kept_with_its_row(bench: Bench) -> None:
    run, _ = evaluate(bench)
    path = RunFolder.of(bench.home, run.id).path / "predictions" / "tuned.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["line"] for row in rows] == list(range(1, 31))
    assert {"prompt", "expected", "predicted", "correct", "seconds", "problem"} <= set(rows[0])


def test_answers_of_candidates_that_are_no_more_are_removed(bench: Bench) -> None:
    run, _ = evaluate(bench)
    evaluate(bench, against=[])
    folder = RunFolder.of(bench.home, run.id).path / "predictions"
    assert [path.name for path in folder.iterdir()] == ["tuned.jsonl"]


def at_a_price(bench: Bench) -> None:
    """A dollar for a million tokens that are read, and for a million that are written."""
    bench.provider.asking_usd = 1.0


def test_what_a_judge_costs_is_held_by_the_limit_before_anybody_is_asked(bench: Bench) -> None:
    at_a_price(bench)
    bench.provider.voices = {"gpt": knowing, "wise": always("A")}
    against = [{"model": "gpt"}]
    with pytest.raises(LimitExceeded, match="the evaluation would cost up to"):
        evaluate(bench, against=against, metrics=[{"judge": {"model": "wise"}}], max_cost_usd=0.002)
    assert bench.provider.asked == []
    _, found = evaluate(bench, against=against, metrics=["accuracy"], max_cost_usd=0.002)
    assert names(found) == ["tuned", "gpt"]


def test_answers_that_were_given_before_count_in_no_limit(bench: Bench) -> None:
    at_a_price(bench)
    bench.provider.voices = {"gpt": knowing, "wise": always("A")}
    section = {"against": [{"model": "gpt"}], "metrics": [{"judge": {"model": "wise"}}]}
    evaluate(bench, **section, max_cost_usd=1)
    asked = len(bench.provider.asked)
    _, found = evaluate(bench, **section, max_cost_usd=0)
    assert (names(found), len(bench.provider.asked)) == (["tuned", "gpt"], asked)


def test_a_judge_of_kept_answers_is_held_to_what_it_is_asked_anew(bench: Bench) -> None:
    at_a_price(bench)
    bench.provider.voices = {"gpt": knowing, "wise": always("A")}
    evaluate(bench, against=[{"model": "gpt"}])
    with pytest.raises(LimitExceeded, match="asking wise would cost up to"):
        evaluate(
            bench,
            against=[{"model": "gpt"}],
            metrics=[{"judge": {"model": "wise"}}],
            max_cost_usd=0,
        )


def test_prompts_are_counted_by_the_counter_that_is_at_hand(bench: Bench) -> None:
    at_a_price(bench)
    words = replace(bench.context, tokens=TokenCounter(WordCounting()))
    write_rows(bench.folder / "exam.jsonl", EXAM)
    section = {"file": "exam.jsonl", "against": [], "max_tokens": 1, "max_cost_usd": 89e-6}
    run = open_run(bench.write_job(evaluate=section), words)
    with pytest.raises(LimitExceeded, match=r"would cost up to \$9e-05"):  # 30 x (2 + 1) tokens
        drive(run, words)


@pytest.mark.parametrize("left", [None, b"garbage", b'{"version": 99}', b'{"version": 2}'])
def test_an_evaluation_that_is_lost_or_torn_is_made_again_of_the_answers_and_the_gate_holds(
    bench: Bench, left: bytes | None
) -> None:
    bench.provider.voices = {"ada": always(" 1")}
    section = {"require": {"accuracy": ">= 0.9999"}, "against": ["base"]}
    run, _ = evaluate(bench, **section)
    asked = len(bench.provider.asked)
    path = RunFolder.of(bench.home, run.id).path / "evaluation.json"
    path.unlink()
    if left is not None:
        path.write_bytes(left)
    again, found = evaluate(bench, **section)
    assert (again.id, again.status) == (run.id, RunStatus.SUCCEEDED)
    assert names(found) == ["tuned", "base"]
    assert len(bench.provider.asked) == asked
    with pytest.raises(RequirementMissed):
        check_run_requirements(again, bench.home)


def test_a_run_is_not_compared_with_itself(bench: Bench) -> None:
    run, _ = evaluate(bench)
    with pytest.raises(RunError, match="a run cannot be compared with itself"):
        compare_runs([run, run], bench.ledger, bench.home, EvaluateSpec.model_validate({}))


def test_parameters_that_models_refuse_are_noted_and_shown_in_a_comparison(bench: Bench) -> None:
    bench.provider.voices = {"gpt": knowing, "wise": always("A")}
    bench.provider.refused = {"gpt": {"top_p": None}, "wise": {"temperature": None}}
    section = {"against": [{"model": "gpt"}], "metrics": ["accuracy", {"judge": {"model": "wise"}}]}
    first, found = evaluate(bench, **section)
    assert "gpt: top_p not sent: the model refuses it" in list_notes(found)
    assert "judge: temperature not sent: the model refuses it" in list_notes(found)
    assert first.fine_tuned_model is not None
    again = bench.run(bench.write_job(seed=7, evaluate={"file": "exam.jsonl"}))
    assert again.fine_tuned_model is not None
    path = RunFolder.of(bench.home, again.id).path / "evaluation.json"
    document = json.loads(path.read_bytes())
    document["candidates"][0]["refused_parameters"] = {"seed": None}
    path.write_text(json.dumps(document))
    spec = EvaluateSpec.model_validate({})
    compared = compare_runs([first, again], bench.ledger, bench.home, spec)
    assert any(
        note.endswith("seed not sent: the model refuses it") for note in list_notes(compared)
    )
    figures = [one.candidates[0].metrics for one in (found, compared)]
    assert figures[0]["accuracy"] == figures[1]["accuracy"]


def test_candidates_are_told_what_the_tuned_model_has_learned(bench: Bench) -> None:
    heard: dict[str, list[str]] = {"ada": [], "gpt": []}

    def hear(model: str) -> Callable[[Prompt], str]:
        def answer(prompt: Prompt) -> str:
            heard[model].append(str(prompt))
            return " 1"

        return answer

    bench.provider.voices = {"ada": hear("ada"), "gpt": hear("gpt")}
    words = "Answer with 1, 2 or 3."
    against = [
        {"base": {"instructions": words}},
        {"few-shot": {"examples": 2, "instructions": words}},
        {"model": {"name": "gpt", "instructions": words}},
        {"model": "gpt"},
    ]
    _, found = evaluate(bench, against=against)
    assert names(found) == ["tuned", "base", "few-shot", "gpt", "gpt (2)"]
    assert all(one.startswith(f"{words}\n") for one in heard["ada"])
    assert all(one.count(words) == 1 for one in heard["ada"])
    assert sum(one.startswith(f"{words}\nfresh") for one in heard["gpt"]) == len(EXAM)
    assert sum(one.startswith("fresh") for one in heard["gpt"]) == len(EXAM)


KEPT = [(f"old {n}\n\n", f" {n % 3 + 1}") for n in range(40)]


def test_what_the_model_has_forgotten_is_measured_and_gated(bench: Bench) -> None:
    write_rows(bench.folder / "kept.jsonl", KEPT)
    bench.provider.voices = {"ada": knowing}
    run, found = evaluate(bench, against=[], keep={"file": "kept.jsonl", "max_drop": 0.02})
    (part,) = found.parts
    assert (part.name, part.file, part.rows, names(part)) == (
        "keep", "kept.jsonl", 40, ["tuned", "base"]
    )  # fmt: skip
    (comparison,) = part.comparisons
    assert comparison.difference < -0.3
    (requirement,) = found.requirements
    assert requirement.text == "keep: accuracy drops by at most 0.02"
    assert requirement.value == -comparison.difference
    assert "the 95 % interval of the drop is +0." in requirement.reason
    with pytest.raises(RequirementMissed):
        check_run_requirements(run, bench.home)
    folder = RunFolder.of(bench.home, run.id).predictions
    assert len((folder / "keep-base.jsonl").read_text().splitlines()) == 40
    _, met = evaluate(bench, against=[], keep={"file": "kept.jsonl", "max_drop": 1})
    assert met.passed
    write_rows(bench.folder / "kept.jsonl", KEPT[:20])
    _, again = evaluate(bench, against=[], keep={"file": "kept.jsonl", "max_drop": 1})
    assert again.parts[0].rows == 20


def test_a_base_that_cannot_be_asked_misses_the_gate_with_the_reason(bench: Bench) -> None:
    write_rows(bench.folder / "kept.jsonl", KEPT)
    bench.provider.capabilities = replace(bench.provider.capabilities, untrained_bases=("ada",))
    _, found = evaluate(bench, keep={"file": "kept.jsonl", "max_drop": 0.5})
    (requirement,) = found.requirements
    assert (requirement.value, requirement.met) == (None, False)
    assert requirement.reason.startswith("base: ada is a built-in size")


def test_the_cost_of_rows_to_keep_counts_in_the_limit(bench: Bench) -> None:
    at_a_price(bench)
    write_rows(bench.folder / "kept.jsonl", KEPT)
    bench.provider.voices = {"ada": knowing}
    keep = {"file": "kept.jsonl", "max_drop": 1}
    section = {"against": [], "max_tokens": 1}
    evaluate(bench, **section, max_cost_usd=0.001)
    with pytest.raises(LimitExceeded, match="no requests were sent"):
        evaluate(bench, **section, keep=keep, max_cost_usd=0.0001)


def test_rows_are_evaluated_by_a_field_that_is_not_sent(bench: Bench) -> None:
    rows = [
        {"prompt": prompt, "completion": answer, "about": {"lang": "de" if n < 10 else "en"}}
        for n, (prompt, answer) in enumerate(EXAM)
    ]
    path = bench.folder / "sliced.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    section = {
        "file": "sliced.jsonl",
        "slices": ["about.lang"],
        "require": {"accuracy_in_about.lang": ">= 0"},
    }
    run = bench.run(bench.write_job(evaluate=section))
    found = load_evaluation(run, bench.home)
    assert found is not None
    assert [(part.name, part.rows) for part in found.parts] == [
        ("about.lang=de", 10), ("about.lang=en", 20)
    ]  # fmt: skip
    assert [one.text for one in found.requirements] == [
        "accuracy_in_about.lang >= 0 (about.lang=de)",
        "accuracy_in_about.lang >= 0 (about.lang=en)",
    ]
    prepared = RunFolder.of(bench.home, run.id).evaluation_rows.read_text()
    assert "lang" not in prepared


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"prompt": "a", "completion": "b", "lang": "de"', "sliced.jsonl:1: not JSON"),
        ('{"prompt": "a", "completion": "b", "other": 1}', "sliced.jsonl:1: unexpected key"),
        (
            "\n".join(f'{{"prompt": "{n}", "completion": "b", "lang": {n}}}' for n in range(51)),
            "lang has 51 different values",
        ),
    ],
)
def test_rows_that_cannot_be_sliced_are_named_before_training(
    bench: Bench, text: str, reason: str
) -> None:
    (bench.folder / "sliced.jsonl").write_text(text)
    job = bench.write_job(evaluate={"file": "sliced.jsonl", "slices": ["lang"]})
    with pytest.raises(DatasetError, match=reason):
        bench.run(job)
    assert bench.provider.count("create_job") == 0
