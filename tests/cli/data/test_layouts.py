"""Layouts of other tools through the commands: said, read, kept in plans and job files."""

import json
from pathlib import Path

import pytest

from ftops.records import Json
from tests.cli.running import ftops

RIVERS: list[dict[str, Json]] = [
    {"instruction": f"Name river {n}.", "input": "In one word." if n % 2 else "", "output": f"R{n}"}
    for n in range(20)
]
SAID = "Alpaca rows: prompt = instruction + input, completion = output"


def write(path: Path, rows: list[dict[str, Json]]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def read(path: Path) -> list[dict[str, Json]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_check_says_how_rows_are_read_and_with_which_options(tmp_path: Path) -> None:
    path = tmp_path / "rivers.json"
    path.write_text(json.dumps(RIVERS))
    answer = ftops("data", "check", path)
    assert answer.code == 0, answer.err
    assert SAID in answer.out
    assert "--layout alpaca or --prompt '{instruction}\\n{input}' --completion output" in answer.out
    assert "preferred_output" not in answer.out


def test_a_plan_of_prepare_keeps_the_layout_and_takes_what_it_has_made(tmp_path: Path) -> None:
    path, out = write(tmp_path / "a.jsonl", RIVERS), tmp_path / "out.jsonl"
    assert ftops("data", "prepare", path, "-o", out, "--yes").code == 0
    plan = tmp_path / "out.jsonl.plan.yaml"
    assert 'layout: "alpaca"' in plan.read_text()
    for number, source in enumerate((path, out)):
        again = tmp_path / f"again{number}.jsonl"
        answer = ftops("data", "prepare", source, "-o", again, "--plan", plan)
        assert answer.code == 0, answer.err
        assert read(again) == read(out)


def test_convert_says_the_layout_and_writes_rows_of_any_shape(tmp_path: Path) -> None:
    path, out = write(tmp_path / "a.jsonl", RIVERS), tmp_path / "out.jsonl"
    answer = ftops("data", "convert", path, "-o", out)
    assert answer.code == 0, answer.err
    assert SAID in answer.err
    assert read(out)[1] == {"prompt": "Name river 1.\nIn one word.", "completion": "R1"}
    assert ftops("data", "convert", path, "-o", out, "--to", "chat", "--force").code == 0
    assert list(read(out)[0]) == ["messages"]


def test_init_writes_a_job_file_that_says_the_layout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("rivers.jsonl"), RIVERS)
    answer = ftops("init", "rivers.jsonl")
    assert answer.code == 0, answer.err
    assert SAID in answer.err
    job = Path("rivers.yaml").read_text()
    assert "layout: alpaca" in job
    checked = ftops("run", "rivers.yaml", "--dry-run")
    assert checked.code == 0, checked.err
    # a job file that does not say it says what to add
    Path("rivers.yaml").write_text(job.replace("layout: alpaca", "separator: ' ->'"))
    refused = ftops("check", "rivers.yaml")
    assert refused.code == 1
    assert "(instruction, output, input)" in refused.err
    assert "prepare: {layout: alpaca}" in refused.err


def test_init_asks_for_dpo_where_rows_are_preferences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows: list[dict[str, Json]] = [
        {"prompt": f"Name river {n}.", "chosen": f"R{n}", "rejected": "Ask me later."}
        for n in range(20)
    ]
    write(Path("better.jsonl"), rows)
    answer = ftops("init", "better.jsonl")
    assert answer.code == 0, answer.err
    assert "method: dpo" in Path("better.yaml").read_text()
    checked = ftops("check", "better.yaml")
    assert checked.code == 0, checked.err


@pytest.mark.parametrize("command", ["check", "prepare", "stats", "preview", "split", "sample"])
def test_every_command_for_data_reads_the_same_rows(tmp_path: Path, command: str) -> None:
    path = write(tmp_path / "a.jsonl", RIVERS)
    answer = ftops("data", command, path)
    assert answer.code == 0, answer.err
    assert "Alpaca rows" in answer.out + answer.err


def test_rows_of_a_layout_are_split_by_a_column_beside_it(tmp_path: Path) -> None:
    rows = [{**row, "sea": f"sea {n // 2}"} for n, row in enumerate(RIVERS)]
    path = write(tmp_path / "a.jsonl", rows)
    for layout in ((), ("--layout", "alpaca")):
        answer = ftops("data", "split", path, "--group", "sea", "--force", *layout)
        assert answer.code == 0, answer.err
        assert "Alpaca rows" in answer.err


def test_check_leads_to_no_prepare_that_cannot_help(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"river": f"R{n}", "sea": "north"} for n in range(20)])
    checked = ftops("data", "check", path)
    assert checked.code == 1
    assert "'river', 'sea'" in checked.out
    assert "--prompt '{river}' --completion sea" in checked.out
    assert "data prepare" not in checked.out
    prepared = ftops("data", "prepare", path, "-o", tmp_path / "out.jsonl", "--yes")
    assert prepared.code == 1
    assert "'river', 'sea'" in prepared.err
    assert "--prompt '{river}' --completion sea" in prepared.err
    assert "--prompt '{river}' --completion sea" in ftops("init", path).err
    assert "--skip" not in prepared.err
    assert not (tmp_path / "out.jsonl").exists()


def test_check_leads_to_prepare_where_a_fix_makes_rows_usable(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = [f"{{'prompt': 'a{n}', 'completion': 'b{n}',}}\n" for n in range(20)]
    path.write_text("".join(lines))
    assert "data prepare" in ftops("data", "check", path).out
    path.write_text("".join(line.replace("'}", "") for line in lines)[:-3])
    out = tmp_path / "out.jsonl"
    assert ftops("data", "prepare", path, "-o", out, "--yes").code == 0


def test_prepare_speaks_of_skip_where_a_fix_left_no_row(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"prompt": "a" * 9, "completion": "b"}] * 3)
    answer = ftops("data", "prepare", path, "-o", tmp_path / "o.jsonl", "--max-characters", "5",
                   "--yes")  # fmt: skip
    assert answer.code == 1
    assert "no row is left" in answer.err
    assert "--skip drop-long-rows" in answer.err
