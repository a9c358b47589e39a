"""The key of a run: the same for the same job, whoever looks and whenever."""

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


def test_the_usual_protocol_spelled_out_is_the_same_job(tmp_path: Path) -> None:
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


def test_where_the_data_lies_and_what_it_is_called_do_not_change_the_key(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    key = make_key(write_job(here), "a")
    here.rename(there)
    assert make_key(load_job(there / "job.yaml", environ={}), "a") == key
    moved = write_job(there, training_file="data/1.jsonl", validation_file=str(there / "2.jsonl"))
    (there / "data").mkdir()
    (there / "train.jsonl").rename(there / "data" / "1.jsonl")
    (there / "validation.jsonl").rename(there / "2.jsonl")
    assert make_key(moved, "a") == key


def test_training_and_validation_exchanged_are_another_job(tmp_path: Path) -> None:
    straight = make_key(write_job(tmp_path), "a")
    crossed = write_job(tmp_path, training_file="validation.jsonl", validation_file="train.jsonl")
    assert make_key(crossed, "a") != straight


def test_run_ids_sort_by_time_and_can_be_read_aloud() -> None:
    run_id = make_run_id(FakeClock().now())
    assert re.fullmatch(r"run-20261122-1200-[a-hjkmnp-z2-9]{4}", run_id)
    assert len({make_run_id(FakeClock().now()) for _ in range(50)}) > 45


def test_remote_names_carry_the_content() -> None:
    assert make_remote_name("0123456789abcdef" * 4, "train") == "ftops-0123456789abcdef-train.jsonl"
