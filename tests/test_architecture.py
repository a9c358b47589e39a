"""Rules about the structure of the code that types and import contracts do not check."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.structure import ROOT, Figure, Structure

VAGUE_NAMES = {"utils", "util", "helpers", "common", "misc", "manager", "base", "core", "handler"}


def _modules() -> Iterator[Path]:
    return (ROOT / "ftops").rglob("*.py")


def test_no_module_or_folder_has_a_vague_name() -> None:
    names = {path.stem for path in _modules()} | {path.parent.name for path in _modules()}
    assert not names & VAGUE_NAMES


def test_every_module_has_a_docstring() -> None:
    undocumented = [
        str(path)
        for path in _modules()
        if path.name != "__init__.py"
        and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert undocumented == []


def test_only_the_engine_has_asynchronous_functions() -> None:
    paths = [
        str(path)
        for path in _modules()
        if "engine" not in path.parts and "async def" in path.read_text(encoding="utf-8")
    ]
    assert paths == []


PICKLING = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
ARRAY_FILES = {"load", "loads", "save", "savez", "savez_compressed", "fromfile", "memmap"}


def test_nothing_reads_or_writes_pickles() -> None:
    """Files may come from others, and unpickling runs code."""
    places = []
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
                places.append(f"{path}:{getattr(node, 'lineno', 0)}")
    assert places == []


STRUCTURE = Structure()
PROVIDER_NAMES = {"local", "openai", "nebius", "crusoe", "azure", "volition", "together"}


@pytest.mark.parametrize("figure", STRUCTURE.list_figures(), ids=lambda figure: figure.name)
def test_a_figure_of_the_structure_is_within_its_limit(figure: Figure) -> None:
    assert figure.value <= figure.limit


def test_no_modules_import_each_other() -> None:
    assert STRUCTURE.list_cycles() == []


def test_imports_are_at_the_top() -> None:
    assert STRUCTURE.list_nested_third_parties() == []


def test_only_the_package_of_providers_compares_provider_names() -> None:
    """Others use `Capabilities`; a default for the user is not a comparison."""
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
