"""The key of a run: the same for the same job."""

import re
from pathlib import Path

from ftops.runs.open_run import make_key, make_run_id
from ftops.spec.job_file import load_job
from ftops.stage_results import make_remote_name
from tests.fakes import FakeClock
from tests.runs.bench import write_job, write_rows


def test_the_key_stays_the_same_for_the_same_job(tmp_path: Path) -> None:
    key = make_key(write_job(tmp_path), "openai:acme")
    assert make_key(write_job(tmp_path), "openai:acme") == key
    assert re.fullmatch("[0-9a-f]{64}", key)


def test_the_default_protocol_is_the_same_job(tmp_path: Path) -> None:
    spelled_out = write_job(tmp_path, provider={"type": "fake", "protocol": "current"})
    assert make_key(spelled_out, "a") == make_key(write_job(tmp_path), "a")


def test_limits_and_evaluation_do_not_change_the_key(tmp_path: Path) -> None:
    plain = make_key(write_job(tmp_path), "a")
    assert make_key(write_job(tmp_path, limits={"max_cost_usd": 1}), "a") == plain
    assert make_key(write_job(tmp_path, evaluate={"max_rows": 3}), "a") == plain


def test_model_account_and_every_byte_of_the_data_change_the_key(tmp_path: Path) -> None:
    keys = {
        make_key(write_job(tmp_path), "a"),
        make_key(write_job(tmp_path), "b"),
        make_key(write_job(tmp_path, model="babbage"), "a"),
        make_key(write_job(tmp_path, seed=1), "a"),
        make_key(write_job(tmp_path, training_file="file-abc"), "a"),
        make_key(write_job(tmp_path, validation_file=None), "a"),
        make_key(write_job(tmp_path, provider={"type": "fake", "protocol": "legacy"}), "a"),
    }
    job = write_job(tmp_path)
    write_rows(tmp_path / "validation.jsonl", [("other", " 1")])
    keys.add(make_key(job, "a"))
    assert len(keys) == 8


def test_path_and_name_of_the_data_do_not_change_the_key(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    key = make_key(write_job(source), "a")
    source.rename(target)
    assert make_key(load_job(target / "job.yaml", environ={}), "a") == key
    moved = write_job(target, training_file="data/1.jsonl", validation_file=str(target / "2.jsonl"))
    (target / "data").mkdir()
    (target / "train.jsonl").rename(target / "data" / "1.jsonl")
    (target / "validation.jsonl").rename(target / "2.jsonl")
    assert make_key(moved, "a") == key


def test_swapped_training_and_validation_data_are_another_job(tmp_path: Path) -> None:
    straight = make_key(write_job(tmp_path), "a")
    crossed = write_job(tmp_path, training_file="validation.jsonl", validation_file="train.jsonl")
    assert make_key(crossed, "a") != straight


def test_run_ids_sort_by_time_and_are_readable() -> None:
    run_id = make_run_id(FakeClock().now())
    assert re.fullmatch(r"run-20261122-1200-[a-hjkmnp-z2-9]{4}", run_id)
    assert len({make_run_id(FakeClock().now()) for _ in range(50)}) > 45


def test_remote_names_contain_the_content_hash() -> None:
    assert make_remote_name("0123456789abcdef" * 4, "train") == "ftops-0123456789abcdef-train.jsonl"
