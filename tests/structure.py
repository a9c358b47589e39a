"""Figures of the package's structure, by its syntax trees.

`make structure` prints them as a table, and updates it in `docs/architecture.md`.

`tests/test_architecture.py` checks the limits.
"""

import ast
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Packages that an extra installs, or that only one command needs: importing them at the top
# would break or slow down the others.
OPTIONAL_IMPORTS = {
    "gguf", "huggingface_hub", "jinja2", "jsonschema", "mlflow", "openpyxl", "peft", "pyarrow",
    "rapidfuzz", "resource", "sacrebleu", "sklearn", "tensorboard", "tiktoken", "tokenizers",
    "torch", "transformers", "vl_convert", "wandb", "xllamacpp", "zstandard",
}  # fmt: skip
# Modules that list others in one place.
REGISTRIES = {
    "ftops.cli.main", "ftops.data.checks.registry", "ftops.data.fixes.registry",
    "ftops.engine.server", "ftops.metrics.registry", "ftops.providers.openai_quirks",
    "ftops.providers.registry", "ftops.runs.stages",
}  # fmt: skip


@dataclass(frozen=True)
class Module:
    """One module with its syntax tree; an `__init__` has the name of its package."""

    name: str
    path: Path
    text: str
    tree: ast.Module

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"


@dataclass(frozen=True)
class Figure:
    """A row of the table: name, value and upper limit."""

    name: str
    value: int
    limit: int


@dataclass(frozen=True)
class Import:
    """One import of one module, and whether it is inside a function."""

    target: str
    line: int
    is_nested: bool


class Structure:
    """The modules of `package` (a folder), and figures about them."""

    def __init__(self, package: Path = ROOT / "ftops") -> None:
        self.modules = {module.name: module for module in _read_modules(package)}
        self._package = package.name

    @property
    def real_modules(self) -> list[Module]:
        """All but the `__init__` of packages."""
        return [module for module in self.modules.values() if not module.is_package]

    def list_imports(self, module: Module) -> Iterator[Import]:
        """All imports of a module, with the full name of each."""
        functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
        nested = {
            id(inner)
            for node in ast.walk(module.tree)
            if isinstance(node, functions)
            for inner in ast.walk(node)
        }
        for node in ast.walk(module.tree):
            match node:
                case ast.Import(names=names):
                    targets = [name.name for name in names]
                case ast.ImportFrom(module=str(source), names=names):
                    targets = [f"{source}.{name.name}" for name in names]
                case _:
                    continue
            for target in targets:
                yield Import(target, node.lineno, id(node) in nested)

    @cached_property
    def edges(self) -> dict[str, set[str]]:
        """For each real module the real modules that it imports, also inside functions."""
        real = {module.name for module in self.real_modules}
        return {
            module.name: {
                name
                for imported in self.list_imports(module)
                for name in (imported.target, imported.target.rpartition(".")[0])
                if name in real and name != module.name
            }
            for module in self.real_modules
        }

    def list_single_importers(self) -> list[str]:
        """Modules that exactly one other module imports, except those of a registry."""
        importers: dict[str, set[str]] = {}
        for module in self.modules.values():
            for imported in self.list_imports(module):
                for name in (imported.target, imported.target.rpartition(".")[0]):
                    if name in self.edges and name != module.name:
                        importers.setdefault(name, set()).add(module.name)
        return sorted(
            name for name, users in importers.items() if len(users) == 1 and not users & REGISTRIES
        )

    def list_nested_imports(self) -> list[str]:
        """Imports of this package inside functions, as `path:line`."""
        return self._list_nested(lambda package: package == self._package)

    def list_nested_third_parties(self) -> list[str]:
        """Imports of other packages inside functions, except optional ones."""
        allowed = OPTIONAL_IMPORTS | sys.stdlib_module_names | {self._package}
        return self._list_nested(lambda package: package not in allowed)

    def _list_nested(self, is_counted: Callable[[str], bool]) -> list[str]:
        return sorted(
            {
                f"{module.path.relative_to(ROOT)}:{imported.line}"
                for module in self.modules.values()
                for imported in self.list_imports(module)
                if imported.is_nested and is_counted(imported.target.split(".")[0])
            }
        )

    def list_type_checking_modules(self) -> list[str]:
        """Modules that import something only for the type checker."""
        return [
            module.name
            for module in self.modules.values()
            if any(
                isinstance(node, ast.Name) and node.id == "TYPE_CHECKING"
                for node in ast.walk(module.tree)
            )
        ]

    def list_cycles(self) -> list[list[str]]:
        """Groups of modules that import each other (Tarjan's strongly connected components)."""
        index: dict[str, int] = {}
        low: dict[str, int] = {}
        stack: list[str] = []
        cycles: list[list[str]] = []

        def visit(name: str) -> None:
            index[name] = low[name] = len(index)
            stack.append(name)
            for target in self.edges[name]:
                if target not in index:
                    visit(target)
                if target in stack:
                    low[name] = min(low[name], low[target])
            if low[name] == index[name]:
                component = stack[stack.index(name) :]
                del stack[stack.index(name) :]
                if len(component) > 1:
                    cycles.append(sorted(component))

        for name in self.edges:
            if name not in index:
                visit(name)
        return cycles

    def list_repeated_class_names(self) -> list[str]:
        """Names of classes that occur more than once."""
        names = Counter(
            node.name
            for module in self.modules.values()
            for node in ast.walk(module.tree)
            if isinstance(node, ast.ClassDef)
        )
        return sorted(name for name, count in names.items() if count > 1)

    def list_finders_without_none(self) -> list[str]:
        """Functions named `find_…` whose return type has no None."""
        return [
            f"{module.name}.{function.name}"
            for module, function in self._list_functions()
            if function.name.lstrip("_").startswith("find_")
            and not (function.returns and "None" in ast.unparse(function.returns))
        ]

    def list_wide_functions(self) -> list[str]:
        """Functions with more than seven parameters."""
        return [
            f"{module.name}.{function.name}"
            for module, function in self._list_functions()
            if sum(
                parameter.arg not in ("self", "cls")
                for parameter in (
                    *function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs,
                )
            )
            > 7
        ]  # fmt: skip

    def _list_functions(self) -> Iterator[tuple[Module, ast.FunctionDef | ast.AsyncFunctionDef]]:
        for module in self.modules.values():
            for node in ast.walk(module.tree):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield module, node

    def list_figures(self) -> list[Figure]:
        """The rows of the table, in order."""
        lines = sum(len(module.text.splitlines()) for module in self.modules.values())
        return [
            Figure("modules", len(self.real_modules), 415),
            Figure("lines", lines, 84_000),
            Figure("modules that one other imports", len(self.list_single_importers()), 76),
            Figure("imports of ftops inside functions", len(self.list_nested_imports()), 10),
            Figure("imports of third parties inside functions",
                   len(self.list_nested_third_parties()), 0),
            Figure("modules with TYPE_CHECKING", len(self.list_type_checking_modules()), 2),
            Figure("import cycles", len(self.list_cycles()), 0),
            Figure("class names that occur more than once",
                   len(self.list_repeated_class_names()), 12),
            Figure("`find_*` that never return None",
                   len(self.list_finders_without_none()), 0),
            Figure("functions with more than 7 parameters", len(self.list_wide_functions()), 8),
        ]  # fmt: skip


def _read_modules(package: Path) -> Iterator[Module]:
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = path.read_text(encoding="utf-8")
        yield Module(name, path, text, ast.parse(text))


def render_table(figures: Sequence[Figure]) -> str:
    """The figures as a Markdown table."""
    rows = [f"| {figure.name} | {figure.value:,} | {figure.limit:,} |" for figure in figures]
    return "\n".join(["| all of `ftops/` | now | at most |", "| --- | --: | --: |", *rows])


def write_page(table: str, page: Path = ROOT / "docs" / "architecture.md") -> None:
    """Replace the table between its marks on the page."""
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition("<!-- generated: structure -->\n")
    _, end, after = rest.partition("<!-- end of generated part -->\n")
    page.write_text(f"{before}{begin}\n{table}\n\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    table = render_table(Structure().list_figures())
    write_page(table)
    sys.stdout.write(f"{table}\n")
