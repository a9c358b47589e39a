"""The evaluation of a run: candidates, skipped candidates, leaks and requirements."""

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
    evaluation = load_evaluation(run, bench.home)
    assert evaluation is not None
    return run, evaluation


def names(evaluation: Evaluation) -> list[str]:
    return [candidate.name for candidate in evaluation.candidates]


def reasons(evaluation: Evaluation) -> dict[str, str]:
    return {candidate.name: candidate.reason for candidate in evaluation.skipped}


def make_constant_reply(completion: str) -> Callable[[Prompt], str]:
    return lambda prompt: completion


def reply_correctly(prompt: Prompt) -> str:
    """The expected completion of each row of the evaluation file."""
    text = prompt if isinstance(prompt, str) else prompt.messages[-1].content
    number = int(text.rstrip().rpartition(" ")[2])
    return f" {number % 3 + 1}"


def find_candidate(evaluation: Evaluation, name: str) -> CandidateScore | None:
    return next((score for score in evaluation.candidates if score.name == name), None)


def test_by_default_the_model_is_compared_with_free_baselines(bench: Bench) -> None:
    _, evaluation = evaluate(bench)
    assert names(evaluation) == ["tuned", "naive Bayes", "nearest neighbour", "majority"]
    assert {comparison.second for comparison in evaluation.comparisons} == set(
        names(evaluation)[1:]
    )


def test_json_completions_are_compared_with_a_template(bench: Bench) -> None:
    rows = [(f"room {n} now\n\n", f' {{"room": {n}}}') for n in range(60)]
    write_rows(bench.folder / "rooms.jsonl", rows[40:])
    job = bench.write_job(evaluate={"file": "rooms.jsonl"})
    write_rows(bench.folder / "train.jsonl", rows[:40])
    evaluation = load_evaluation(bench.run(job), bench.home)
    assert evaluation is not None
    assert names(evaluation) == ["tuned", "nearest neighbour", "regex template", "majority"]
    template = find_candidate(evaluation, "regex template")
    assert template is not None
    assert (evaluation.primary_metric, template.metrics["json_fields"].value) == (
        "json_fields",
        1.0,
    )


def test_all_candidates_complete_the_same_rows(bench: Bench) -> None:
    bench.provider.replies = {"ada": make_constant_reply(" 1"), "gpt": reply_correctly}
    against = ["base", {"few-shot": 2}, {"model": "gpt"}]
    _, evaluation = evaluate(bench, against=against)
    assert names(evaluation) == ["tuned", "base", "few-shot", "gpt"]
    assert [score.rows for score in evaluation.candidates] == [30] * 4
    gpt = find_candidate(evaluation, "gpt")
    assert gpt is not None
    assert gpt.metrics["accuracy"].value == 1.0


def test_few_shot_examples_precede_the_prompt(bench: Bench) -> None:
    prompts: list[Prompt] = []

    def record(prompt: Prompt) -> str:
        prompts.append(prompt)
        return " 1"

    bench.provider.replies = {"ada": record}
    evaluate(bench, against=[{"few-shot": {"examples": 3, "selection": "random"}}])
    prompt_text = str(prompts[0])
    assert prompt_text.count("question ") == 3
    assert prompt_text.rstrip().rpartition("\n")[2].startswith("fresh ")


def test_an_unavailable_candidate_is_skipped_with_its_reason(bench: Bench) -> None:
    run, evaluation = evaluate(bench, against=["base", {"model": "retired"}, "baseline"])
    assert run.status is RunStatus.SUCCEEDED
    assert set(reasons(evaluation)) == {"base", "retired"}
    assert "retired cannot be used at fake" in reasons(evaluation)["retired"]


def test_a_network_failure_skips_no_candidate(bench: Bench) -> None:
    def fail(prompt: Prompt) -> str:
        raise Unreachable("gone")

    bench.provider.replies = {"ada": fail}
    with pytest.raises(Unreachable):
        evaluate(bench, against=["base"])
    bench.provider.replies = {"ada": make_constant_reply(" 1")}
    sent = len(bench.provider.completion_requests)
    _, evaluation = evaluate(bench, against=["base"])
    assert names(evaluation) == ["tuned", "base"]
    models = [model for model, _ in bench.provider.completion_requests[sent:]]
    assert set(models) == {"ada"}  # completions of the tuned model are cached


def test_the_evaluated_model_cannot_be_skipped(bench: Bench) -> None:
    bench.provider.loading_lag = 10_000
    with pytest.raises(NotFound):
        evaluate(bench)


def test_an_untrained_base_is_skipped_unless_it_is_allowed(bench: Bench) -> None:
    bench.provider.capabilities = replace(bench.provider.capabilities, untrained_bases=("ada",))
    bench.provider.replies = {"ada": make_constant_reply(" 1")}
    _, evaluation = evaluate(bench, against=["base", {"few-shot": 3}])
    assert set(reasons(evaluation)) == {"base", "few-shot"}
    assert "has random weights before training" in reasons(evaluation)["base"]
    _, allowed = evaluate(bench, against=[{"base": {"allow_untrained": True}}])
    assert names(allowed) == ["tuned", "base"]


def test_the_model_of_the_previous_run_is_a_candidate(bench: Bench) -> None:
    first, _ = evaluate(bench, against=["previous"])
    job = bench.write_job(seed=7, evaluate={"file": "exam.jsonl", "against": ["previous"]})
    evaluation = load_evaluation(bench.run(job), bench.home)
    assert evaluation is not None
    previous = find_candidate(evaluation, "previous")
    assert previous is not None
    assert previous.model == first.fine_tuned_model


def test_without_an_earlier_run_there_is_no_previous_candidate(bench: Bench) -> None:
    _, evaluation = evaluate(bench, against=["previous"])
    assert reasons(evaluation) == {"previous": "no earlier run of this name has made a model"}


def test_a_deleted_previous_model_is_skipped(bench: Bench) -> None:
    first, _ = evaluate(bench)
    bench.ledger.mark_model_deleted(str(first.fine_tuned_model))
    job = bench.write_job(seed=7, evaluate={"file": "exam.jsonl", "against": ["previous"]})
    evaluation = load_evaluation(bench.run(job), bench.home)
    assert evaluation is not None
    assert "was deleted on" in reasons(evaluation)["previous"]


def test_checkpoints_are_candidates_except_the_final_one(bench: Bench) -> None:
    bench.provider.checkpoints = (
        Checkpoint("c1", 2, "half-way"),
        Checkpoint("c2", STEPS, "at-the-end"),
    )
    bench.provider.replies = {"half-way": make_constant_reply(" 1")}
    _, evaluation = evaluate(bench, against=["checkpoints"])
    assert names(evaluation) == ["tuned", "step 2"]


def test_a_job_without_checkpoints_has_no_such_candidates(bench: Bench) -> None:
    _, evaluation = evaluate(bench, against=["checkpoints"])
    assert reasons(evaluation) == {"checkpoints": "ftjob-1 has no checkpoints beside its model"}


def test_the_same_model_twice_has_two_names(bench: Bench) -> None:
    bench.provider.replies = {"gpt": reply_correctly}
    _, evaluation = evaluate(bench, against=[{"model": "gpt"}, {"model": "gpt"}])
    assert names(evaluation) == ["tuned", "gpt", "gpt (2)"]


def test_a_leak_is_refused_before_any_request(bench: Bench) -> None:
    write_rows(bench.folder / "exam.jsonl", [("fresh\n\n", " 1"), ("question 3\n\n", " 1")])
    job = bench.write_job(evaluate={"file": "exam.jsonl"})
    with pytest.raises(DatasetError) as caught:
        bench.run(job)
    assert "leak: 1 row of exam.jsonl is a training row: line 2" in caught.value.message
    assert "overlap: allow" in caught.value.hint
    assert bench.provider.count("upload_file") == 0


def test_an_allowed_leak_is_noted(bench: Bench) -> None:
    write_rows(bench.folder / "exam.jsonl", [*EXAM, ("question 3\n\n", " 1")])
    job = bench.write_job(evaluate={"file": "exam.jsonl", "overlap": "allow"})
    evaluation = load_evaluation(bench.run(job), bench.home)
    assert evaluation is not None
    assert evaluation.overlap_rows == 1
    assert any(note.startswith("leak: 1 of 31 rows") for note in list_notes(evaluation))


def test_a_leaking_validation_file_is_noted_and_refused_only_on_request(
    bench: Bench,
) -> None:
    evaluation = load_evaluation(bench.run(bench.write_job()), bench.home)
    assert evaluation is not None
    assert evaluation.overlap_rows == 2
    with pytest.raises(DatasetError, match=r"leak: 2 rows of validation\.jsonl"):
        bench.run(bench.write_job(seed=3, evaluate={"overlap": "refuse"}))


def test_equal_models_have_no_significant_difference(bench: Bench) -> None:
    rows = [(f"question {n % 12}\n\n", f" {n % 3 + 1}") for n in range(600)]
    write_rows(bench.folder / "exam.jsonl", rows)
    bench.provider.replies = {"twin": reply_correctly}
    section = {"file": "exam.jsonl", "overlap": "allow", "against": [{"model": "twin"}]}
    evaluation = load_evaluation(bench.run(bench.write_job(evaluate=section)), bench.home)
    assert evaluation is not None
    (comparison,) = evaluation.comparisons
    assert comparison.verdict.value == "no difference"


def test_missed_requirements_keep_the_run_and_its_model(bench: Bench) -> None:
    require = {"accuracy": ">= 0.99", "f1": ">= 0"}
    run, evaluation = evaluate(bench, require=require)
    assert (run.status, evaluation.passed) == (RunStatus.SUCCEEDED, False)
    assert run.fine_tuned_model
    with pytest.raises(RequirementMissed) as caught:
        check_run_requirements(run, bench.home)
    assert "1 of 2 requirements are not met:\n  accuracy >= 0.99 (" in caught.value.message
    assert bench.detail(run, Stage.EVALUATE)["missed"] == ["accuracy >= 0.99"]


def test_another_section_evaluates_again_without_training_or_requests(bench: Bench) -> None:
    run, _ = evaluate(bench)
    sent = len(bench.provider.completion_requests)
    second, evaluation = evaluate(
        bench, require={"accuracy": ">= 0"}, metrics=["accuracy", "f1_micro"]
    )
    assert (second.id, len(bench.provider.completion_requests)) == (run.id, sent)
    assert (evaluation.passed, bench.provider.count("create_job")) == (True, 1)
    assert list(evaluation.candidates[0].metrics) == ["accuracy", "f1_micro"]


def test_an_error_of_a_python_metric_is_noted_with_its_row(
    bench: Bench,
) -> None:
    (bench.folder / "check.py").write_text(
        "def score(prompt, expected, given):\n"
        "    if prompt.startswith('fresh 2\\n'):\n"
        "        raise ValueError('no idea')\n"
        "    return 0.25\n"
    )
    _, evaluation = evaluate(bench, against=[], metrics=[{"python": "check.py:score"}])
    metric = evaluation.candidates[0].metrics["python"]
    assert metric.value == pytest.approx(0.25 * 29 / 30)
    assert any("line 3: ValueError: no idea" in note for note in list_notes(evaluation))


def test_changed_rows_of_the_same_file_are_evaluated_again(bench: Bench) -> None:
    evaluate(bench)
    write_rows(bench.folder / "exam.jsonl", EXAM[:9])
    evaluation = load_evaluation(
        bench.run(bench.write_job(evaluate={"file": "exam.jsonl"})), bench.home
    )
    assert evaluation is not None
    assert (evaluation.rows, bench.provider.count("create_job")) == (9, 1)


def test_a_model_at_another_provider_is_a_candidate(bench: Bench) -> None:
    other = FakeProvider(bench.folder / "other", bench.clock)
    other.replies = {"gpt": reply_correctly}
    other.format = RowFormat.CHAT
    opened: list[ProviderSettings] = []

    def reach(settings: ProviderSettings) -> FakeProvider:
        opened.append(settings)
        return other

    write_rows(bench.folder / "exam.jsonl", EXAM)
    against = [{"model": {"name": "gpt", "provider": {"type": "elsewhere"}}}]
    job = bench.write_job(evaluate={"file": "exam.jsonl", "against": against})
    context = replace(bench.context, open_provider=reach)
    evaluation = load_evaluation(drive(open_run(job, context), context), bench.home)
    assert evaluation is not None
    gpt = find_candidate(evaluation, "gpt")
    assert gpt is not None
    assert gpt.metrics["accuracy"].value == 1.0
    assert {settings.type for settings in opened} == {"elsewhere"}


def test_a_candidate_of_an_unreachable_provider_is_skipped(bench: Bench) -> None:
    against = [{"model": {"name": "gpt", "provider": {"type": "elsewhere"}}}]
    _, evaluation = evaluate(bench, against=against)
    assert "the provider 'elsewhere' cannot be opened" in reasons(evaluation)["gpt"]


def test_a_judge_compares_each_candidate_with_the_model(bench: Bench) -> None:
    bench.provider.replies = {"gpt": reply_correctly, "wise": make_constant_reply("A")}
    metrics = [{"judge": {"model": "wise"}}, "accuracy"]
    _, evaluation = evaluate(bench, against=[{"model": "gpt"}], metrics=metrics)
    gpt = find_candidate(evaluation, "gpt")
    assert gpt is not None
    assert gpt.metrics["judge"].value == 0.5  # the judge prefers the first position
    assert any("the two orders disagree on" in note for note in list_notes(evaluation))


def test_several_judges_have_separate_metrics(bench: Bench) -> None:
    bench.provider.replies = {"wise": make_constant_reply("5"), "strict": make_constant_reply("1")}
    judges = [{"judge": {"model": name, "mode": "grade"}} for name in ("wise", "strict")]
    _, evaluation = evaluate(bench, against=[], metrics=["accuracy", *judges])
    figures = {name: result.value for name, result in evaluation.candidates[0].metrics.items()}
    assert list(figures) == ["accuracy", "judge", "judge_2"]
    assert (figures["judge"], figures["judge_2"]) == (1.0, 0.0)


def test_no_request_is_sent_above_the_cost_limit(bench: Bench) -> None:
    with pytest.raises(LimitExceeded, match="the price of ft:ada:acme::ftjob-1 at fake is not"):
        evaluate(bench, max_cost_usd=1)
    assert bench.provider.completion_requests == []


def test_rows_are_sampled_and_a_larger_sample_contains_the_smaller(bench: Bench) -> None:
    run, ten = evaluate(bench, max_rows=10)
    assert "10 of 30 rows were evaluated, a random sample (max_rows)" in list_notes(ten)
    path = RunFolder.of(bench.home, run.id).path / "predictions" / "tuned.jsonl"
    lines = [json.loads(line)["line"] for line in path.read_text().splitlines()]
    assert len(lines) == 10
    assert lines == sorted(lines)
    assert lines != list(range(1, 11))  # the start of a sorted file has only one class
    _, twenty = evaluate(bench, max_rows=20)
    assert twenty.rows == 20
    assert len(bench.provider.completion_requests) == 20  # ten of them are cached
    _, all_of_them = evaluate(bench, max_rows=30)
    assert not any("sample" in note for note in list_notes(all_of_them))


def test_every_prediction_is_stored_with_its_row(bench: Bench) -> None:
    run, _ = evaluate(bench)
    path = RunFolder.of(bench.home, run.id).path / "predictions" / "tuned.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["line"] for row in rows] == list(range(1, 31))
    assert {"prompt", "expected", "predicted", "correct", "seconds", "problem"} <= set(rows[0])


def test_predictions_of_removed_candidates_are_deleted(bench: Bench) -> None:
    run, _ = evaluate(bench)
    evaluate(bench, against=[])
    folder = RunFolder.of(bench.home, run.id).path / "predictions"
    assert [path.name for path in folder.iterdir()] == ["tuned.jsonl"]


def set_price(bench: Bench) -> None:
    """One dollar for a million prompt tokens, and for a million completion tokens."""
    bench.provider.completion_usd = 1.0


def test_the_cost_of_a_judge_counts_against_the_limit_before_any_request(bench: Bench) -> None:
    set_price(bench)
    bench.provider.replies = {"gpt": reply_correctly, "wise": make_constant_reply("A")}
    against = [{"model": "gpt"}]
    with pytest.raises(LimitExceeded, match="the evaluation would cost up to"):
        evaluate(bench, against=against, metrics=[{"judge": {"model": "wise"}}], max_cost_usd=0.002)
    assert bench.provider.completion_requests == []
    _, evaluation = evaluate(bench, against=against, metrics=["accuracy"], max_cost_usd=0.002)
    assert names(evaluation) == ["tuned", "gpt"]


def test_cached_completions_do_not_count_against_the_limit(bench: Bench) -> None:
    set_price(bench)
    bench.provider.replies = {"gpt": reply_correctly, "wise": make_constant_reply("A")}
    section = {"against": [{"model": "gpt"}], "metrics": [{"judge": {"model": "wise"}}]}
    evaluate(bench, **section, max_cost_usd=1)
    sent = len(bench.provider.completion_requests)
    _, evaluation = evaluate(bench, **section, max_cost_usd=0)
    assert (names(evaluation), len(bench.provider.completion_requests)) == (["tuned", "gpt"], sent)


def test_a_judge_of_cached_completions_costs_only_its_new_requests(bench: Bench) -> None:
    set_price(bench)
    bench.provider.replies = {"gpt": reply_correctly, "wise": make_constant_reply("A")}
    evaluate(bench, against=[{"model": "gpt"}])
    with pytest.raises(LimitExceeded, match="asking wise would cost up to"):
        evaluate(
            bench,
            against=[{"model": "gpt"}],
            metrics=[{"judge": {"model": "wise"}}],
            max_cost_usd=0,
        )


def test_prompt_tokens_are_counted_with_the_available_counter(bench: Bench) -> None:
    set_price(bench)
    words = replace(bench.context, tokens=TokenCounter(WordCounting()))
    write_rows(bench.folder / "exam.jsonl", EXAM)
    section = {"file": "exam.jsonl", "against": [], "max_tokens": 1, "max_cost_usd": 89e-6}
    run = open_run(bench.write_job(evaluate=section), words)
    with pytest.raises(LimitExceeded, match=r"would cost up to \$9e-05"):  # 30 x (2 + 1) tokens
        drive(run, words)


@pytest.mark.parametrize("content", [None, b"garbage", b'{"version": 99}', b'{"version": 2}'])
def test_a_lost_or_truncated_evaluation_is_computed_again_from_cached_completions(
    bench: Bench, content: bytes | None
) -> None:
    bench.provider.replies = {"ada": make_constant_reply(" 1")}
    section = {"require": {"accuracy": ">= 0.9999"}, "against": ["base"]}
    run, _ = evaluate(bench, **section)
    sent = len(bench.provider.completion_requests)
    path = RunFolder.of(bench.home, run.id).path / "evaluation.json"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    second, evaluation = evaluate(bench, **section)
    assert (second.id, second.status) == (run.id, RunStatus.SUCCEEDED)
    assert names(evaluation) == ["tuned", "base"]
    assert len(bench.provider.completion_requests) == sent
    with pytest.raises(RequirementMissed):
        check_run_requirements(second, bench.home)


def test_a_run_is_not_compared_with_itself(bench: Bench) -> None:
    run, _ = evaluate(bench)
    with pytest.raises(RunError, match="a run cannot be compared with itself"):
        compare_runs([run, run], bench.ledger, bench.home, EvaluateSpec.model_validate({}))


def test_refused_parameters_are_noted_in_evaluations_and_comparisons(bench: Bench) -> None:
    bench.provider.replies = {"gpt": reply_correctly, "wise": make_constant_reply("A")}
    bench.provider.refused = {"gpt": {"top_p": None}, "wise": {"temperature": None}}
    section = {"against": [{"model": "gpt"}], "metrics": ["accuracy", {"judge": {"model": "wise"}}]}
    first, evaluation = evaluate(bench, **section)
    assert "gpt: top_p not sent: the model refuses it" in list_notes(evaluation)
    assert "judge: temperature not sent: the model refuses it" in list_notes(evaluation)
    assert first.fine_tuned_model is not None
    second = bench.run(bench.write_job(seed=7, evaluate={"file": "exam.jsonl"}))
    assert second.fine_tuned_model is not None
    path = RunFolder.of(bench.home, second.id).path / "evaluation.json"
    document = json.loads(path.read_bytes())
    document["candidates"][0]["refused_parameters"] = {"seed": None}
    path.write_text(json.dumps(document))
    spec = EvaluateSpec.model_validate({})
    compared = compare_runs([first, second], bench.ledger, bench.home, spec)
    assert any(
        note.endswith("seed not sent: the model refuses it") for note in list_notes(compared)
    )
    figures = [item.candidates[0].metrics for item in (evaluation, compared)]
    assert figures[0]["accuracy"] == figures[1]["accuracy"]


def test_the_precision_is_sent_where_requests_take_it_and_what_answered_is_noted(
    bench: Bench,
) -> None:
    def list_precisions(*against: object, **section: object) -> dict[str, str | None]:
        run, evaluation = evaluate(bench, against=list(against), **section)
        requests = dict(bench.provider.completion_requests)
        bench.provider.completion_requests.clear()
        notes.update(list_notes(evaluation))
        names = {run.fine_tuned_model: "tuned"}
        return {names.get(model, model): sent.precision for model, sent in requests.items()}

    notes: set[str] = set()
    bench.provider.replies = {"ada": reply_correctly, "gpt": reply_correctly}
    assert list_precisions({"model": "gpt"}) == {"tuned": None, "gpt": None}
    bench.provider.capabilities = replace(
        bench.provider.capabilities, precisions=True, untrained_bases=("gpt",)
    )
    assert list_precisions("base", {"model": "gpt"})["ada"] == "auto"
    assert list_precisions("base", precision="q8_0") == {"tuned": "q8_0", "ada": "q8_0"}
    assert {"base: answered by auto", "base: answered by q8_0"} <= notes
    assert not any(note.startswith("gpt: answered") for note in notes)


def test_instructions_are_sent_to_other_candidates(bench: Bench) -> None:
    prompts: dict[str, list[str]] = {"ada": [], "gpt": []}

    def record(model: str) -> Callable[[Prompt], str]:
        def reply(prompt: Prompt) -> str:
            prompts[model].append(str(prompt))
            return " 1"

        return reply

    bench.provider.replies = {"ada": record("ada"), "gpt": record("gpt")}
    instructions = "Answer with 1, 2 or 3."
    against = [
        {"base": {"instructions": instructions}},
        {"few-shot": {"examples": 2, "instructions": instructions}},
        {"model": {"name": "gpt", "instructions": instructions}},
        {"model": "gpt"},
    ]
    _, evaluation = evaluate(bench, against=against)
    assert names(evaluation) == ["tuned", "base", "few-shot", "gpt", "gpt (2)"]
    assert all(prompt.startswith(f"{instructions}\n") for prompt in prompts["ada"])
    assert all(prompt.count(instructions) == 1 for prompt in prompts["ada"])
    assert sum(prompt.startswith(f"{instructions}\nfresh") for prompt in prompts["gpt"]) == len(
        EXAM
    )
    assert sum(prompt.startswith("fresh") for prompt in prompts["gpt"]) == len(EXAM)


KEPT = [(f"old {n}\n\n", f" {n % 3 + 1}") for n in range(40)]


def test_a_drop_on_rows_to_keep_is_measured_and_limited(bench: Bench) -> None:
    write_rows(bench.folder / "kept.jsonl", KEPT)
    bench.provider.replies = {"ada": reply_correctly}
    run, evaluation = evaluate(bench, against=[], keep={"file": "kept.jsonl", "max_drop": 0.02})
    (part,) = evaluation.parts
    assert (part.name, part.file, part.rows, names(part)) == (
        "keep", "kept.jsonl", 40, ["tuned", "base"]
    )  # fmt: skip
    (comparison,) = part.comparisons
    assert comparison.difference < -0.3
    (requirement,) = evaluation.requirements
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
    _, repeated = evaluate(bench, against=[], keep={"file": "kept.jsonl", "max_drop": 1})
    assert repeated.parts[0].rows == 20


def test_a_base_that_cannot_be_evaluated_misses_the_requirement_with_its_reason(
    bench: Bench,
) -> None:
    write_rows(bench.folder / "kept.jsonl", KEPT)
    bench.provider.capabilities = replace(bench.provider.capabilities, untrained_bases=("ada",))
    _, evaluation = evaluate(bench, keep={"file": "kept.jsonl", "max_drop": 0.5})
    (requirement,) = evaluation.requirements
    assert (requirement.value, requirement.met) == (None, False)
    assert requirement.reason.startswith("base: ada is a built-in size")


def test_the_cost_of_rows_to_keep_counts_in_the_limit(bench: Bench) -> None:
    set_price(bench)
    write_rows(bench.folder / "kept.jsonl", KEPT)
    bench.provider.replies = {"ada": reply_correctly}
    keep = {"file": "kept.jsonl", "max_drop": 1}
    section = {"against": [], "max_tokens": 1}
    evaluate(bench, **section, max_cost_usd=0.001)
    with pytest.raises(LimitExceeded, match="no requests were sent"):
        evaluate(bench, **section, keep=keep, max_cost_usd=0.0001)


def test_rows_are_evaluated_by_a_field_that_is_not_sent(bench: Bench) -> None:
    rows = [
        {"prompt": prompt, "completion": completion, "about": {"lang": "de" if n < 10 else "en"}}
        for n, (prompt, completion) in enumerate(EXAM)
    ]
    path = bench.folder / "sliced.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    section = {
        "file": "sliced.jsonl",
        "slices": ["about.lang"],
        "require": {"accuracy_in_about.lang": ">= 0"},
    }
    run = bench.run(bench.write_job(evaluate=section))
    evaluation = load_evaluation(run, bench.home)
    assert evaluation is not None
    assert [(part.name, part.rows) for part in evaluation.parts] == [
        ("about.lang=de", 10), ("about.lang=en", 20)
    ]  # fmt: skip
    assert [item.text for item in evaluation.requirements] == [
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
