"""Every command: valid examples, the options --json and --quiet, and a section of the reference."""

import re
import shlex
from pathlib import Path

import pytest

from ftops import __version__
from ftops.cli.reference import render_reference
from tests.cli.running import ftops

REFERENCE = render_reference()
SECTIONS = dict(re.findall(r"^##+ ftops ?([a-z ]*)\n\n```text\n(.*?)```", REFERENCE, re.M | re.S))
GROUPS = {name for name, text in SECTIONS.items() if "\nCommands:\n" in text}
COMMANDS = sorted(set(SECTIONS) - GROUPS)
EXAMPLES = [
    line.strip()
    for name in COMMANDS
    for line in re.split(r"  Examples?:\n", SECTIONS[name])[1].splitlines()
    if line.strip()
]


def test_the_reference_contains_every_command() -> None:
    groups = ["", "data", "models", "files", "promptfoo"]
    assert {*groups, "engine", "engine models", "engine keys"} == GROUPS
    expected = """
        run, check, follow, runs, show, results, report, eval, compare, complete, chat, batch
        serve, schema, init
        adopt, cancel, pause, resume, logs, export, doctor, prune, backup, restore, trust
        data check, data stats, data preview, data sample, data diff
        data prepare, data split, data convert, data baseline
        models list, models show, models export, models download, models delete
        files list, files delete
        deploy, undeploy, deployments
        engine status, engine stop, engine env
        engine models add, engine models list, engine models rm
        engine keys create, engine keys list, engine keys delete
        promptfoo import, promptfoo export
    """
    assert set(COMMANDS) == set(re.split(r"[,\n] *", expected.strip()))


def test_the_reference_is_deterministic_and_fits_80_columns() -> None:
    assert render_reference() == REFERENCE
    blocks = re.findall(r"```text\n(.*?)```", REFERENCE, re.S)
    assert max(len(line) for block in blocks for line in block.splitlines()) <= 80
    assert not re.search(r" $", REFERENCE, re.M)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_and_takes_json_and_quiet(name: str) -> None:
    assert "Example" in SECTIONS[name]
    assert "--json" in SECTIONS[name]
    assert "-q, --quiet" in SECTIONS[name]


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_of_the_help_parses(example: str) -> None:
    substitution = re.fullmatch(r'eval "\$\((.*)\)"', example)
    words = shlex.split((substitution.group(1) if substitution else example).partition(" < ")[0])
    words = words[: words.index(">")] if ">" in words else words
    assert words[0] == "ftops"
    result = ftops(*words[1:], "--help")  # unknown options are refused before the help is shown
    assert (result.code, result.err) == (0, "")


def test_the_summaries_of_all_commands_fit_the_list_of_commands() -> None:
    assert not re.search(r"\.\.\.$", SECTIONS[""].partition("Commands:")[2], re.M)


def test_version_is_printed_and_an_unknown_command_is_refused() -> None:
    assert ftops("--version").out == f"ftops {__version__}\n"
    result = ftops("fly")
    assert result.code == 2
    assert "No such command" in result.err


@pytest.mark.parametrize(
    "order", [("--json", "runs"), ("runs", "--json"), ("--json", "-q", "runs")]
)
def test_json_is_accepted_before_and_after_the_command(order: tuple[str, ...]) -> None:
    assert ftops(*order).out == "[]\n"


def test_quiet_is_accepted_before_the_command(tmp_path: Path) -> None:
    assert ftops("--quiet", "runs").out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("run", "a.yaml", "b.yaml"),
        ("runs", "--limit", "0"),
        ("runs", "--limit", "many"),
        ("serve", "--port", "99999"),
        ("complete", "-m", "x"),
        ("complete", "-m", "x", "-p", "y", "--temperature", "3"),
        ("models", "delete"),
    ],
)
def test_an_invalid_command_line_exits_with_2(arguments: tuple[str, ...]) -> None:
    result = ftops(*arguments)
    assert (result.code, result.out) == (2, "")
    assert "Error: " in result.err
