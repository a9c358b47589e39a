"""Layouts of other tools in the commands: shown, read, and stored in plans and job files."""

import json
from pathlib import Path

import pytest

from ftops.records import Json
from tests.cli.running import ftops

RIVERS: list[dict[str, Json]] = [
    {"instruction": f"Name river {n}.", "input": "In one word." if n % 2 else "", "output": f"R{n}"}
    for n in range(20)
]
DESCRIPTION = "Alpaca rows: prompt = instruction + input, completion = output"


def write(path: Path, rows: list[dict[str, Json]]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def read(path: Path) -> list[dict[str, Json]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_check_shows_the_layout_and_its_options(tmp_path: Path) -> None:
    path = tmp_path / "rivers.json"
    path.write_text(json.dumps(RIVERS))
    result = ftops("data", "check", path)
    assert result.code == 0, result.err
    assert DESCRIPTION in result.out
    assert "--layout alpaca or --prompt '{instruction}\\n{input}' --completion output" in result.out
    assert "preferred_output" not in result.out


def test_a_plan_has_the_layout_and_accepts_its_own_output(tmp_path: Path) -> None:
    path, out = write(tmp_path / "a.jsonl", RIVERS), tmp_path / "out.jsonl"
    assert ftops("data", "prepare", path, "-o", out, "--yes").code == 0
    plan = tmp_path / "out.jsonl.plan.yaml"
    assert 'layout: "alpaca"' in plan.read_text()
    for number, source in enumerate((path, out)):
        target = tmp_path / f"again{number}.jsonl"
        result = ftops("data", "prepare", source, "-o", target, "--plan", plan)
        assert result.code == 0, result.err
        assert read(target) == read(out)


def test_convert_shows_the_layout_and_writes_rows_of_any_format(tmp_path: Path) -> None:
    path, out = write(tmp_path / "a.jsonl", RIVERS), tmp_path / "out.jsonl"
    result = ftops("data", "convert", path, "-o", out)
    assert result.code == 0, result.err
    assert DESCRIPTION in result.err
    assert read(out)[1] == {"prompt": "Name river 1.\nIn one word.", "completion": "R1"}
    assert ftops("data", "convert", path, "-o", out, "--to", "chat", "--force").code == 0
    assert list(read(out)[0]) == ["messages"]


def test_init_writes_a_job_file_with_the_layout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("rivers.jsonl"), RIVERS)
    result = ftops("init", "rivers.jsonl")
    assert result.code == 0, result.err
    assert DESCRIPTION in result.err
    job = Path("rivers.yaml").read_text()
    assert "layout: alpaca" in job
    checked = ftops("run", "rivers.yaml", "--dry-run")
    assert checked.code == 0, checked.err
    # the error about a job file without the layout suggests it
    Path("rivers.yaml").write_text(job.replace("layout: alpaca", "separator: ' ->'"))
    refused = ftops("check", "rivers.yaml")
    assert refused.code == 1
    assert "(instruction, output, input)" in refused.err
    assert "prepare: {layout: alpaca}" in refused.err


def test_init_chooses_dpo_for_preference_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows: list[dict[str, Json]] = [
        {"prompt": f"Name river {n}.", "chosen": f"R{n}", "rejected": "Ask me later."}
        for n in range(20)
    ]
    write(Path("better.jsonl"), rows)
    result = ftops("init", "better.jsonl")
    assert result.code == 0, result.err
    assert "method: dpo" in Path("better.yaml").read_text()
    checked = ftops("check", "better.yaml")
    assert checked.code == 0, checked.err


@pytest.mark.parametrize("command", ["check", "prepare", "stats", "preview", "split", "sample"])
def test_every_command_for_data_reads_the_same_rows(tmp_path: Path, command: str) -> None:
    path = write(tmp_path / "a.jsonl", RIVERS)
    result = ftops("data", command, path)
    assert result.code == 0, result.err
    assert "Alpaca rows" in result.out + result.err


def test_rows_of_a_layout_are_split_by_another_column(tmp_path: Path) -> None:
    rows = [{**row, "sea": f"sea {n // 2}"} for n, row in enumerate(RIVERS)]
    path = write(tmp_path / "a.jsonl", rows)
    for layout in ((), ("--layout", "alpaca")):
        result = ftops("data", "split", path, "--group", "sea", "--force", *layout)
        assert result.code == 0, result.err
        assert "Alpaca rows" in result.err


def test_check_does_not_suggest_prepare_if_no_fix_helps(tmp_path: Path) -> None:
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


def test_check_suggests_prepare_if_a_fix_makes_rows_usable(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = [f"{{'prompt': 'a{n}', 'completion': 'b{n}',}}\n" for n in range(20)]
    path.write_text("".join(lines))
    assert "data prepare" in ftops("data", "check", path).out
    path.write_text("".join(line.replace("'}", "") for line in lines)[:-3])
    out = tmp_path / "out.jsonl"
    assert ftops("data", "prepare", path, "-o", out, "--yes").code == 0


def test_prepare_suggests_skip_if_a_fix_drops_every_row(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"prompt": "a" * 9, "completion": "b"}] * 3)
    result = ftops("data", "prepare", path, "-o", tmp_path / "o.jsonl", "--max-characters", "5",
                   "--yes")  # fmt: skip
    assert result.code == 1
    assert "no row is left" in result.err
    assert "--skip drop-long-rows" in result.err
