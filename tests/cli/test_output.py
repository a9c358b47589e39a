"""The sink: three modes, and nothing from outside that a terminal would obey."""

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


def written(out: Output) -> tuple[str, str]:
    assert isinstance(out.stdout, io.StringIO)
    assert isinstance(out.stderr, io.StringIO)
    return out.stdout.getvalue(), out.stderr.getvalue()


def finish(out: Output) -> None:
    out.info("a remark")
    out.finish({"id": "x"}, essential=["x", "y"], human=lambda: ["for people"])


def test_each_mode_prints_its_own_form_of_the_result() -> None:
    outputs = {mode: make_output(mode) for mode in Mode}
    for out in outputs.values():
        finish(out)
    assert written(outputs[Mode.HUMAN]) == ("for people\n", "a remark\n")
    assert written(outputs[Mode.QUIET]) == ("x\ny\n", "")
    stdout, stderr = written(outputs[Mode.JSON])
    assert (json.loads(stdout), stderr) == ({"id": "x"}, "a remark\n")


def test_people_watch_stderr_while_stdout_belongs_to_the_document() -> None:
    out = make_output(Mode.JSON)
    out.show("progress")
    assert written(out) == ("", "progress\n")


@pytest.mark.parametrize("terminal", [True, False])
def test_text_from_outside_is_neither_markup_nor_a_control_sequence(terminal: bool) -> None:
    out = make_output(Mode.HUMAN, terminal=terminal)
    out.show(ESCAPE)
    out.warn(ESCAPE)
    out.error(ESCAPE, ESCAPE)
    for text in written(out):
        plain = text.replace("\x1b[1;31m", "").replace("\x1b[1;36m", "").replace("\x1b[0m", "")
        assert not set(plain) & set("\x1b\x07\x9b\u202e")
        assert "\\x1b]0;owned\\x07" in text
        assert "[bold]red[/bold]" in text


def test_what_a_table_or_a_bar_holds_is_cleaned_even_if_nobody_did_it_before() -> None:
    from rich.panel import Panel
    from rich.table import Table

    table = Table(title=ESCAPE)
    table.add_column(ESCAPE)
    table.add_row(ESCAPE)
    for terminal in (True, False):
        out = make_output(Mode.HUMAN, terminal=terminal)
        out.show(Panel(table, title=ESCAPE))
        text = re.sub("\x1b\\[[0-9;]*m", "", written(out)[0])  # our own colours
        assert not set(text) & set("\x1b\x07\x9b\u202e")
        assert "\\x9b2J" in text


def test_a_line_for_scripts_stays_one_line_whatever_it_holds() -> None:
    out = make_output(Mode.QUIET)
    out.finish([], essential=["a\nb\u2028c\rd", ESCAPE], human=tuple)
    stdout = written(out)[0]
    assert stdout.splitlines()[0] == "a\\x0ab\\u2028c\\x0dd"
    assert len(stdout.splitlines()) == 2
    assert clean(stdout) == stdout


def test_an_answer_goes_to_a_pipe_as_it_is_and_to_a_terminal_cleaned() -> None:
    pipe, terminal = make_output(Mode.HUMAN), make_output(Mode.HUMAN, terminal=True)
    for out in (pipe, terminal):
        out.write("tab\there\x1b[2J\n")
    assert written(pipe)[0] == "tab\there\x1b[2J\n"
    assert written(terminal)[0] == "tab\there\\x1b[2J\n"


def test_pipes_get_no_trailing_blanks_and_no_broken_lines() -> None:
    from rich.table import Table

    table = Table.grid()
    table.add_row("short", "")
    table.add_row("long " * 60, "end")
    out = make_output(Mode.HUMAN)
    out.show(table)
    lines = written(out)[0].splitlines()
    assert len(lines) == 2
    assert lines[0] == "short"


@given(st.text())
def test_cleaned_text_holds_no_character_that_a_terminal_obeys(text: str) -> None:
    assert all(
        character in "\n\t" or character.isprintable() or ord(character) >= 0xA0
        for character in clean(text)
    )


@given(st.recursive(st.none() | st.text() | st.integers(), st.lists, max_leaves=5))
def test_json_says_the_same_but_holds_nothing_that_a_terminal_obeys(document: object) -> None:
    value: Json = document  # type: ignore[assignment]
    text = render_json(value)
    assert json.loads(text) == document
    assert clean(text) == text
    text.encode("utf-8")
