"""How a problem is rendered: place, line, caret."""

from ftops.spec.problem import ProblemReport, SourceText, Span, SpecProblem, quoted, render_problem


def render(text: str, needle: str) -> list[str]:
    start = text.index(needle)
    source = SourceText("a.yaml", text)
    return render_problem(
        SpecProblem(Span(source, start, start + len(needle)), "wrong")
    ).splitlines()


def test_the_caret_is_below_the_place() -> None:
    assert render("a: 1\nb: two\n", "two") == ["a.yaml:2:4: wrong", "    b: two", "       ^^^"]


def test_columns_count_characters_and_carets_count_cells() -> None:
    head, line, caret = render("世界: é\u0301x\n", "x")
    assert head == "a.yaml:1:7: wrong"
    assert line == "    世界: é\u0301x"
    assert caret == "    " + " " * 7 + "^"


def test_a_tab_takes_one_cell_in_the_line_and_under_it() -> None:
    assert render("a:\t\tx\n", "x") == ["a.yaml:1:5: wrong", "    a:  x", "        ^"]


def test_every_kind_of_line_end_counts_once() -> None:
    assert render("a\r\nb\rc\nd: x", "x")[0] == "a.yaml:4:4: wrong"


def test_a_long_line_is_cut_around_the_caret() -> None:
    _, line, caret = render("y" * 5000 + "NEEDLE" + "z" * 5000, "NEEDLE")
    assert len(line) < 110
    assert line[caret.index("^") : caret.rindex("^") + 1] == "NEEDLE"
    assert line.strip().startswith("…")
    assert line.endswith("…")


def test_carets_end_with_the_line() -> None:
    source = SourceText("a.yaml", "x" * 500 + "\nnext")
    text = render_problem(SpecProblem(Span(source, 3, 504), "wrong"))
    assert max(map(len, text.splitlines())) < 110


def test_a_place_at_the_end_of_the_text_is_shown() -> None:
    source = SourceText("a.yaml", "a: [1\n")
    assert render_problem(SpecProblem(Span(source, 6, 7), "wrong")) == "a.yaml:2:1: wrong"


def test_escape_sequences_are_replaced() -> None:
    assert render("a: \x1b[31m x", "x")[1] == "    a: \ufffd[31m x"


def test_hidden_text_is_shown_as_asterisks() -> None:
    source = SourceText("a.yaml", "key: hunter2 # see")
    text = render_problem(SpecProblem(Span(source, 0, 3), "wrong"), hidden=[Span(source, 5, 12)])
    assert "    key: ******* # see" in text


def test_quoted_text_is_short_escaped_and_without_secrets() -> None:
    assert quoted("a\nb") == "'a\\nb'"
    assert len(quoted("x" * 1000)) == 42
    assert quoted("sk-abcdefghij0123456789ABCD") == f"'{'*' * 27}'"


def test_a_report_shows_the_first_fifty_and_counts_the_rest() -> None:
    source, report = SourceText("a.yaml", "a\n" * 70), ProblemReport()
    for line in range(70):
        report.add(Span(source, 2 * line, 2 * line + 1), f"wrong {line}")
    message = report.error().message
    assert "wrong 49" in message
    assert "wrong 50" not in message
    assert message.endswith("… and 20 more problems")
