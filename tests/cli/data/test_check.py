"""`ftops data`: what users see of the workbench."""

import json
from pathlib import Path

import pytest

from tests.cli.running import ftops, write_rows


@pytest.fixture(autouse=True)
def nothing_is_written(temporary_home: Path) -> object:
    yield
    assert not temporary_home.exists()


def write_bad(path: Path) -> Path:
    write_rows(path, 300)
    with path.open("a") as stream:
        stream.write('{"prompt": "a", "completion": null}\n')
    return path


def test_check_tells_what_was_inferred_found_and_what_to_do(tmp_path: Path) -> None:
    answer = ftops("data", "check", write_bad(tmp_path / "rows.data"))
    assert answer.code == 1
    assert "read as    format jsonl" in answer.out
    assert "classification, 3 classes" in answer.out
    assert "error   null-value  1 row: completion is null" in answer.out
    assert "line 301" in answer.out
    assert "do: Fill in the value, or drop the row." in answer.out
    assert "Not usable: 1 error" in answer.out


def test_check_as_json_and_quiet(tmp_path: Path) -> None:
    path = write_bad(tmp_path / "rows.jsonl")
    answer = ftops("data", "check", path, "--json")
    assert answer.code == 1
    document = answer.document
    assert document["ok"] is False
    (file,) = json.loads(answer.out)["files"]
    assert file["rows"] == 300
    assert file["findings"][0]["code"] == "null-value"
    quiet = ftops("data", "check", path, "--quiet").out
    assert f"{path}: null-value" in quiet


def test_warnings_fail_with_strict_only(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", 300)
    assert ftops("data", "check", path).code == 0
    assert ftops("data", "check", path, "--strict").code == 1


def test_standard_input_and_templates(tmp_path: Path) -> None:
    table = "sentence,label\n" + "".join(f"row {n},{n % 3}\n" for n in range(300))
    answer = ftops(
        "data", "check", "-", "--prompt", "{sentence} ->", "--completion", "label", stdin=table
    )
    assert answer.code == 0
    assert "standard input" in answer.out
    assert "separator  ' ->'" in answer.out
    wrong = ftops("data", "check", "-", "--prompt", "sentense", stdin=table)
    assert wrong.code == 1
    assert "Did you mean 'sentence'?" in wrong.err


def test_validation_data_without_a_class_is_told(tmp_path: Path) -> None:
    training = write_rows(tmp_path / "train.jsonl", 300)
    held_out = tmp_path / "validation.jsonl"
    rows = [line for line in training.read_text().splitlines() if '" 2"' not in line]
    held_out.write_text("\n".join(rows[:60]))
    answer = ftops("data", "check", training, "--validation", held_out)
    assert "class-not-in-validation" in answer.out
    assert "' 2'" in answer.out


def test_validation_data_need_not_be_enough_to_train_on(tmp_path: Path) -> None:
    training = write_rows(tmp_path / "train.jsonl", 600)
    held_out = write_rows(tmp_path / "validation.jsonl", 60)
    assert "few-rows" in ftops("data", "check", held_out).out
    answer = ftops("data", "check", training, "--validation", held_out)
    assert "few-rows" not in answer.out
    assert "small-class" not in answer.out


def test_the_provider_decides_how_many_rows_are_enough(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", 5)
    assert ftops("data", "check", path, "--for", "openai").code == 1
    assert ftops("data", "check", path, "--for", "local/ada").code == 0
    unknown = ftops("data", "check", path, "--for", "lokal/ada")
    assert unknown.code == 2
    assert "unknown provider 'lokal'" in unknown.err


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--format", "word"), "unknown format 'word'"),
        (("--task", "poetry"), "unknown task"),
        (("--encoding", "latin"), ""),
        (("--sheet", "x"), ""),
    ],
)
def test_wrong_flags_are_known_errors(tmp_path: Path, flags: tuple[str, ...], reason: str) -> None:
    answer = ftops("data", "check", write_rows(tmp_path / "rows.jsonl", 300), *flags)
    assert answer.code in (0, 1, 2)
    assert reason in answer.err
    assert "Traceback" not in answer.err


def test_a_sarif_report_names_file_line_and_rule(tmp_path: Path) -> None:
    report = tmp_path / "report.sarif"
    path = write_bad(tmp_path / "rows.jsonl")
    assert ftops("data", "check", path, "--sarif", report).code == 1
    (run,) = json.loads(report.read_text())["runs"]
    assert "null-value" in [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    first = run["results"][0]
    assert (first["ruleId"], first["level"]) == ("null-value", "error")
    place = first["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"].endswith("rows.jsonl")
    assert place["region"]["startLine"] == 301


def test_private_and_near_are_looked_for_when_asked(tmp_path: Path) -> None:
    training, held_out = tmp_path / "train.jsonl", tmp_path / "held.jsonl"
    text = "The committee met on Thursday to talk about the opening hours of the library"
    training.write_text(json.dumps({"prompt": text, "completion": "ask jo.doe@firma.de"}) + "\n")
    held_out.write_text(json.dumps({"prompt": f"{text}!", "completion": "no"}) + "\n")
    asked = ("data", "check", training, "--validation", held_out, "--json")
    plain = ftops(*asked).out
    assert "email-address" not in plain
    assert "leaked-near-duplicates" not in plain
    files = json.loads(ftops(*asked, "--pii", "--near-duplicates").out)["files"]
    codes = [{one["code"] for one in file["findings"]} for file in files]
    assert "email-address" in codes[0]
    assert "leaked-near-duplicates" in codes[1]


def test_words_of_a_list_are_looked_for(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", 12)
    (tmp_path / "words.txt").write_text("# language: en\nrow 3\nro\n")
    (tmp_path / "empty.txt").write_text("")
    found = ftops("data", "check", rows, "--word-list", tmp_path / "words.txt")
    assert found.code == 0
    assert "warning listed-words  1 row: en 1 (line 4)" in found.out
    strict = ftops("data", "check", rows, "--word-list", tmp_path / "words.txt", "--strict")
    assert strict.code == 1
    refused = ftops("data", "check", rows, "--word-list", tmp_path / "empty.txt")
    assert refused.code == 1
    assert "next: Write one a line." in refused.err
