"""`ftops data preview`."""

import json
from pathlib import Path

import pytest

from ftops.cli.data.preview import PreviewStyle, render_segment
from ftops.data.preview import PreviewSegment
from tests.cli.running import ftops, write_job
from tests.data.data_files import chat, pair, write_rows


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = [pair(f"question {n}\nof many ->", f" answer {n}\n") for n in range(12)]
    return write_rows(tmp_path / "rows.jsonl", rows)


def test_roles_separators_and_trained_text_are_shown_without_colour(data: Path) -> None:
    result = ftops("data", "preview", data, "--rows", "1")
    assert result.code == 0, result.err
    assert "separator  ' ->'" in result.out
    read_line, trained_line = (line.split() for line in result.out.splitlines()[-2:])
    assert read_line[:2] == ["read", "prompt"]
    assert " ".join(read_line[3:]) == "question 0⏎of many⟦·->⟧"
    assert trained_line[:2] == ["learn", "completion"]
    assert " ".join(trained_line[3:]) == "·answer 0⟦⏎⟧"


def test_a_single_line_can_be_shown(data: Path) -> None:
    result = ftops("data", "preview", data, "--line", "7", "--quiet")
    assert [row.split()[0] for row in result.out.splitlines()] == ["7"]
    assert ftops("data", "preview", data, "--line", "70").code == 1


def test_pairs_are_shown_as_chats_for_a_chat_model(data: Path) -> None:
    result = ftops("data", "preview", data, "--for", "openai/gpt-4o-mini", "--json")
    segments = json.loads(result.out)["rows"][0]["segments"]
    assert [(segment["role"], segment["text"]) for segment in segments] == [
        ("user", "question 0\nof many"),
        ("assistant", "answer 0"),
    ]
    assert result.document["as"] == "as chats, which the model wants"


def test_messages_that_are_not_trained_are_marked_as_read(tmp_path: Path) -> None:
    row = chat("question", "no", "question", "yes")
    row["messages"][1] = {"role": "assistant", "content": "no", "weight": 0}  # type: ignore[index]
    result = ftops("data", "preview", write_rows(tmp_path / "chats.jsonl", [row]))
    shown = [line.split()[:2] for line in result.out.splitlines()[-4:]]
    assert shown == [["read", "user"], ["read", "assistant"], ["read", "user"],
                     ["learn", "assistant"]]  # fmt: skip


def test_the_rows_of_a_job_file_are_shown_prepared(tmp_path: Path) -> None:
    job = write_job(tmp_path, 'prepare: {separator: " =>", stop: " END"}\n')
    result = ftops("data", "preview", job, "--rows", "2")
    assert result.code == 0, result.err
    assert "row 0⟦·=>⟧" in result.out
    assert "·0⟦·END⟧" in result.out
    assert "local/ada" in result.out


def test_a_job_with_uploaded_data_cannot_be_shown(tmp_path: Path) -> None:
    job = write_job(tmp_path)
    job.write_text(job.read_text().replace("train.jsonl", "file-abc123"))
    result = ftops("data", "preview", job)
    assert result.code == 1
    assert "lies at the provider" in result.err


def test_without_a_vocabulary_tokens_are_not_separated_and_a_warning_is_printed(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "none"))
    result = ftops("data", "preview", data, "--tokens", "--json")
    assert result.code == 0
    assert "vocabulary is not on this machine" in result.err
    assert json.loads(result.out)["tokens_error"] == 0.25


def test_tokens_are_separated_and_long_texts_truncated_by_default() -> None:
    segment = PreviewSegment("prompt", "a b", trained=False, tokens=2, parts=("a", " b"))
    assert render_segment(segment, PreviewStyle(tokens=True)).plain == "a|·b"
    long_segment = PreviewSegment("prompt", "x" * 5_000, trained=False, tokens=700)
    assert "4,400 characters" in render_segment(long_segment, PreviewStyle()).plain
    assert render_segment(long_segment, PreviewStyle(whole=True)).plain == "x" * 5_000


def test_control_characters_never_reach_a_terminal() -> None:
    segment = PreviewSegment("prompt", "\x1b[31m\r\t \u202e", trained=False, tokens=2)
    shown = render_segment(segment, PreviewStyle()).plain
    assert shown == "\\x1b[31m␍⇥ \\u202e"
