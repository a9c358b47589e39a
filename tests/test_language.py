"""Code, messages and pages use no word of `private_words.txt`."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.structure import ROOT, Module, Structure

WORDS = [
    line.partition(":")[0]
    for line in (Path(__file__).parent / "private_words.txt").read_text("utf-8").splitlines()
    if line and not line.startswith("#")
]
PRIVATE = re.compile(rf"\b({'|'.join(WORDS)})\b", re.IGNORECASE)
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
QUOTED = re.compile(r"\[[^\]]*\]\(https://[^)]*\)|`[^`]*`")  # threads of users, and code


def find_private_word(text: str) -> str | None:
    """The first private word in a text; the parts of a name count as words."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_|-", " ", text)
    match = PRIVATE.search(spaced)
    return match[0] if match else None


def list_texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The names that a module defines and its strings, with their lines."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield node.lineno, name
            case ast.ClassDef(name=name):
                yield node.lineno, name
            case ast.arg(arg=name):
                yield node.lineno, name
            case ast.Name(id=name, ctx=ast.Store()):
                yield node.lineno, name
            case ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name
            case ast.Constant(value=str(text)):
                yield node.lineno, text


@pytest.mark.parametrize("module", Structure().modules.values(), ids=lambda module: module.name)
def test_a_module_uses_standard_words(module: Module) -> None:
    assert [
        f"{module.path.relative_to(ROOT)}:{line}: {word}"
        for line, text in list_texts(module.tree)
        if (word := find_private_word(text))
    ] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_uses_standard_words(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert [
        f"{number}: {word}"
        for number, line in enumerate(lines, 1)
        if (word := find_private_word(QUOTED.sub("", line)))
    ] == []


def test_a_private_word_is_found_in_names_and_texts() -> None:
    assert find_private_word("open_desk") == "desk"
    assert find_private_word("NurseryWorker") == "Nursery"
    assert find_private_word("The user is told.") == "told"
    assert find_private_word("The claim of a helpdesk.") is None
