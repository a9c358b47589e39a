"""All rows of a file, answered."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.answering import AnsweringServer, answering_server
from tests.cli.running import Answer, ftops

TEXTS = [f"question {number}" for number in range(30)]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[AnsweringServer]:
    monkeypatch.setenv("BATCH_KEY", "sk-test")
    with answering_server() as opened:
        yield opened


def write_questions(folder: Path) -> Path:
    path = folder / "questions.jsonl"
    path.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in TEXTS))
    return path


def words(server: AnsweringServer, *more: str | Path, model: str = "babbage-002") -> list[str]:
    there = ["--base-url", server.base_url, "--api-key-env", "BATCH_KEY", "-m", model]
    return ["batch", *map(str, more), *there]


def batch(
    server: AnsweringServer, *more: str | Path, stdin: str | None = None, **kind: str
) -> Answer:
    return ftops(*words(server, *more, **kind), stdin=stdin)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rows_with_only_a_prompt_are_answered_in_their_order(
    server: AnsweringServer, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    answer = batch(server, write_questions(tmp_path), "-o", out, "--yes")
    assert answer.code == 0, answer.err
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
    assert "30 requests to babbage-002" in answer.err
    assert "30 of 30 rows have a response" in answer.out


def test_the_same_command_again_asks_nothing_and_writes_the_same(
    server: AnsweringServer, tmp_path: Path
) -> None:
    questions, out = write_questions(tmp_path), tmp_path / "out.jsonl"
    batch(server, questions, "-o", out, "--yes")
    first = out.read_bytes()
    again = batch(server, questions, "-o", out, "--json")
    assert again.code == 0, again.err
    assert (again.document["cached"], again.document["cost_usd"]) == (30, 0)
    assert out.read_bytes() == first
    assert sorted(server.asked) == sorted(TEXTS)


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
def test_files_of_any_kind_are_read(
    server: AnsweringServer, tmp_path: Path, name: str, text: str, options: list[str]
) -> None:
    (tmp_path / name).write_text(text)
    out = tmp_path / "out.jsonl"
    answer = batch(server, tmp_path / name, "-o", out, "--yes", *options)
    assert answer.code == 0, answer.err
    assert [line["answer"] for line in read(out)] == ["FIRST ONE", "SECOND ONE"]


def test_chats_are_asked_without_the_answer_that_stands_there(
    server: AnsweringServer, tmp_path: Path
) -> None:
    user, said = {"role": "user", "content": "why?"}, {"role": "assistant", "content": "so"}
    rows = [{"messages": [user]}, {"messages": [user, said, {**user, "content": "how?"}, said]}]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    out = tmp_path / "out.jsonl"
    answer = batch(server, "-", "-o", out, "--yes", stdin=text, model="gpt-4.1")
    assert answer.code == 0, answer.err
    assert [line["answer"] for line in read(out)] == ["WHY?", "HOW?"]
    assert read(out)[0]["messages"] == [user]
    refused = batch(server, "-", "-o", out, "--yes", stdin=text)
    assert (refused.code, "the rows are chat messages" in refused.err) == (1, True)


def test_bad_rows_are_told_before_anything_is_sent(server: AnsweringServer, tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text('{"prompt": "good"}\n{"prompt": 5}\n{"text": "x"}\n[1]\n{"messages": []}\nx\n')
    answer = batch(server, path, "-o", tmp_path / "out.jsonl", "--yes")
    assert answer.code == 1
    assert "5 of 6 rows are bad" in answer.err
    assert all(f"q.jsonl:{line}:" in answer.err for line in range(2, 7))
    assert server.asked == []


def test_a_row_that_is_refused_is_told_with_its_line_and_all_others_are_written(
    server: AnsweringServer, tmp_path: Path
) -> None:
    error = {"message": "Too long.", "code": "context_length_exceeded", "param": "prompt"}
    server.refuse = lambda text: (400, error) if text == TEXTS[4] else None
    out = tmp_path / "out.jsonl"
    answer = batch(server, write_questions(tmp_path), "-o", out, "--yes")
    assert answer.code == 1
    assert "questions.jsonl:5: request a completion from babbage-002: Too long." in answer.err
    lines = read(out)
    assert lines[4]["answer"] is None
    assert "Too long." in lines[4]["failure"]
    assert sum(line["answer"] is not None for line in lines) == 29


def test_a_refused_key_leaves_what_was_there(server: AnsweringServer, tmp_path: Path) -> None:
    server.refuse = lambda _text: (401, {"message": "Bad key."})
    out = tmp_path / "out.jsonl"
    out.write_text("from yesterday\n")
    answer = batch(server, write_questions(tmp_path), "-o", out, "--yes", "--json")
    assert (answer.code, answer.error["type"]) == (1, "AuthFailed")
    assert out.read_text() == "from yesterday\n"
    assert len(server.asked) == 1


def test_nobody_pays_who_was_not_asked(server: AnsweringServer, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    answer = batch(server, write_questions(tmp_path), "-o", out)
    assert answer.code == 1
    assert "cannot confirm the cost" in answer.err
    assert "--max-cost" in answer.err
    assert server.asked == []
    assert not out.exists()


def test_max_cost_holds_by_the_price_that_the_user_told(
    server: AnsweringServer, tmp_path: Path, temporary_home: Path
) -> None:
    host = server.base_url.split("/")[2]
    temporary_home.mkdir(exist_ok=True)
    (temporary_home / "models.toml").write_text(
        f'as_of = 2026-11-01\n["{host}"."*"]\ninput_usd = 1000\noutput_usd = 1000\n'
    )
    questions, out = write_questions(tmp_path), tmp_path / "out.jsonl"
    dear = batch(server, questions, "-o", out, "--max-cost", "1")
    assert dear.code == 1
    assert "--max-cost is $1.00" in dear.err
    assert server.asked == []
    paid = batch(server, questions, "-o", out, "--max-cost", "5", "--json")
    assert paid.code == 0, paid.err
    assert paid.document["cost_usd"] == pytest.approx(30 * 12 / 1000)


def test_a_price_that_nobody_told_is_no_limit(server: AnsweringServer, tmp_path: Path) -> None:
    answer = batch(server, write_questions(tmp_path), "-o", tmp_path / "o", "--max-cost", "9")
    assert answer.code == 1
    assert "price of asking babbage-002 is not known" in answer.err
    assert server.asked == []


def test_a_command_that_is_killed_goes_on_and_asks_no_row_twice_that_was_answered(
    server: AnsweringServer, tmp_path: Path
) -> None:
    questions, out = write_questions(tmp_path), tmp_path / "out.jsonl"
    arguments = words(server, questions, "-o", out, "--yes", "--concurrency", "2")
    command = [sys.executable, "-m", "ftops", *arguments]

    def kill() -> None:
        if len(server.asked) == 15:
            os.kill(child.pid, signal.SIGKILL)

    server.before = kill
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL
    assert not out.exists()
    first = len(server.asked)
    assert 15 <= first <= 17
    server.before = lambda: None
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert [line["answer"] for line in read(out)] == [text.upper() for text in TEXTS]
    # The two that were under way when it died, and perhaps one that had come but was not written.
    assert len(server.asked) <= 30 + 3


def test_ctrl_c_says_how_many_answers_are_kept_and_how_to_go_on(
    server: AnsweringServer, tmp_path: Path
) -> None:
    questions, out = write_questions(tmp_path), tmp_path / "out.jsonl"
    arguments = words(server, questions, "-o", out, "--yes", "--concurrency", "2")

    keys = iter([signal.SIGINT])  # pressed once, whichever thread of the server sees the row

    def press() -> None:
        if len(server.asked) >= 15:
            for key in keys:
                os.kill(child.pid, key)

    server.before = press
    command = [sys.executable, "-m", "ftops", *arguments]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "of 30 responses are cached" in err
    assert "Run the same command again to continue" in err
    assert not out.exists()


def test_answers_never_take_the_place_of_their_questions_nor_of_a_folder(
    server: AnsweringServer, tmp_path: Path
) -> None:
    questions = write_questions(tmp_path)
    before = questions.read_bytes()
    answer = batch(server, questions, "-o", tmp_path / "." / questions.name, "--yes")
    assert answer.code == 1
    assert "is the input file and would be lost" in answer.err
    assert questions.read_bytes() == before
    answer = batch(server, questions, "-o", tmp_path, "--yes")
    assert answer.code == 1
    assert "is a folder" in answer.err
    assert server.asked == []


def test_parameters_that_the_model_refuses_stand_in_the_answers(
    server: AnsweringServer, tmp_path: Path
) -> None:
    server.refused_parameters = ("temperature",)
    out = tmp_path / "out.jsonl"
    for _ in range(2):  # the second time all answers are there already
        answer = batch(server, write_questions(tmp_path), "-o", out, "--yes", "--json")
        assert answer.code == 0
        assert all(line["refused_parameters"] == {"temperature": None} for line in read(out))
        assert answer.document["refused_parameters"] == {"temperature": None}
        assert "babbage-002: temperature not sent: the model refuses it" in answer.err
    refused = [body for body in server.bodies if "temperature" in body]
    assert len(refused) == 1
    assert len(server.asked) == 30 + 1


def test_an_answer_that_was_cut_off_is_asked_for_again_next_time(
    server: AnsweringServer, tmp_path: Path
) -> None:
    server.finish_reason = None
    out = tmp_path / "out.jsonl"
    rows = tmp_path / "one.jsonl"
    rows.write_text(json.dumps({"prompt": TEXTS[4]}) + "\n")
    answer = batch(server, rows, "-o", out, "--yes")
    assert answer.code == 1
    assert "cut off" in answer.err
    server.finish_reason = "stop"
    assert batch(server, rows, "-o", out, "--yes").code == 0
    assert [line["answer"] for line in read(out)] == [TEXTS[4].upper()]
    assert server.asked == [TEXTS[4]] * 2
