"""`ftops promptfoo` as a command: files whole or not at all, and each thing left out is told."""

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


def test_import_writes_rows_and_section_and_tells_what_was_left(tmp_path: Path) -> None:
    answer = ftops("promptfoo", "import", write(tmp_path), "-o", tmp_path / "out", "--json")
    assert answer.code == 0
    assert answer.document["rows"] == 1
    assert answer.document["evaluate"] == {
        "file": "rows.jsonl",
        "against": [{"model": "gpt-4.1"}],
        "metrics": ["accuracy"],
    }
    assert "promptfooconfig.yaml:2: the provider 'anthropic:x'" in answer.err
    assert "promptfooconfig.yaml:5: an assertion 'python': foreign code is not run" in answer.err
    left = answer.document["not_converted"]
    assert isinstance(left, list)
    assert [one["line"] for one in left if isinstance(one, dict)] == [2, 5]
    assert (tmp_path / "out" / "rows.jsonl").read_text() == (
        '{"prompt": "Capital of France?", "completion": "Paris"}\n'
    )
    assert "evaluate:\n  file:" in (tmp_path / "out" / "evaluate.yaml").read_text()


def test_files_that_are_there_are_overwritten_by_force_alone(tmp_path: Path) -> None:
    config = write(tmp_path)
    (tmp_path / "evaluate.yaml").write_text("mine\n")
    refused = ftops("promptfoo", "import", config, "-o", tmp_path)
    assert refused.code == 1
    assert "exists already" in refused.err
    assert not (tmp_path / "rows.jsonl").exists()
    assert (tmp_path / "evaluate.yaml").read_text() == "mine\n"
    assert ftops("promptfoo", "import", config, "-o", tmp_path, "--force").code == 0
    assert (tmp_path / "evaluate.yaml").read_text() != "mine\n"


def test_a_configuration_that_is_not_there_is_told_without_a_trace(tmp_path: Path) -> None:
    answer = ftops("promptfoo", "import", tmp_path / "gone.yaml", "-o", tmp_path)
    assert answer.code == 1
    assert "there is no such file" in answer.err
    assert ftops("promptfoo", "export", "nobody", "-o", tmp_path).code == 1


def test_a_file_where_a_folder_is_meant_is_a_usage_error(tmp_path: Path) -> None:
    config = write(tmp_path)
    answer = ftops("promptfoo", "import", config, "-o", tmp_path / "job.yaml")
    assert answer.code == 2
    assert "names a folder" in answer.err
    assert not (tmp_path / "job.yaml").exists()
