"""`ftops promptfoo`: atomic output, and reports of everything that is skipped."""

from pathlib import Path

from tests.cli.running import ftops

CONFIG = """prompts: ['Capital of {{country}}?']
providers: [openai:gpt-4.1, anthropic:x]
tests:
  - vars: {country: France}
    assert: [{type: equals, value: Paris}, {type: python, value: 'True'}]
"""


def write(folder: Path) -> Path:
    path = folder / "promptfooconfig.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def test_import_writes_rows_and_section_and_reports_what_is_skipped(tmp_path: Path) -> None:
    result = ftops("promptfoo", "import", write(tmp_path), "-o", tmp_path / "out", "--json")
    assert result.code == 0
    assert result.document["rows"] == 1
    assert result.document["evaluate"] == {
        "file": "rows.jsonl",
        "against": [{"model": "gpt-4.1"}],
        "metrics": ["accuracy"],
    }
    assert "promptfooconfig.yaml:2: the provider 'anthropic:x'" in result.err
    assert "promptfooconfig.yaml:5: an assertion 'python': foreign code is not run" in result.err
    skipped = result.document["not_converted"]
    assert isinstance(skipped, list)
    assert [item["line"] for item in skipped if isinstance(item, dict)] == [2, 5]
    assert (tmp_path / "out" / "rows.jsonl").read_text() == (
        '{"prompt": "Capital of France?", "completion": "Paris"}\n'
    )
    assert "evaluate:\n  file:" in (tmp_path / "out" / "evaluate.yaml").read_text()


def test_existing_files_are_overwritten_only_with_force(tmp_path: Path) -> None:
    config = write(tmp_path)
    (tmp_path / "evaluate.yaml").write_text("mine\n")
    refused = ftops("promptfoo", "import", config, "-o", tmp_path)
    assert refused.code == 1
    assert "exists already" in refused.err
    assert not (tmp_path / "rows.jsonl").exists()
    assert (tmp_path / "evaluate.yaml").read_text() == "mine\n"
    assert ftops("promptfoo", "import", config, "-o", tmp_path, "--force").code == 0
    assert (tmp_path / "evaluate.yaml").read_text() != "mine\n"


def test_a_missing_configuration_is_reported(tmp_path: Path) -> None:
    result = ftops("promptfoo", "import", tmp_path / "gone.yaml", "-o", tmp_path)
    assert result.code == 1
    assert "there is no such file" in result.err
    assert ftops("promptfoo", "export", "nobody", "-o", tmp_path).code == 1


def test_a_file_in_place_of_a_folder_is_a_usage_error(tmp_path: Path) -> None:
    config = write(tmp_path)
    result = ftops("promptfoo", "import", config, "-o", tmp_path / "job.yaml")
    assert result.code == 2
    assert "names a folder" in result.err
    assert not (tmp_path / "job.yaml").exists()
