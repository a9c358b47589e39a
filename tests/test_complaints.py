"""The page of complaints: each complaint has a test, and each named test exists."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "complaints.md"
COMPLAINTS = 27
NAMED = re.compile(r"`([\w/]+\.py)::(test_\w+)`")
ROWS = [line.strip("| ").split(" | ") for line in PAGE.read_text("utf-8").splitlines()]
LINES = [row for row in ROWS if row[0].isdigit()]


@cache
def list_tests(path: Path) -> frozenset[str]:
    """The names of the tests in a file, which is not imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


def test_every_complaint_has_a_row_with_a_thread() -> None:
    assert [int(line[0]) for line in LINES] == list(range(1, COMPLAINTS + 1))
    for _, complaint, answer, _ in LINES:
        assert "](https://" in complaint
        assert answer


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[0])
def test_a_complaint_names_tests_that_exist(line: list[str]) -> None:
    named = NAMED.findall(line[3])
    assert named
    assert NAMED.sub("", line[3]).strip() == ""
    for file, name in named:
        assert name in list_tests(TESTS / file), f"{file}::{name}"
