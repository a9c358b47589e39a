"""Output in three modes, with control characters escaped."""

import io
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftops.cli.output import Mode, Output, clean, render_json
from ftops.records import Json

ESCAPE = "\x1b]0;owned\x07\x1b[31m[bold]red[/bold]\x9b2J\u202egnp"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def make_output(mode: Mode, *, terminal: bool = False) -> Output:
    stream = Terminal if terminal else io.StringIO
    return Output(mode, stdout=stream(), stderr=stream())


def get_output(output: Output) -> tuple[str, str]:
    assert isinstance(output.stdout, io.StringIO)
    assert isinstance(output.stderr, io.StringIO)
    return output.stdout.getvalue(), output.stderr.getvalue()


def write_result(output: Output) -> None:
    output.info("a remark")
    output.finish({"id": "x"}, essential=["x", "y"], human=lambda: ["for people"])


def test_each_mode_has_its_format_of_the_result() -> None:
    outputs = {mode: make_output(mode) for mode in Mode}
    for output in outputs.values():
        write_result(output)
    assert get_output(outputs[Mode.HUMAN]) == ("for people\n", "a remark\n")
    assert get_output(outputs[Mode.QUIET]) == ("x\ny\n", "")
    stdout, stderr = get_output(outputs[Mode.JSON])
    assert (json.loads(stdout), stderr) == ({"id": "x"}, "a remark\n")


def test_progress_is_printed_to_stderr_in_json_mode() -> None:
    output = make_output(Mode.JSON)
    output.show("progress")
    assert get_output(output) == ("", "progress\n")


@pytest.mark.parametrize("terminal", [True, False])
def test_foreign_text_is_neither_markup_nor_a_control_sequence(terminal: bool) -> None:
    output = make_output(Mode.HUMAN, terminal=terminal)
    output.show(ESCAPE)
    output.warn(ESCAPE)
    output.error(ESCAPE, ESCAPE)
    for text in get_output(output):
        plain = text.replace("\x1b[1;31m", "").replace("\x1b[1;36m", "").replace("\x1b[0m", "")
        assert not set(plain) & set("\x1b\x07\x9b\u202e")
        assert "\\x1b]0;owned\\x07" in text
        assert "[bold]red[/bold]" in text


def test_text_in_tables_and_panels_is_escaped() -> None:
    from rich.panel import Panel
    from rich.table import Table

    table = Table(title=ESCAPE)
    table.add_column(ESCAPE)
    table.add_row(ESCAPE)
    for terminal in (True, False):
        output = make_output(Mode.HUMAN, terminal=terminal)
        output.show(Panel(table, title=ESCAPE))
        text = re.sub("\x1b\\[[0-9;]*m", "", get_output(output)[0])  # our own colours
        assert not set(text) & set("\x1b\x07\x9b\u202e")
        assert "\\x9b2J" in text


def test_an_essential_value_is_always_one_line() -> None:
    output = make_output(Mode.QUIET)
    output.finish([], essential=["a\nb\u2028c\rd", ESCAPE], human=tuple)
    stdout = get_output(output)[0]
    assert stdout.splitlines()[0] == "a\\x0ab\\u2028c\\x0dd"
    assert len(stdout.splitlines()) == 2
    assert clean(stdout) == stdout


def test_raw_text_is_unchanged_in_a_pipe_and_escaped_on_a_terminal() -> None:
    pipe, terminal = make_output(Mode.HUMAN), make_output(Mode.HUMAN, terminal=True)
    for output in (pipe, terminal):
        output.write("tab\there\x1b[2J\n")
    assert get_output(pipe)[0] == "tab\there\x1b[2J\n"
    assert get_output(terminal)[0] == "tab\there\\x1b[2J\n"


def test_pipes_get_no_trailing_spaces_and_no_wrapped_lines() -> None:
    from rich.table import Table

    table = Table.grid()
    table.add_row("short", "")
    table.add_row("long " * 60, "end")
    output = make_output(Mode.HUMAN)
    output.show(table)
    lines = get_output(output)[0].splitlines()
    assert len(lines) == 2
    assert lines[0] == "short"


@given(st.text())
def test_escaped_text_has_no_control_characters(text: str) -> None:
    assert all(
        character in "\n\t" or character.isprintable() or ord(character) >= 0xA0
        for character in clean(text)
    )


@given(st.recursive(st.none() | st.text() | st.integers(), st.lists, max_leaves=5))
def test_json_is_equal_and_has_no_control_characters(document: object) -> None:
    value: Json = document  # type: ignore[assignment]
    text = render_json(value)
    assert json.loads(text) == document
    assert clean(text) == text
    text.encode("utf-8")
