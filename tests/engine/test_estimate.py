"""Estimates of a job without running it."""

import json
from pathlib import Path

import pytest

from ftops.engine.estimate import main
from ftops.engine.tiny.batch import encode_examples
from ftops.engine.tiny.config import CONTEXT_LENGTH
from ftops.engine.tiny.document import list_documents, render_rows
from ftops.engine.tiny.tokenizer import estimate_tokens, train_tokenizer
from ftops.engine.training_file import read_rows


def write(folder: Path, *rows: dict[str, str]) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_the_tokens_are_those_that_training_reads(tmp_path: Path) -> None:
    long = "one two three " * 900
    path = write(
        tmp_path,
        *({"prompt": f"what is {n} ->", "completion": f" number {n}"} for n in range(30)),
        {"prompt": long, "completion": " many"},
    )
    rows = render_rows(list(read_rows(path)))
    documents = list_documents(rows)
    examples = encode_examples(documents, train_tokenizer(documents))
    forecast = estimate_tokens(rows)
    assert forecast.tokens == sum(example.n_tokens for example in examples)
    assert forecast.longest > CONTEXT_LENGTH
    assert forecast.cut_rows == 1
    assert 0 < forecast.learned_tokens < forecast.tokens


def test_the_command_prints_what_auto_would_become(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = write(tmp_path, *({"prompt": f"{n} ->", "completion": f" {n % 3}"} for n in range(60)))
    assert main([str(path), "--model", "ada"]) == 0
    said = json.loads(capsysbinary.readouterr().out)
    assert said["n_epochs"] > 1
    assert said["batch_size"] == 4
    assert said["tokens"] > 60


def test_a_file_that_cannot_be_trained_on_is_refused_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(write(tmp_path, {"prompt": "a"}))]) == 1
    assert "completion is missing" in capsys.readouterr().err
    assert main([str(tmp_path / "none.jsonl")]) == 1
    path = write(tmp_path, {"prompt": "a", "completion": "b"})
    assert main([str(path), "--model", "llama"]) == 1
    assert "no base model 'llama'" in capsys.readouterr().err
