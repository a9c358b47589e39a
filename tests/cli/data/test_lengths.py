"""`ftops data check --for`: lengths in tokens, and automatic values of the provider."""

import json
from pathlib import Path

from tests.cli.running import ftops
from tests.data.data_files import pair, write_rows


def test_the_automatic_values_of_the_provider_are_shown(tmp_path: Path) -> None:
    rows = [pair(f"question {number} ->", f" answer {number} END") for number in range(1_200)]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    result = ftops("data", "check", path, "--for", "openai/davinci-002")
    assert '"auto"     3 epochs, batches of 2 (estimated)' in result.out
    output = ftops("data", "check", path, "--for", "openai/davinci-002", "--json").out
    (file,) = json.loads(output)["files"]
    assert (file["auto_epochs"], file["auto_batch_size"]) == (3, 2)
    assert '"auto"' not in ftops("data", "check", path).out


def test_rows_over_the_limit_are_reported_with_the_method_of_counting(tmp_path: Path) -> None:
    rows = [pair("word " * (2_000 if number == 7 else 2), f" {number}") for number in range(300)]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    result = ftops("data", "check", path, "--for", "local/ada")
    assert "over-limit  1 row is longer than 1,024 tokens (estimated from the letters" in result.out
    assert "line 8" in result.out
    assert "over-limit" not in ftops("data", "check", path, "--for", "openai/gpt-4.1").out
