"""docs/providers.md: each row of its table is proved by tests that exist."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from ftops.providers.registry import PROVIDERS

ROOT = Path(__file__).resolve().parent.parent
PROOFS: dict[str, dict[str, str]] = tomllib.loads(
    (ROOT / "docs" / "provider-proofs.toml").read_text(encoding="utf-8")
)
TESTS = sorted({test for tests in PROOFS.values() for test in tests.values()})


@pytest.mark.parametrize("test", TESTS)
def test_a_test_that_proves_a_row_exists(test: str) -> None:
    path, _, name = test.partition("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_row_has_a_proof() -> None:
    page = (ROOT / "docs" / "providers.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \*\*(.+?)\*\* \|", page, re.MULTILINE)
    assert rows == [*PROOFS, "models known", "facts of"]
    for tests in PROOFS.values():
        assert "any" in tests
        assert tests.keys() - {"any"} <= PROVIDERS.keys()


def test_hosted_providers_have_the_day_of_their_facts() -> None:
    for name, entry in PROVIDERS.items():
        assert bool(entry.as_of) == (entry.address is not None), name
