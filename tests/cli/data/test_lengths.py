"""`ftops data check --for`: lengths in tokens, and what the provider will choose."""

import json
from pathlib import Path

from tests.cli.running import ftops
from tests.data.data_files import pair, write_rows


def test_what_auto_will_become_is_shown_for_the_provider(tmp_path: Path) -> None:
    rows = [pair(f"question {number} ->", f" answer {number} END") for number in range(1_200)]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    answer = ftops("data", "check", path, "--for", "openai/davinci-002")
    assert '"auto"     3 epochs, batches of 2 (estimated)' in answer.out
    said = ftops("data", "check", path, "--for", "openai/davinci-002", "--json").out
    (file,) = json.loads(said)["files"]
    assert (file["auto_epochs"], file["auto_batch_size"]) == (3, 2)
    assert '"auto"' not in ftops("data", "check", path).out


def test_rows_that_the_model_would_cut_are_named_with_the_method(tmp_path: Path) -> None:
    rows = [pair("word " * (2_000 if number == 7 else 2), f" {number}") for number in range(300)]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    answer = ftops("data", "check", path, "--for", "local/ada")
    assert "over-limit  1 row is longer than 1,024 tokens (estimated from the letters" in answer.out
    assert "line 8" in answer.out
    assert "over-limit" not in ftops("data", "check", path, "--for", "openai/gpt-4.1").out
