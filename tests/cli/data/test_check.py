"""`ftops data check`."""

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


def test_check_shows_inferred_settings_findings_and_advice(tmp_path: Path) -> None:
    result = ftops("data", "check", write_bad(tmp_path / "rows.data"))
    assert result.code == 1
    assert "read as    format jsonl" in result.out
    assert "classification, 3 classes" in result.out
    assert "error   null-value  1 row: completion is null" in result.out
    assert "line 301" in result.out
    assert "do: Fill in the value, or drop the row." in result.out
    assert "Not usable: 1 error" in result.out


def test_check_as_json_and_quiet(tmp_path: Path) -> None:
    path = write_bad(tmp_path / "rows.jsonl")
    result = ftops("data", "check", path, "--json")
    assert result.code == 1
    document = result.document
    assert document["ok"] is False
    (file,) = json.loads(result.out)["files"]
    assert file["rows"] == 300
    assert file["findings"][0]["code"] == "null-value"
    quiet = ftops("data", "check", path, "--quiet").out
    assert f"{path}: null-value" in quiet


def test_warnings_fail_only_with_strict(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", 300)
    assert ftops("data", "check", path).code == 0
    assert ftops("data", "check", path, "--strict").code == 1


def test_standard_input_is_read_with_templates(tmp_path: Path) -> None:
    table = "sentence,label\n" + "".join(f"row {n},{n % 3}\n" for n in range(300))
    result = ftops(
        "data", "check", "-", "--prompt", "{sentence} ->", "--completion", "label", stdin=table
    )
    assert result.code == 0
    assert "standard input" in result.out
    assert "separator  ' ->'" in result.out
    wrong = ftops("data", "check", "-", "--prompt", "sentense", stdin=table)
    assert wrong.code == 1
    assert "Did you mean 'sentence'?" in wrong.err


def test_validation_data_without_a_class_is_reported(tmp_path: Path) -> None:
    training = write_rows(tmp_path / "train.jsonl", 300)
    held_out = tmp_path / "validation.jsonl"
    rows = [line for line in training.read_text().splitlines() if '" 2"' not in line]
    held_out.write_text("\n".join(rows[:60]))
    result = ftops("data", "check", training, "--validation", held_out)
    assert "class-not-in-validation" in result.out
    assert "' 2'" in result.out


def test_validation_data_may_have_few_rows(tmp_path: Path) -> None:
    training = write_rows(tmp_path / "train.jsonl", 600)
    held_out = write_rows(tmp_path / "validation.jsonl", 60)
    assert "few-rows" in ftops("data", "check", held_out).out
    result = ftops("data", "check", training, "--validation", held_out)
    assert "few-rows" not in result.out
    assert "small-class" not in result.out


def test_the_minimum_of_rows_depends_on_the_provider(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", 5)
    assert ftops("data", "check", path, "--for", "openai").code == 1
    assert ftops("data", "check", path, "--for", "local/ada").code == 0
    unknown = ftops("data", "check", path, "--for", "lokal/ada")
    assert unknown.code == 2
    assert "unknown provider 'lokal'" in unknown.err


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--format", "word"), "unknown format 'word'"),
        (("--task", "poetry"), "unknown task"),
        (("--encoding", "latin"), ""),
        (("--sheet", "x"), ""),
    ],
)
def test_invalid_options_are_known_errors(
    tmp_path: Path, options: tuple[str, ...], reason: str
) -> None:
    result = ftops("data", "check", write_rows(tmp_path / "rows.jsonl", 300), *options)
    assert result.code in (0, 1, 2)
    assert reason in result.err
    assert "Traceback" not in result.err


def test_a_sarif_report_has_file_line_and_rule(tmp_path: Path) -> None:
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


def test_private_data_and_near_duplicates_are_searched_on_request(tmp_path: Path) -> None:
    training, held_out = tmp_path / "train.jsonl", tmp_path / "held.jsonl"
    text = "The committee met on Thursday to talk about the opening hours of the library"
    training.write_text(json.dumps({"prompt": text, "completion": "ask jo.doe@firma.de"}) + "\n")
    held_out.write_text(json.dumps({"prompt": f"{text}!", "completion": "no"}) + "\n")
    arguments = ("data", "check", training, "--validation", held_out, "--json")
    plain = ftops(*arguments).out
    assert "email-address" not in plain
    assert "leaked-near-duplicates" not in plain
    files = json.loads(ftops(*arguments, "--pii", "--near-duplicates").out)["files"]
    codes = [{finding["code"] for finding in file["findings"]} for file in files]
    assert "email-address" in codes[0]
    assert "leaked-near-duplicates" in codes[1]


def test_words_of_a_list_are_searched(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", 12)
    (tmp_path / "words.txt").write_text("# language: en\nrow 3\nro\n")
    (tmp_path / "empty.txt").write_text("")
    result = ftops("data", "check", rows, "--word-list", tmp_path / "words.txt")
    assert result.code == 0
    assert "warning listed-words  1 row: en 1 (line 4)" in result.out
    strict = ftops("data", "check", rows, "--word-list", tmp_path / "words.txt", "--strict")
    assert strict.code == 1
    refused = ftops("data", "check", rows, "--word-list", tmp_path / "empty.txt")
    assert refused.code == 1
    assert "next: Write one a line." in refused.err
