"""A preview has everything that a run would send, without sending or writing anything."""

import pytest

from ftops.errors import DatasetError, LimitExceeded, ScoringError
from ftops.records import RowFormat, Stage
from ftops.runs.preview import preview
from tests.runs.bench import Bench, write_rows


def test_a_preview_has_what_the_run_will_send(bench: Bench) -> None:
    job = bench.write_job(suffix="numbers", seed=7, metadata={"team": "search"})
    result = preview(job, bench.provider)
    run = bench.run(job)
    prepared = bench.detail(run, Stage.PREPARE)
    assert result.training is not None
    assert result.validation is not None
    assert (result.training.rows, result.validation.rows) == (12, 3)
    assert result.overlap_rows == prepared["overlap_rows"] == 2
    assert result.estimate is not None
    assert (result.estimate.tokens, result.estimate.cost_usd) == (
        prepared["tokens"],
        prepared["cost_usd"],
    )
    names = [file.filename for file in bench.provider.list_files()][:2]
    assert [result.request.training_file, result.request.validation_file] == names
    assert result.uploads == dict(zip(names, ["train.jsonl", "validation.jsonl"], strict=True))
    assert (result.request.suffix, result.request.seed) == ("numbers", 7)
    assert (result.problems, result.row_format) == ((), RowFormat.COMPLETION)
    result.check()


def test_a_preview_changes_nothing(bench: Bench) -> None:
    job = bench.write_job()
    before = sorted(bench.folder.rglob("*"))
    bench.provider.before("ensure_ready", lambda: pytest.fail("the provider was asked"))
    preview(job, bench.provider)
    assert sorted(bench.folder.rglob("*")) == before
    assert bench.ledger.list_runs() == []


def test_all_problems_of_a_run_are_reported_together(bench: Bench) -> None:
    job = bench.write_job(limits={"max_cost_usd": 0, "max_training_tokens": 1})
    write_rows(bench.folder / "train.jsonl", [("a\n\n", " 1")])
    result = preview(job, bench.provider)
    assert len(result.problems) == 3
    with pytest.raises(LimitExceeded, match="nothing was sent"):
        result.check()


def test_bad_rows_are_an_error_with_their_lines(bench: Bench) -> None:
    job = bench.write_job()
    (bench.folder / "train.jsonl").write_text('{"prompt": "a", "completion": null}\n')
    with pytest.raises(DatasetError, match=r"train\.jsonl:1: completion is null"):
        preview(job, bench.provider)


def test_data_at_the_provider_has_its_id_and_no_counts(bench: Bench) -> None:
    result = preview(
        bench.write_job(training_file="file-abc", validation_file=None), bench.provider
    )
    assert (result.training, result.estimate) == (None, None)
    assert result.request.training_file == "file-abc"
    assert result.uploads == {}


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ({"python": "no_such.py:score"}, r"no_such\.py: the file cannot be read: No such file"),
        ({"python": "check.py:scare"}, r"there is no function `scare`"),
        ({"json_schema": "none.json"}, r"none\.json: the schema cannot be read"),
    ],
)
def test_an_invalid_metric_is_reported_before_training(
    bench: Bench, metric: dict[str, str], message: str
) -> None:
    (bench.folder / "check.py").write_text("def score(*_):\n    return 1\n")
    job = bench.write_job(evaluate={"metrics": ["accuracy", metric]})
    with pytest.raises(ScoringError, match=message):
        preview(job, bench.provider)
    with pytest.raises(ScoringError, match=message):
        bench.run(job)
    assert list(bench.provider.list_files()) == []


def test_leaking_evaluation_rows_are_reported_in_the_preview(bench: Bench) -> None:
    job = bench.write_job(evaluate={"file": "train.jsonl"})
    with pytest.raises(DatasetError, match=r"leak: 12 rows of train\.jsonl are training rows"):
        preview(job, bench.provider)
