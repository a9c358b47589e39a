"""The workbench as a whole: each command names the next one, and that one works."""

import json
import shlex
from pathlib import Path

import pytest

from tests.cli.running import Answer, ftops

LABELS = ("in order", "part of it", "mother")
MAIL = "jo.doe@firma.de"


def next_of(answer: Answer) -> list[list[str]]:
    """The commands that an answer ends with, without `ftops`."""
    assert answer.code == 0, answer.err
    lines = answer.out.partition("\nNext\n")[2].splitlines()
    return [shlex.split(line)[1:] for line in lines]


def write_table(path: Path, extra: str = "") -> Path:
    """Questions with labels of several tokens."""
    rows = [f"{n}; is it so{extra}?;{LABELS[n % 3]}" for n in range(400)]
    path.write_text("number;question;answer\n" + "\n".join(rows) + "\n")
    return path


def test_the_commands_lead_from_a_table_to_a_job_that_knows_its_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_table(Path("sentences.csv"))
    columns = ("--delimiter", ";", "--prompt", "{number}: {question}", "--completion", "answer")
    (prepare,) = next_of(ftops("data", "check", "sentences.csv", *columns))
    assert prepare[:3] == ["data", "prepare", "sentences.csv"]
    split, init = next_of(ftops(*prepare, "--yes"))
    assert init == ["init", "sentences.prepared.jsonl"]
    baseline, init = next_of(ftops(*split))
    assert next_of(ftops(*baseline)) == [init]
    answer = ftops(*init)
    assert answer.code == 0, answer.err
    job = answer.out.split()[-1]
    text = Path(job).read_text()
    assert "validation_file: sentences.prepared_validation.jsonl" in text
    assert "plan: sentences.prepared.jsonl.plan.yaml" in text
    checked = ftops("check", job)
    assert checked.code == 0, checked.err
    # and what the plan made is good as it is
    after = next_of(ftops("data", "check", "sentences.prepared_train.jsonl"))
    assert [words[:2] for words in after] == [
        ["data", "split"], ["init", "sentences.prepared_train.jsonl"]
    ]  # fmt: skip


def test_what_is_private_leads_to_the_fix_that_takes_it_out(tmp_path: Path) -> None:
    rows = [
        {"prompt": f"{n}, {MAIL}\n\n###\n\n", "completion": f" {chr(97 + n % 26)} is {n} END"}
        for n in range(300)
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (prepare,) = next_of(ftops("data", "check", path, "--pii"))
    assert prepare[-1] == "--pii"
    assert ftops(*prepare, "--yes").code == 0
    assert MAIL not in (tmp_path / "rows.prepared.jsonl").read_text()


def test_nothing_is_proposed_for_data_that_nobody_can_mend_or_read_again(tmp_path: Path) -> None:
    path = tmp_path / "few.jsonl"
    path.write_text('{"prompt": "a ->", "completion": " b END"}\n')
    answer = ftops("data", "check", path)
    assert (answer.code, "\nNext\n" in answer.out) == (1, False)
    answer = ftops("data", "check", "-", stdin=path.read_bytes() * 20)
    assert "\nNext\n" not in answer.out


def test_a_validation_file_that_is_bad_gets_no_job_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "a ->", "completion": " b END"}\n')
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"prompt": "a"}\n')
    answer = ftops("init", path, "--validation", bad, "-o", tmp_path / "job.yaml")
    assert answer.code == 1
    assert "bad.jsonl:1: completion is missing" in answer.err
    assert not (tmp_path / "job.yaml").exists()
