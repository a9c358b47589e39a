"""The locked packages: inside the declared ranges, with hashes, and without an index."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
UNLOCKED = ("bench", "lora", "lora-serve", "qlora")  # a developer does not need PyTorch
FILES = {
    "constraints.txt": PROJECT["dependencies"],
    "constraints-dev.txt": [
        *PROJECT["dependencies"],
        *(text for extra in ("dev", *PROJECT["optional-dependencies"]) if extra not in UNLOCKED
          for text in PROJECT["optional-dependencies"][extra]),
    ],
}  # fmt: skip


def read_pins(name: str) -> Iterator[Requirement]:
    """One requirement for each locked package and environment; without hashes."""
    text = (ROOT / name).read_text()
    for line in re.findall(r"^[^\s#-].*$", text, re.M):
        yield Requirement(line.removesuffix("\\"))


@pytest.mark.parametrize("name", FILES)
def test_every_declared_requirement_is_locked_inside_its_range(name: str) -> None:
    pins = list(read_pins(name))
    for text in FILES[name]:
        requirement = Requirement(text)
        if requirement.name == PROJECT["name"]:
            continue  # an extra that names other extras
        locked = [
            pin
            for pin in pins
            if canonicalize_name(pin.name) == canonicalize_name(requirement.name)
        ]
        assert locked, f"{requirement.name} is not in {name}: `make lock` updates it"
        for pin in locked:
            (version,) = (specifier.version for specifier in pin.specifier)
            assert requirement.specifier.contains(version), f"{pin} is outside of {requirement}"


@pytest.mark.parametrize("name", FILES)
def test_every_locked_package_has_an_exact_version_and_hashes_and_no_index(name: str) -> None:
    text = (ROOT / name).read_text()
    entries = re.split(r"\n(?=\S)", text.strip())
    assert len(entries) == len(list(read_pins(name)))
    assert all(re.match(r"[A-Za-z0-9._-]+==\S+", entry) for entry in entries)
    assert all("--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"https?://|file:|--index", text)


def test_both_files_lock_the_same_versions() -> None:
    small, large = ({(pin.name, str(pin.specifier)) for pin in read_pins(name)} for name in FILES)
    assert small <= large
