"""Each data command suggests the next one, and the suggested command works."""

import json
import shlex
from pathlib import Path

import pytest

from tests.cli.running import CommandResult, ftops

LABELS = ("in order", "part of it", "mother")
MAIL = "jo.doe@firma.de"


def list_next_commands(result: CommandResult) -> list[list[str]]:
    """The suggested commands at the end of an output, without `ftops`."""
    assert result.code == 0, result.err
    lines = result.out.partition("\nNext\n")[2].splitlines()
    return [shlex.split(line)[1:] for line in lines]


def write_table(path: Path, extra: str = "") -> Path:
    """Questions with labels of several tokens."""
    rows = [f"{n}; is it so{extra}?;{LABELS[n % 3]}" for n in range(400)]
    path.write_text("number;question;answer\n" + "\n".join(rows) + "\n")
    return path


def test_the_suggestions_lead_from_a_table_to_a_job_with_its_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_table(Path("sentences.csv"))
    columns = ("--delimiter", ";", "--prompt", "{number}: {question}", "--completion", "answer")
    (prepare,) = list_next_commands(ftops("data", "check", "sentences.csv", *columns))
    assert prepare[:3] == ["data", "prepare", "sentences.csv"]
    split, init = list_next_commands(ftops(*prepare, "--yes"))
    assert init == ["init", "sentences.prepared.jsonl"]
    baseline, init = list_next_commands(ftops(*split))
    assert list_next_commands(ftops(*baseline)) == [init]
    result = ftops(*init)
    assert result.code == 0, result.err
    job = result.out.split()[-1]
    text = Path(job).read_text()
    assert "validation_file: sentences.prepared_validation.jsonl" in text
    assert "plan: sentences.prepared.jsonl.plan.yaml" in text
    checked = ftops("check", job)
    assert checked.code == 0, checked.err
    # the prepared rows need no further fix
    next_commands = list_next_commands(ftops("data", "check", "sentences.prepared_train.jsonl"))
    assert [words[:2] for words in next_commands] == [
        ["data", "split"], ["init", "sentences.prepared_train.jsonl"]
    ]  # fmt: skip


def test_private_data_leads_to_the_fix_that_redacts_it(tmp_path: Path) -> None:
    rows = [
        {"prompt": f"{n}, {MAIL}\n\n###\n\n", "completion": f" {chr(97 + n % 26)} is {n} END"}
        for n in range(300)
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (prepare,) = list_next_commands(ftops("data", "check", path, "--pii"))
    assert prepare[-1] == "--pii"
    assert ftops(*prepare, "--yes").code == 0
    assert MAIL not in (tmp_path / "rows.prepared.jsonl").read_text()


def test_nothing_is_suggested_for_data_that_cannot_be_fixed_or_read_again(tmp_path: Path) -> None:
    path = tmp_path / "few.jsonl"
    path.write_text('{"prompt": "a ->", "completion": " b END"}\n')
    result = ftops("data", "check", path)
    assert (result.code, "\nNext\n" in result.out) == (1, False)
    result = ftops("data", "check", "-", stdin=path.read_bytes() * 20)
    assert "\nNext\n" not in result.out


def test_a_bad_validation_file_gets_no_job_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "a ->", "completion": " b END"}\n')
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"prompt": "a"}\n')
    result = ftops("init", path, "--validation", bad, "-o", tmp_path / "job.yaml")
    assert result.code == 1
    assert "bad.jsonl:1: completion is missing" in result.err
    assert not (tmp_path / "job.yaml").exists()
