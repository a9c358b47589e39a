"""Facts of a run in the report, and missing data."""

from dataclasses import replace
from datetime import timedelta

from ftops.evaluation.result import Note, NoteKind
from ftops.evaluation.text import format_note
from ftops.records import Json, RunStatus, Stage, StageStatus
from ftops.reports.contents import build
from ftops.reports.html_report import render_page
from ftops.reports.results import ResultRow
from ftops.reports.run_facts import RunFacts, list_facts, list_missing, trace_lineage
from ftops.reports.training import create_training
from tests.reports.sample_runs import NOW, make_facts, make_run, make_stages

BARE = RunFacts(make_run(status=RunStatus.FAILED, error="ran out of credit", job_id=None), [])


def test_the_facts_of_a_run_have_data_hash_rows_tokens_cost_and_times() -> None:
    known = dict(list_facts(make_facts()))
    assert known["training data"] == "data/train.jsonl, 720 rows, 84.5 kB, sha256 804ff684cdf5"
    assert known["tokens trained"] == "67,356"
    assert known["cost"] == "$0.11"
    assert known["cost, as estimated"] == "$0.10"
    assert known["cost, as the provider estimated"] == "$0.12"
    assert known["hyperparameters"] == (
        "n_epochs 3, batch_size 1, learning_rate_multiplier 0.1, seed 42"
    )
    assert known["took"] == "9.0 min"
    assert known["stages"].startswith("prepare 1.5 min · upload 1.5 min")


def test_the_lineage_goes_from_the_data_to_the_model() -> None:
    links = trace_lineage(make_facts())
    assert [link.kind for link in links] == [
        "data",
        "files at the provider",
        "job file",
        "job",
        "model",
    ]
    assert links[1].name == "training: file-aaa"
    assert links[-1].name == "ft:gpt-4.1-nano:acme:news:a1b2c3d4"


def test_a_failed_run_has_its_error_and_missing_parts() -> None:
    missing = list_missing(BARE)
    assert missing == [
        "The run failed: ran out of credit",
        "No training curves: the run has not reached the stage results.",
        "No evaluation: the run has not reached the stage evaluate.",
    ]
    assert [link.name for link in trace_lineage(BARE)][-2:] == [
        "none was created",
        "ft:gpt-4.1-nano:acme:news:a1b2c3d4",
    ]


def test_a_pruned_run_has_the_date_of_its_pruning() -> None:
    run = make_run(pruned_at=NOW + timedelta(days=40))
    missing = list_missing(RunFacts(run, make_stages()))
    assert "`ftops prune` on 2027-01-01" in missing[0]
    assert "No training curves: deleted with the run's files." in missing


def test_a_skipped_evaluation_has_the_reason_of_its_stage() -> None:
    stages = [
        replace(record, status=StageStatus.SKIPPED, detail={"reason": "no validation_file"})
        if record.stage is Stage.EVALUATE
        else record
        for record in make_stages()
    ]
    facts = RunFacts(make_run(), stages, training=create_training([ResultRow(1, 2.0)]))
    assert list_missing(facts) == ["No evaluation: no validation_file."]


def test_a_running_run_is_reported_as_running() -> None:
    facts = replace(make_facts(), run=make_run(status=RunStatus.RUNNING, finished_at=None))
    assert "The run had not ended" in list_missing(facts)[0]


def test_runs_of_the_same_name_have_their_ids() -> None:
    contents = build([make_facts(id="run-a"), make_facts(id="run-b"), make_facts(name="x")], NOW)
    assert [run.name for run in contents.runs] == [
        "news-topics (run-a)",
        "news-topics (run-b)",
        "x",
    ]
    assert contents.leaderboard_note == "All runs were evaluated on the same rows."


def test_runs_with_other_evaluation_rows_are_noted_as_different() -> None:
    first, second = make_facts(), make_facts(id="run-b")
    assert second.evaluation is not None
    moved = replace(second, evaluation=replace(second.evaluation, file_sha256="other"))
    note = build([first, moved], NOW).leaderboard_note
    assert note == "The runs were evaluated on different rows, which may explain a difference."
    unknown = replace(second, evaluation=replace(second.evaluation, file_sha256=""))
    note = build([first, unknown], NOW).leaderboard_note
    assert note == "Whether the runs were evaluated on the same rows is not known."


def test_leaked_rows_are_the_first_data_finding() -> None:
    (run,) = build([make_facts()], NOW).runs
    assert run.data[0].mark == "bad"
    assert run.data[0].text.startswith("3 rows of the validation data are in the training data")


def test_the_data_preparation_is_listed_with_labels_and_separator() -> None:
    facts = make_facts()
    steps: Json = [
        {"encode-labels": {"labels": {"no": " 1", "yes": " 2"}}},
        {"drop-duplicates": {}},
    ]
    first, *others = facts.stages
    plan: Json = {"steps": steps, "read": {}}
    detail = {**first.detail, "plan": plan, "separator": "\n->"}
    prepared = replace(facts, stages=[replace(first, detail=detail), *others])
    fact = dict(list_facts(prepared))["prepared by"]
    assert fact == "encode-labels (2 labels), drop-duplicates, separator '\\n->'"
    assert dict(list_facts(facts))["prepared by"] == ""


def test_a_report_does_not_contain_the_local_folder() -> None:
    links = {link.kind: link.name for link in trace_lineage(make_facts())}
    assert links["job file"] == "news-topics.yaml"


def test_a_leak_is_noted_once_next_to_the_primary_metric() -> None:
    facts = make_facts()
    assert facts.evaluation is not None
    note = Note(NoteKind.LEAK, rows=3, total=180)
    leak = format_note(note)
    leaking = replace(facts.evaluation, notes=(note,), overlap_rows=3)
    (run,) = build([replace(facts, evaluation=leaking)], NOW).runs
    assert run.scores is not None
    assert [text for text in run.scores.remarks if "training" in text] == [leak]
    assert leak in [aside.text for aside in run.scores.asides]


def test_runs_with_different_metrics_are_noted_on_the_page() -> None:
    first, second = make_facts(), make_facts(id="run-b")
    assert second.evaluation is not None
    candidate = second.evaluation.candidates[0]
    changed = replace(candidate, metrics={"exact_match": candidate.metrics["accuracy"]})
    evaluation = replace(second.evaluation, primary_metric="exact_match", candidates=(changed,))
    page = render_page(build([first, replace(second, evaluation=evaluation)], NOW))
    assert "The runs were measured by different metrics" in page
