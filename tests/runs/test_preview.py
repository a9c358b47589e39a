"""Looking ahead: everything that a run would send, without sending or writing anything."""

import pytest

from ftops.errors import DatasetError, LimitExceeded, ScoringError
from ftops.records import RowFormat, Stage
from ftops.runs.preview import preview
from tests.runs.bench import Bench, write_rows


def test_a_preview_tells_what_the_run_will_send(bench: Bench) -> None:
    job = bench.write_job(suffix="numbers", seed=7, metadata={"team": "search"})
    seen = preview(job, bench.provider)
    run = bench.run(job)
    prepared = bench.detail(run, Stage.PREPARE)
    assert seen.training is not None
    assert seen.validation is not None
    assert (seen.training.rows, seen.validation.rows) == (12, 3)
    assert seen.overlap_rows == prepared["overlap_rows"] == 2
    assert seen.estimate is not None
    assert (seen.estimate.tokens, seen.estimate.cost_usd) == (
        prepared["tokens"],
        prepared["cost_usd"],
    )
    names = [file.filename for file in bench.provider.list_files()][:2]
    assert [seen.request.training_file, seen.request.validation_file] == names
    assert seen.uploads == dict(zip(names, ["train.jsonl", "validation.jsonl"], strict=True))
    assert (seen.request.suffix, seen.request.seed) == ("numbers", 7)
    assert (seen.problems, seen.row_format) == ((), RowFormat.COMPLETION)
    seen.check()


def test_a_preview_touches_nothing(bench: Bench) -> None:
    job = bench.write_job()
    before = sorted(bench.folder.rglob("*"))
    bench.provider.before("ensure_ready", lambda: pytest.fail("the provider was asked"))
    preview(job, bench.provider)
    assert sorted(bench.folder.rglob("*")) == before
    assert bench.ledger.list_runs() == []


def test_all_that_forbids_a_run_is_told_at_once(bench: Bench) -> None:
    job = bench.write_job(limits={"max_cost_usd": 0, "max_training_tokens": 1})
    write_rows(bench.folder / "train.jsonl", [("a\n\n", " 1")])
    seen = preview(job, bench.provider)
    assert len(seen.problems) == 3
    with pytest.raises(LimitExceeded, match="nothing was sent"):
        seen.check()


def test_bad_rows_are_an_error_with_their_lines(bench: Bench) -> None:
    job = bench.write_job()
    (bench.folder / "train.jsonl").write_text('{"prompt": "a", "completion": null}\n')
    with pytest.raises(DatasetError, match=r"train\.jsonl:1: completion is null"):
        preview(job, bench.provider)


def test_data_at_the_provider_is_named_by_its_id_and_not_counted(bench: Bench) -> None:
    seen = preview(bench.write_job(training_file="file-abc", validation_file=None), bench.provider)
    assert (seen.training, seen.estimate) == (None, None)
    assert seen.request.training_file == "file-abc"
    assert seen.uploads == {}


@pytest.mark.parametrize(
    ("metric", "told"),
    [
        ({"python": "no_such.py:score"}, r"no_such\.py: the file cannot be read: No such file"),
        ({"python": "check.py:scare"}, r"there is no function `scare`"),
        ({"json_schema": "none.json"}, r"none\.json: the schema cannot be read"),
    ],
)
def test_a_metric_that_cannot_be_measured_is_told_before_anything_is_trained(
    bench: Bench, metric: dict[str, str], told: str
) -> None:
    (bench.folder / "check.py").write_text("def score(*_):\n    return 1\n")
    job = bench.write_job(evaluate={"metrics": ["accuracy", metric]})
    with pytest.raises(ScoringError, match=told):
        preview(job, bench.provider)
    with pytest.raises(ScoringError, match=told):
        bench.run(job)
    assert list(bench.provider.list_files()) == []


def test_rows_to_evaluate_on_that_leak_are_told_ahead(bench: Bench) -> None:
    job = bench.write_job(evaluate={"file": "train.jsonl"})
    with pytest.raises(DatasetError, match=r"leak: 12 rows of train\.jsonl are training rows"):
        preview(job, bench.provider)
