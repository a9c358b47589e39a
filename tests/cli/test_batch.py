"""`ftops batch`: completions for all rows of a file."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.completion_server import CompletionServer, serve_completions
from tests.cli.running import CommandResult, ftops

TEXTS = [f"question {number}" for number in range(30)]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[CompletionServer]:
    monkeypatch.setenv("BATCH_KEY", "sk-test")
    with serve_completions() as server:
        yield server


def write_questions(folder: Path) -> Path:
    path = folder / "questions.jsonl"
    path.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in TEXTS))
    return path


def list_arguments(
    server: CompletionServer, *more: str | Path, model: str = "babbage-002"
) -> list[str]:
    options = ["--base-url", server.base_url, "--api-key-env", "BATCH_KEY", "-m", model]
    return ["batch", *map(str, more), *options]


def batch(
    server: CompletionServer, *more: str | Path, stdin: str | None = None, **options: str
) -> CommandResult:
    return ftops(*list_arguments(server, *more, **options), stdin=stdin)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_responses_have_the_order_of_the_prompts(server: CompletionServer, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    result = batch(server, write_questions(tmp_path), "-o", out, "--yes")
    assert result.code == 0, result.err
    lines = read(out)
    assert [line["answer"] for line in lines] == [text.upper() for text in TEXTS]
    assert lines[2] == {
        "line": 3,
        "prompt": "question 2",
        "answer": "QUESTION 2",
        "finish_reason": "stop",
        "prompt_tokens": 10,
        "completion_tokens": 2,
    }
    assert "30 requests to babbage-002" in result.err
    assert "30 of 30 rows have a response" in result.out


def test_a_repeated_command_sends_nothing_and_writes_the_same(
    server: CompletionServer, tmp_path: Path
) -> None:
    questions, out = write_questions(tmp_path), tmp_path / "out.jsonl"
    batch(server, questions, "-o", out, "--yes")
    first_output = out.read_bytes()
    second = batch(server, questions, "-o", out, "--json")
    assert second.code == 0, second.err
    assert (second.document["cached"], second.document["cost_usd"]) == (30, 0)
    assert out.read_bytes() == first_output
    assert sorted(server.prompts) == sorted(TEXTS)


@pytest.mark.parametrize(
    ("name", "text", "options"),
    [
        ("q.csv", "title,label\nfirst one,x\nsecond one,y\n", ["--prompt", "{title}"]),
        ("q.csv", "Prompt,other\nfirst one,x\nsecond one,y\n", []),
        ("q.txt", "first one\nsecond one\n", []),
        ("q.json", '[{"prompt": "first one"}, {"prompt": "second one"}]', []),
        ("q.jsonl", '{"t": "first one"}\n{"t": "second one"}\n', ["--prompt", "t"]),
        ("q.jsonl", '{"prompt": "first one", "completion": ""}\n{"prompt": "second one"}\n', []),
    ],
)
def test_files_of_every_format_are_read(
    server: CompletionServer, tmp_path: Path, name: str, text: str, options: list[str]
) -> None:
    (tmp_path / name).write_text(text)
    out = tmp_path / "out.jsonl"
    result = batch(server, tmp_path / name, "-o", out, "--yes", *options)
    assert result.code == 0, result.err
    assert [line["answer"] for line in read(out)] == ["FIRST ONE", "SECOND ONE"]


def test_chats_are_sent_without_their_last_answer(server: CompletionServer, tmp_path: Path) -> None:
    user, assistant = {"role": "user", "content": "why?"}, {"role": "assistant", "content": "so"}
    rows = [
        {"messages": [user]},
        {"messages": [user, assistant, {**user, "content": "how?"}, assistant]},
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    out = tmp_path / "out.jsonl"
    result = batch(server, "-", "-o", out, "--yes", stdin=text, model="gpt-4.1")
    assert result.code == 0, result.err
    assert [line["answer"] for line in read(out)] == ["WHY?", "HOW?"]
    assert read(out)[0]["messages"] == [user]
    refused = batch(server, "-", "-o", out, "--yes", stdin=text)
    assert (refused.code, "the rows are chat messages" in refused.err) == (1, True)


def test_bad_rows_are_reported_before_anything_is_sent(
    server: CompletionServer, tmp_path: Path
) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text('{"prompt": "good"}\n{"prompt": 5}\n{"text": "x"}\n[1]\n{"messages": []}\nx\n')
    result = batch(server, path, "-o", tmp_path / "out.jsonl", "--yes")
    assert result.code == 1
    assert "5 of 6 rows are bad" in result.err
    assert all(f"q.jsonl:{line}:" in result.err for line in range(2, 7))
    assert server.prompts == []


def test_a_refused_row_is_reported_with_its_line_and_all_others_are_written(
    server: CompletionServer, tmp_path: Path
) -> None:
    error = {"message": "Too long.", "code": "context_length_exceeded", "param": "prompt"}
    server.refuse = lambda text: (400, error) if text == TEXTS[4] else None
    out = tmp_path / "out.jsonl"
    result = batch(server, write_questions(tmp_path), "-o", out, "--yes")
    assert result.code == 1
    assert "questions.jsonl:5: request a completion from babbage-002: Too long." in result.err
    lines = read(out)
    assert lines[4]["answer"] is None
    assert "Too long." in lines[4]["failure"]
    assert sum(line["answer"] is not None for line in lines) == 29


def test_a_refused_key_leaves_the_output_file_unchanged(
    server: CompletionServer, tmp_path: Path
) -> None:
    server.refuse = lambda _text: (401, {"message": "Bad key."})
    out = tmp_path / "out.jsonl"
    out.write_text("from yesterday\n")
    result = batch(server, write_questions(tmp_path), "-o", out, "--yes", "--json")
    assert (result.code, result.error["type"]) == (1, "AuthFailed")
    assert out.read_text() == "from yesterday\n"
    assert len(server.prompts) == 1


def test_nothing_is_sent_without_a_confirmation_of_the_cost(
    server: CompletionServer, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    result = batch(server, write_questions(tmp_path), "-o", out)
    assert result.code == 1
    assert "cannot confirm the cost" in result.err
    assert "--max-cost" in result.err
    assert server.prompts == []
    assert not out.exists()


def test_max_cost_uses_the_prices_of_the_user(
    server: CompletionServer, tmp_path: Path, temporary_home: Path
) -> None:
    host = server.base_url.split("/")[2]
    temporary_home.mkdir(exist_ok=True)
    (temporary_home / "models.toml").write_text(
        f'as_of = 2026-11-01\n["{host}"."*"]\ninput_usd = 1000\noutput_usd = 1000\n'
    )
    questions, out = write_questions(tmp_path), tmp_path / "out.jsonl"
    refused = batch(server, questions, "-o", out, "--max-cost", "1")
    assert refused.code == 1
    assert "--max-cost is $1.00" in refused.err
    assert server.prompts == []
    paid = batch(server, questions, "-o", out, "--max-cost", "5", "--json")
    assert paid.code == 0, paid.err
    assert paid.document["cost_usd"] == pytest.approx(30 * 12 / 1000)


def test_max_cost_needs_a_known_price(server: CompletionServer, tmp_path: Path) -> None:
    result = batch(server, write_questions(tmp_path), "-o", tmp_path / "o", "--max-cost", "9")
    assert result.code == 1
    assert "price of asking babbage-002 is not known" in result.err
    assert server.prompts == []


def test_a_killed_command_continues_without_sending_completed_rows_again(
    server: CompletionServer, tmp_path: Path
) -> None:
    questions, out = write_questions(tmp_path), tmp_path / "out.jsonl"
    arguments = list_arguments(server, questions, "-o", out, "--yes", "--concurrency", "2")
    command = [sys.executable, "-m", "ftops", *arguments]

    def kill() -> None:
        if len(server.prompts) == 15:
            os.kill(child.pid, signal.SIGKILL)

    server.before = kill
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL
    assert not out.exists()
    sent_count = len(server.prompts)
    assert 15 <= sent_count <= 17
    server.before = lambda: None
    process = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert process.returncode == 0, process.stderr
    assert [line["answer"] for line in read(out)] == [text.upper() for text in TEXTS]
    # Two requests in progress when it was killed, and perhaps one with an unwritten response.
    assert len(server.prompts) <= 30 + 3


def test_ctrl_c_reports_the_cached_responses_and_how_to_continue(
    server: CompletionServer, tmp_path: Path
) -> None:
    questions, out = write_questions(tmp_path), tmp_path / "out.jsonl"
    arguments = list_arguments(server, questions, "-o", out, "--yes", "--concurrency", "2")

    signals = iter([signal.SIGINT])  # sent once, by any thread of the server

    def interrupt() -> None:
        if len(server.prompts) >= 15:
            for signal_number in signals:
                os.kill(child.pid, signal_number)

    server.before = interrupt
    command = [sys.executable, "-m", "ftops", *arguments]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "of 30 responses are cached" in err
    assert "Run the same command again to continue" in err
    assert not out.exists()


def test_the_output_is_never_the_input_file_or_a_folder(
    server: CompletionServer, tmp_path: Path
) -> None:
    questions = write_questions(tmp_path)
    before = questions.read_bytes()
    result = batch(server, questions, "-o", tmp_path / "." / questions.name, "--yes")
    assert result.code == 1
    assert "is the input file and would be lost" in result.err
    assert questions.read_bytes() == before
    result = batch(server, questions, "-o", tmp_path, "--yes")
    assert result.code == 1
    assert "is a folder" in result.err
    assert server.prompts == []


def test_refused_parameters_are_recorded_in_the_responses(
    server: CompletionServer, tmp_path: Path
) -> None:
    server.refused_parameters = ("temperature",)
    out = tmp_path / "out.jsonl"
    for _ in range(2):  # the second time all responses are cached
        result = batch(server, write_questions(tmp_path), "-o", out, "--yes", "--json")
        assert result.code == 0
        assert all(line["refused_parameters"] == {"temperature": None} for line in read(out))
        assert result.document["refused_parameters"] == {"temperature": None}
        assert "babbage-002: temperature not sent: the model refuses it" in result.err
    refused = [body for body in server.bodies if "temperature" in body]
    assert len(refused) == 1
    assert len(server.prompts) == 30 + 1


def test_a_truncated_response_is_requested_again(server: CompletionServer, tmp_path: Path) -> None:
    server.finish_reason = None
    out = tmp_path / "out.jsonl"
    rows = tmp_path / "one.jsonl"
    rows.write_text(json.dumps({"prompt": TEXTS[4]}) + "\n")
    result = batch(server, rows, "-o", out, "--yes")
    assert result.code == 1
    assert "cut off" in result.err
    server.finish_reason = "stop"
    assert batch(server, rows, "-o", out, "--yes").code == 0
    assert [line["answer"] for line in read(out)] == [TEXTS[4].upper()]
    assert server.prompts == [TEXTS[4]] * 2
