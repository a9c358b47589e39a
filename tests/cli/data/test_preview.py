"""`ftops data preview` as a user sees it."""

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


def test_roles_marks_and_what_is_learned_show_without_colour(data: Path) -> None:
    answer = ftops("data", "preview", data, "--rows", "1")
    assert answer.code == 0, answer.err
    assert "separator  ' ->'" in answer.out
    read, learn = (line.split() for line in answer.out.splitlines()[-2:])
    assert read[:2] == ["read", "prompt"]
    assert " ".join(read[3:]) == "question 0⏎of many⟦·->⟧"
    assert learn[:2] == ["learn", "completion"]
    assert " ".join(learn[3:]) == "·answer 0⟦⏎⟧"


def test_one_line_can_be_asked_for(data: Path) -> None:
    answer = ftops("data", "preview", data, "--line", "7", "--quiet")
    assert [row.split()[0] for row in answer.out.splitlines()] == ["7"]
    assert ftops("data", "preview", data, "--line", "70").code == 1


def test_pairs_are_shown_as_chats_to_a_model_that_wants_chats(data: Path) -> None:
    answer = ftops("data", "preview", data, "--for", "openai/gpt-4o-mini", "--json")
    pieces = json.loads(answer.out)["rows"][0]["segments"]
    assert [(piece["role"], piece["text"]) for piece in pieces] == [
        ("user", "question 0\nof many"),
        ("assistant", "answer 0"),
    ]
    assert answer.document["as"] == "as chats, which the model wants"


def test_messages_that_are_not_learned_are_read(tmp_path: Path) -> None:
    row = chat("question", "no", "question", "yes")
    row["messages"][1] = {"role": "assistant", "content": "no", "weight": 0}  # type: ignore[index]
    answer = ftops("data", "preview", write_rows(tmp_path / "chats.jsonl", [row]))
    shown = [line.split()[:2] for line in answer.out.splitlines()[-4:]]
    assert shown == [["read", "user"], ["read", "assistant"], ["read", "user"],
                     ["learn", "assistant"]]  # fmt: skip


def test_a_job_file_shows_what_its_preparing_makes_of_the_rows(tmp_path: Path) -> None:
    job = write_job(tmp_path, 'prepare: {separator: " =>", stop: " END"}\n')
    answer = ftops("data", "preview", job, "--rows", "2")
    assert answer.code == 0, answer.err
    assert "row 0⟦·=>⟧" in answer.out
    assert "·0⟦·END⟧" in answer.out
    assert "local/ada" in answer.out


def test_a_job_whose_data_lies_at_the_provider_cannot_be_shown(tmp_path: Path) -> None:
    job = write_job(tmp_path)
    job.write_text(job.read_text().replace("train.jsonl", "file-abc123"))
    answer = ftops("data", "preview", job)
    assert answer.code == 1
    assert "lies at the provider" in answer.err


def test_without_a_vocabulary_tokens_cannot_be_parted_and_that_is_said(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "none"))
    answer = ftops("data", "preview", data, "--tokens", "--json")
    assert answer.code == 0
    assert "vocabulary is not on this machine" in answer.err
    assert json.loads(answer.out)["tokens_error"] == 0.25


def test_tokens_are_parted_and_long_texts_are_cut_unless_asked_for() -> None:
    piece = PreviewSegment("prompt", "a b", trained=False, tokens=2, parts=("a", " b"))
    assert render_segment(piece, PreviewStyle(tokens=True)).plain == "a|·b"
    long = PreviewSegment("prompt", "x" * 5_000, trained=False, tokens=700)
    assert "4,400 characters" in render_segment(long, PreviewStyle()).plain
    assert render_segment(long, PreviewStyle(whole=True)).plain == "x" * 5_000


def test_control_characters_never_reach_a_terminal() -> None:
    piece = PreviewSegment("prompt", "\x1b[31m\r\t \u202e", trained=False, tokens=2)
    shown = render_segment(piece, PreviewStyle()).plain
    assert shown == "\\x1b[31m␍⇥ \\u202e"
