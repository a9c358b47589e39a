"""Keys in the first rows of data are refused; similar texts are not."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from ftops.data.reading.options import ReadOptions
from ftops.data.secret_scan import check_for_secrets
from ftops.errors import DatasetError
from ftops.records import DataPlan, Json, PlanStep

TOKEN = "gh" + "p_" + "a1B2" * 9  # in parts, so that secret scanners ignore it
OPEN = "sk-" + "proj-" + "x7Yz" * 8
BLOCK = [
    "-----BEGIN RSA PRIVATE " + "KEY-----",
    "MIIE" + "q1Zr" * 15,
    "-----END RSA PRIVATE KEY-----",
]


def pair(prompt: str, completion: str = " a") -> Json:
    return {"prompt": prompt, "completion": completion}


def write(folder: Path, rows: Sequence[Json]) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def get_scan_error(path: Path, plan: DataPlan | None = None) -> DatasetError:
    with pytest.raises(DatasetError) as caught:
        check_for_secrets(path, ReadOptions(), plan)
    return caught.value


def test_keys_are_reported_by_line_and_kind_and_masked(tmp_path: Path) -> None:
    rows = [pair("ä"), pair(f"use {TOKEN} now"), pair("c", f" Bearer {OPEN}"), pair("d")]
    path = write(tmp_path, rows)
    error = get_scan_error(path)
    assert f"{path}: its first 1,000 rows hold 2 keys" in error.message
    assert f"{path}:2: API key or access token (GitHub): ghp_…" in error.message
    assert f"{path}:3: API key or access token (" in error.message
    assert TOKEN not in error.message
    assert OPEN not in error.message
    assert f"ftops data prepare {path} --redact" in error.hint
    assert "--allow-private" in error.hint


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "user", "content": OPEN}, {"role": "assistant", "content": "a"}]},
        {
            "messages": [
                {"role": "user", "content": "a"},
                {
                    "role": "assistant",
                    "tool_calls": [
                        {
                            "id": "1",
                            "type": "function",
                            "function": {"name": "f", "arguments": json.dumps({"key": TOKEN})},
                        }
                    ],
                },
            ]
        },
        {
            "input": {"messages": [{"role": "user", "content": "a"}]},
            "preferred_output": [{"role": "assistant", "content": "a"}],
            "non_preferred_output": [{"role": "assistant", "content": "\n".join(BLOCK)}],
        },
    ],
    ids=["chat", "call", "preference"],
)
def test_every_text_of_a_row_is_searched(tmp_path: Path, row: Json) -> None:
    error = get_scan_error(write(tmp_path, [row]))
    assert "rows.jsonl:1: " in error.message
    assert "--redact" in error.hint


def test_a_private_key_that_spans_rows_is_found(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("prompt,completion\n" + "".join(f"{line},\n" for line in BLOCK))
    check_for_secrets(path, ReadOptions(), None)  # rows without a completion are ignored
    pairs = [pair(BLOCK[0], BLOCK[1]), pair(BLOCK[1], BLOCK[2])]
    error = get_scan_error(write(tmp_path, pairs))
    assert "rows.jsonl:1: private key" in error.message
    assert error.hint.startswith("Take these rows out.")  # no fix finds it in a single text


def test_personal_data_and_random_looking_texts_are_accepted(tmp_path: Path) -> None:
    rows = [
        pair("anna@firm.org, +1 415 555 2671, 4111 1111 1111 1111"),
        pair("commit 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b"),
        pair("sk-learn and sk_learn_contrib_experimental_module_names"),
        pair("-----BEGIN PUBLIC KEY-----"),
        pair("123e4567-e89b-12d3-a456-426614174000"),
    ]
    check_for_secrets(write(tmp_path, rows), ReadOptions(), None)


def test_only_the_first_thousand_rows_are_searched(tmp_path: Path) -> None:
    rows = [pair(f"row {number}") for number in range(1000)]
    check_for_secrets(write(tmp_path, [*rows, pair(TOKEN)]), ReadOptions(), None)
    assert "rows.jsonl:1000: " in get_scan_error(write(tmp_path, [*rows[:-1], pair(TOKEN)])).message


def test_keys_that_a_plan_redacts_are_accepted(tmp_path: Path) -> None:
    path = write(tmp_path, [pair("a"), pair(TOKEN)])
    redacted = DataPlan((PlanStep("redact", {"codes": ["api-key"]}),), {}, "plan")
    check_for_secrets(path, ReadOptions(), redacted)
    other = DataPlan((PlanStep("redact", {"codes": ["email-address"]}),), {}, "plan")
    assert "rows.jsonl:2: " in get_scan_error(path, other).message


def test_an_unused_column_is_not_searched(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(f"question,answer,note\na,b,{TOKEN}\n")
    check_for_secrets(path, ReadOptions(prompt="question", completion="answer"), None)
    options = ReadOptions(prompt="{question} {note}", completion="answer")
    with pytest.raises(DatasetError, match=r"rows\.csv:2: "):
        check_for_secrets(path, options, None)


def test_rows_that_cannot_be_read_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("no row\n")
    check_for_secrets(path, ReadOptions(), None)
    path.write_text("no row\n" + json.dumps(pair(TOKEN)) + "\n")
    assert "rows.jsonl:2: " in get_scan_error(path).message
