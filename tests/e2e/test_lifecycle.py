"""The lifecycle of a run through the real command line and the real engine."""

import json
import re
import shlex
from typing import cast

import pytest

from ftops.records import Json
from ftops.reports.results import parse_results
from tests.e2e.sandbox import Result, Sandbox

pytestmark = pytest.mark.timeout(120)


def get(document: Json, *path: str) -> Json:
    for name in path:
        document = cast(dict[str, Json], document)[name]
    return document


def text_of(document: Json, *path: str) -> str:
    value = get(document, *path)
    assert isinstance(value, str)
    return value


def test_a_run_ends_with_times_curve_results_accuracy_model_and_next_commands(
    sandbox: Sandbox, first_run: Result
) -> None:
    assert (first_run.code, first_run.err) == (0, "")
    for part in (
        "Stages",
        "Training",
        "Results",
        "Evaluation on validation.jsonl (14 rows)",
        "Model",
        "Next",
    ):
        assert f"\n{part}\n" in first_run.out
    for name in ("tuned", "naive Bayes", "nearest neighbour", "majority"):
        assert f"\n  {name} " in first_run.out
    assert re.search(r"\n  ft:ada:local:colours:\w{8}\n", first_run.out)
    assert "not language" in first_run.out
    commands = first_run.out.partition("\nNext\n")[2].splitlines()
    assert [line.split()[1] for line in commands] == ["complete", "report", "models"]


def test_piped_output_has_no_bar_no_colours_and_every_event_once(first_run: Result) -> None:
    assert "\x1b" not in first_run.out
    assert "━" not in first_run.out
    lines = [line for line in first_run.out.splitlines() if re.match(r" {4}\d\d:\d\d:\d\d ", line)]
    assert len(lines) == len(set(lines))
    assert sum("Created fine-tuning job" in line for line in lines) == 1


def test_the_same_job_file_again_repeats_nothing(sandbox: Sandbox, first_run: Result) -> None:
    before = sandbox.invoke("runs", "--json").document
    again = sandbox.ftops("run", sandbox.job)
    assert again.code == 0
    assert "nothing was repeated" in again.out
    assert "Created fine-tuning job" not in again.out  # an event is shown once
    assert sandbox.invoke("runs", "--json").document == before


def test_run_as_json_is_one_document_with_the_metrics(sandbox: Sandbox, first_run: Result) -> None:
    result = sandbox.invoke("run", sandbox.job, "--json")
    document = result.document
    assert result.code == 0
    assert text_of(document, "status") == "succeeded"
    assert text_of(document, "run_id").startswith("run-")
    assert text_of(document, "job_id").startswith("ftjob-")
    assert text_of(document, "fine_tuned_model").startswith("ft:ada:local:colours:")
    assert isinstance(get(document, "created_at"), int)
    assert isinstance(get(document, "metrics", "accuracy"), float)
    assert isinstance(get(document, "metrics", "train_loss"), float)
    assert get(document, "metrics", "rows") == 14
    stages = cast(list[dict[str, Json]], get(document, "stages"))
    assert [stage["stage"] for stage in stages] == [
        "prepare",
        "upload",
        "create",
        "follow",
        "results",
        "evaluate",
    ]
    assert {stage["status"] for stage in stages} == {"succeeded"}


def test_quiet_prints_only_the_name_of_the_model(sandbox: Sandbox, first_run: Result) -> None:
    result = sandbox.ftops("run", sandbox.job, "--quiet")
    assert re.fullmatch(r"ft:ada:local:colours:\w{8}\n", result.out)
    assert result.err == ""


def test_a_run_is_found_by_each_of_its_names(sandbox: Sandbox, first_run: Result) -> None:
    document = sandbox.invoke("show", "colours", "--json").document
    for name in ("run_id", "job_id", "fine_tuned_model"):
        shown = sandbox.invoke("show", text_of(document, name), "--json")
        assert get(shown.document, "run_id") == get(document, "run_id")
    events = cast(list[dict[str, Json]], get(document, "events"))
    assert any("successfully completed" in str(event["message"]) for event in events)
    changes = cast(list[dict[str, Json]], get(document, "state_changes"))
    assert (changes[0]["before"], changes[-1]["stage"], changes[-1]["after"]) == (
        "new",
        None,
        "succeeded",
    )
    human = sandbox.invoke("show", "colours")
    assert text_of(document, "job_id") in human.out
    assert "attempts" in human.out


def test_results_are_printed_as_a_curve_csv_and_json(sandbox: Sandbox, first_run: Result) -> None:
    human = sandbox.invoke("results", "colours")
    assert "loss (nats per token)" in human.out
    assert max(map(len, human.out.splitlines())) <= 80
    written = sandbox.invoke("results", "colours", "--csv", sandbox.folder / "out.csv")
    rows = parse_results((sandbox.folder / "out.csv").read_bytes())
    assert written.code == 0
    assert rows[0].step == 1
    assert rows[-1].valid_loss is not None
    piped = sandbox.invoke("results", "colours", "--csv", "-")
    assert parse_results(piped.out.encode()) == rows
    document = cast(dict[str, Json], sandbox.invoke("results", "colours", "--json").document)
    listed = cast(list[dict[str, Json]], document["steps"])
    assert [row["step"] for row in listed] == [row.step for row in rows]
    assert isinstance(document["findings"], list)
    raw = sandbox.invoke("results", "colours", "--raw", sandbox.folder / "raw.csv")
    assert raw.code == 0
    assert (sandbox.folder / "raw.csv").read_bytes().startswith(b"step,epoch,elapsed_tokens,")


def test_the_checkpoints_of_the_engine_are_listed_with_the_results(
    sandbox: Sandbox, first_run: Result
) -> None:
    document = cast(dict[str, Json], sandbox.invoke("results", "colours", "--json").document)
    checkpoints = cast(list[dict[str, Json]], document["checkpoints"])
    steps = [cast(int, checkpoint["step"]) for checkpoint in checkpoints]
    assert steps == sorted(steps)
    assert steps
    assert all(":ckpt-step-" in cast(str, checkpoint["model"]) for checkpoint in checkpoints)


def test_following_the_results_of_a_finished_run_prints_them(
    sandbox: Sandbox, first_run: Result
) -> None:
    followed = sandbox.invoke("results", "colours", "--follow")
    assert followed.code == 0
    assert "loss (nats per token)" in followed.out


def test_a_completion_uses_the_separator_and_stop_of_its_run(
    sandbox: Sandbox, first_run: Result
) -> None:
    plain = sandbox.ftops("complete", "-m", "colours", "-p", "the apple at noon")
    assert plain.code == 0
    assert plain.out.endswith("\n")
    piped = sandbox.ftops("complete", "-m", "colours", "-p", "-", stdin="the apple at noon\n")
    assert piped.out == plain.out
    document = sandbox.invoke("complete", "-m", "colours", "-p", "the apple at noon", "--json")
    assert text_of(document.document, "text") == plain.out.removesuffix("\n")
    raw = sandbox.invoke("complete", "-m", "colours", "-p", "the apple at noon ->", "--raw")
    assert raw.out.splitlines()[0] == plain.out.splitlines()[0]


def test_a_batch_has_the_responses_of_single_completions_and_sends_each_once(
    sandbox: Sandbox, first_run: Result
) -> None:
    prompts, out = sandbox.folder / "questions.txt", sandbox.folder / "answers.jsonl"
    prompts.write_text("the apple at noon\nthe sky at noon\n")
    arguments = ("batch", prompts, "-m", "colours", "-o", out, "--json")
    assert '"cached": 0' in sandbox.ftops(*arguments).out
    responses = [json.loads(line)["answer"].strip() for line in out.read_text().splitlines()]
    for text, response in zip(("the apple at noon", "the sky at noon"), responses, strict=True):
        assert sandbox.invoke("complete", "-m", "colours", "-p", text).out.strip() == response
    assert '"cached": 2' in sandbox.ftops(*arguments).out
    chat = sandbox.ftops("chat", "-m", "colours", stdin="the apple at noon\n")
    assert chat.out.strip() == responses[0]


def test_the_suggested_next_command_works(sandbox: Sandbox, first_run: Result) -> None:
    line = first_run.out.partition("\nNext\n")[2].splitlines()[0]
    result = sandbox.ftops(*shlex.split(line)[1:])
    assert (result.code, result.err) == (0, "")
    assert result.out.strip()


def test_models_and_files_are_listed_with_their_run(sandbox: Sandbox, first_run: Result) -> None:
    models = cast(list[dict[str, Json]], sandbox.invoke("models", "list", "--json").document)
    run = sandbox.invoke("show", "colours", "--json").document
    assert {model["id"]: model["run_id"] for model in models}[
        text_of(run, "fine_tuned_model")
    ] == get(run, "run_id")
    assert {model["base_model"] for model in models} == {"ada"}
    files = cast(list[dict[str, Json]], sandbox.invoke("files", "list", "--json").document)
    assert {"fine-tune", "fine-tune-results"} <= {file["purpose"] for file in files}
    assert sandbox.invoke("files", "list", "--quiet").out.split() == [file["id"] for file in files]


def test_follow_of_a_finished_run_prints_it_and_succeeds(
    sandbox: Sandbox, first_run: Result
) -> None:
    result = sandbox.invoke("follow", "colours")
    assert result.code == 0
    assert "\nModel\n" in result.out


def test_any_openai_client_can_use_the_engine_through_its_variables(
    sandbox: Sandbox, first_run: Result
) -> None:
    result = sandbox.invoke("engine", "env")
    variables = dict(word.split("=", 1) for word in result.out.split()[1:])
    assert set(variables) == {"OPENAI_BASE_URL", "OPENAI_API_BASE", "OPENAI_API_KEY"}
    document = sandbox.invoke("engine", "env", "--json").document
    assert text_of(document, "base_url") == variables["OPENAI_BASE_URL"]
    listed = sandbox.ftops(
        "models",
        "list",
        "--json",
        "--base-url",
        variables["OPENAI_BASE_URL"],
        **variables,
    )
    assert listed.code == 0
    assert "ft:ada:local:colours" in listed.out
    wrong = sandbox.ftops(
        "models",
        "list",
        "--base-url",
        variables["OPENAI_BASE_URL"],
        **{**variables, "OPENAI_API_KEY": "wrong"},
    )
    assert wrong.code == 1
    assert "wrong" not in wrong.err.replace("wrong key", "")
    assert wrong.err.startswith("error: ")


def test_engine_status_prints_the_address(sandbox: Sandbox, first_run: Result) -> None:
    document = sandbox.invoke("engine", "status", "--json").document
    assert get(document, "running") is True
    assert text_of(document, "base_url").startswith("http://127.0.0.1:")


def test_a_deleted_model_is_not_listed_and_not_used(sandbox: Sandbox) -> None:
    run = sandbox.invoke("run", sandbox.write_job("short-lived", epochs=1), "--quiet")
    name = run.out.strip()
    refused = sandbox.invoke("models", "delete", "short-lived")
    assert refused.code == 1
    assert "--yes" in refused.err
    deleted = sandbox.invoke("models", "delete", "short-lived", "--yes", "--json")
    assert json.loads(deleted.out) == [{"id": name, "object": "model", "deleted": True}]
    completion = sandbox.invoke("complete", "-m", name, "-p", "the apple")
    assert completion.code == 1
    assert f"the model {name} was deleted" in completion.err
    assert "next: " in completion.err
    assert name not in sandbox.invoke("models", "list").out
    again = sandbox.invoke("models", "delete", name, "--yes")
    assert (again.code, "was deleted" in again.err) == (1, True)
    shown = sandbox.invoke("run", sandbox.folder / "short-lived.yaml")
    assert "Deleted on" in shown.out
    assert "--new" in shown.out.splitlines()[-3]


def test_a_deleted_file_is_uploaded_again_when_it_is_needed(sandbox: Sandbox) -> None:
    sandbox.invoke("run", sandbox.write_job("anew", epochs=1))
    listed = cast(list[dict[str, Json]], sandbox.invoke("files", "list", "--json").document)
    ids = [str(file["id"]) for file in listed if file["purpose"] == "fine-tune"]
    deleted = sandbox.invoke("files", "delete", *ids, "--yes", "--quiet")
    assert deleted.out.split() == ids
    again = sandbox.invoke("run", sandbox.folder / "anew.yaml", "--new")
    assert again.code == 0
    assert " sent\n" in again.out
