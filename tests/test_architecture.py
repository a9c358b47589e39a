"""Rules about the shape of the code that neither types nor import contracts hold."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.structure import ROOT, Figure, Structure

DRAWERS = {"utils", "util", "helpers", "common", "misc", "manager", "base", "core", "handler"}


def _modules() -> Iterator[Path]:
    return (ROOT / "ftops").rglob("*.py")


def test_no_module_or_folder_is_a_drawer() -> None:
    named = {path.stem for path in _modules()} | {path.parent.name for path in _modules()}
    assert not named & DRAWERS


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(path)
        for path in _modules()
        if path.name != "__init__.py"
        and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert silent == []


def test_there_is_no_asynchronous_twin() -> None:
    found = [
        str(path)
        for path in _modules()
        if "engine" not in path.parts and "async def" in path.read_text(encoding="utf-8")
    ]
    assert found == []


PICKLING = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
ARRAY_FILES = {"load", "loads", "save", "savez", "savez_compressed", "fromfile", "memmap"}


def test_nothing_reads_or_writes_pickles() -> None:
    """What others may have written is data: nothing here turns bytes into code."""
    found = []
    for path in _modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Import(names=names):
                    modules = {name.name.partition(".")[0] for name in names}
                case ast.ImportFrom(module="numpy" | "torch", names=names):
                    modules = {"pickle" for name in names if name.name in ARRAY_FILES}
                case ast.ImportFrom(module=str(module)):
                    modules = {module.partition(".")[0]}
                case ast.Attribute(value=ast.Name(id="np" | "torch"), attr=attribute):
                    modules = {"pickle"} if attribute in ARRAY_FILES else set()
                case _:
                    modules = set()
            if modules & PICKLING:
                found.append(f"{path}:{getattr(node, 'lineno', 0)}")
    assert found == []


STRUCTURE = Structure()
PROVIDER_NAMES = {"local", "openai", "azure", "together"}


@pytest.mark.parametrize("figure", STRUCTURE.list_figures(), ids=lambda figure: figure.name)
def test_a_figure_of_the_structure_is_within_its_limit(figure: Figure) -> None:
    assert figure.value <= figure.limit


def test_no_modules_import_each_other() -> None:
    assert STRUCTURE.list_cycles() == []


def test_imports_are_at_the_top() -> None:
    assert STRUCTURE.list_nested_third_parties() == []


def test_provider_names_are_in_the_package_of_providers_alone() -> None:
    """Others ask `Capabilities`; a default for the user is a name, too, and is not compared."""
    compared = [
        f"{module.path.relative_to(ROOT)}:{node.lineno}"
        for module in STRUCTURE.modules.values()
        if not module.name.startswith(("ftops.providers", "ftops.engine"))
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Compare)
        and any(
            isinstance(side, ast.Constant) and side.value in PROVIDER_NAMES
            for side in (node.left, *node.comparators)
        )
    ]
    assert compared == []
