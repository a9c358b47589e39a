"""Prompts are refused by their length, before anything is made of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from ftops.engine.tiny.document import TextSpan
from ftops.engine.tiny.tokenizer import Tokenizer
from tests.engine.conftest import Trained
from tests.engine.running import Running, write_rows

MANY = "x" * 4_000_000


def ask(trained: Trained, path: str, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    answer = trained.running.http.post(path, json=fields)
    assert answer.status_code == 400, answer.text[:500]
    error: Mapping[str, Any] = answer.json()["error"]
    return error


@pytest.mark.parametrize("prompt", [MANY, [MANY], ["cat ->", "日本" * 400_000], ["x" * 400] * 3])
def test_a_prompt_beyond_the_context_is_refused_with_its_code(
    trained: Trained, prompt: str | Sequence[str]
) -> None:
    error = ask(trained, "/v1/completions", {"model": trained.completion_model, "prompt": prompt})
    assert (error["code"], error["param"]) == ("context_length_exceeded", "prompt")
    assert "at least" in error["message"] or "longer than" in error["message"]
    engines = f"/v1/engines/{trained.completion_model}/completions"
    assert ask(trained, engines, {"prompt": prompt}) == error


@pytest.mark.parametrize(
    "content", [MANY, [{"type": "text", "text": "x" * 200_000}] * 4, "日本" * 400_000]
)
def test_a_chat_beyond_the_context_is_refused_with_its_code(
    trained: Trained, content: str | Sequence[Mapping[str, str]]
) -> None:
    turns = [{"role": "user", "content": content}]
    error = ask(trained, "/v1/chat/completions", {"model": trained.chat_model, "messages": turns})
    assert (error["code"], error["param"]) == ("context_length_exceeded", "messages")


def test_many_short_messages_are_refused_likewise(trained: Trained) -> None:
    turns = [{"role": "user", "content": ""}] * 1000
    error = ask(trained, "/v1/chat/completions", {"model": trained.chat_model, "messages": turns})
    assert error["code"] == "context_length_exceeded"


def test_log_probabilities_without_end_are_refused_with_what_helps(trained: Trained) -> None:
    fields = {"prompt": "cat ->", "n": 128, "max_tokens": 60, "logprobs": 20, "temperature": 0}
    model = {"model": trained.completion_model}
    assert trained.running.http.post("/v1/completions", json={**model, **fields}).status_code == 200
    error = ask(trained, "/v1/completions", {**model, **fields, "prompt": ["cat ->"] * 2})
    assert (error["code"], error["param"]) == ("invalid_value", "logprobs")
    assert "Request fewer" in error["message"]


def test_a_text_has_at_least_its_bytes_divided_by_the_longest_token() -> None:
    runs = ["=" * 500, "abcdefgh" * 200, "日本語" * 90]
    tokenizer = Tokenizer.train(runs * 30, 1024)
    longest = max(map(len, tokenizer.pieces))
    assert 8 < longest <= 64
    for text in (*runs, "=" * 5000, "other text " * 300):
        ids = tokenizer.encode(text)
        assert len(ids) * longest >= len(text.encode())
        assert b"".join(tokenizer.pieces[token] for token in ids).decode() == text
    tokens, _ = tokenizer.encode_document((TextSpan(text="=" * 5000), TextSpan(special="user")))
    assert len(tokens) == len(tokenizer.encode("=" * 5000)) + 1


def test_every_route_with_a_json_body_reads_it_within_bounds(idle: Running) -> None:
    body = b'{"model": [' + b"[]," * 100_000 + b"0]}"
    paths = idle.http.get("/openapi.json").json()["paths"]
    taking_json = [
        path
        for path, operations in paths.items()
        if "application/json" in str(operations.get("post", {}).get("requestBody"))
    ]
    assert len(taking_json) >= 6
    for path in taking_json:
        answer = idle.http.post(path, content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 400
        assert answer.json()["error"]["message"] == "The body has more than 20,000 values."


def test_a_row_of_too_many_values_is_named_by_its_line(idle: Running) -> None:
    rows: list[dict[str, object]] = [
        {"prompt": "a", "completion": "b"},
        {"prompt": "a", "completion": [0] * 100_000},
    ]
    files = {"file": ("a.jsonl", write_rows(rows))}
    answer = idle.http.post("/v1/files", data={"purpose": "fine-tune"}, files=files).json()
    assert answer["status"] == "error"
    assert answer["status_details"] == "line 2: more than 20,000 values"


def test_filters_beyond_what_a_job_can_carry_are_refused(idle: Running) -> None:
    for count, status in ((16, 200), (17, 400), (1100, 400)):
        filters = "&".join(f"metadata[k{number}]=v" for number in range(count))
        answer = idle.http.get(f"/v1/fine_tuning/jobs?{filters}")
        assert answer.status_code == status
        if status == 400:
            assert "at most 16" in answer.json()["error"]["message"]
