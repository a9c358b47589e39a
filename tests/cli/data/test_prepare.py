"""`ftops data prepare`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ftops.cli.data.prepare_view import show_change
from ftops.data.plans.runner import FixExample
from tests.cli.running import ftops
from tests.data.workbooks import make_workbook

SEPARATOR = "\n\n###\n\n"


@pytest.fixture(autouse=True)
def nothing_is_written_to_the_home(temporary_home: Path) -> Iterator[None]:
    yield
    assert not temporary_home.exists()


def write(path: Path, count: int = 300, *more: str) -> Path:
    """Rows with free answers and without separator and stop."""
    rows = [
        json.dumps({"prompt": f"{n}, what is it?", "completion": f"{chr(97 + n % 26)} is {n}"})
        for n in range(count)
    ]
    path.write_text("\n".join([*rows, *more]) + "\n", encoding="utf-8")
    return path


def read(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_without_a_terminal_it_is_a_dry_run_with_examples(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", 300, '{"prompt": "a", "completion": null}')
    result = ftops("data", "prepare", path, "-o", tmp_path / "out.jsonl")
    assert result.code == 0
    assert "drop-invalid-rows  drop invalid rows: 1 row (null-value)" in result.out
    assert "    line 301\n      before  {" in result.out
    assert "after   (dropped)" in result.out
    assert "add-separator  end every prompt with the separator: 300 rows" in result.out
    assert r'after   "0, what is it?\n\n###\n\n"' in result.out
    assert "300 rows would be written. Dry run: nothing was written." in result.out
    assert [entry.name for entry in tmp_path.iterdir()] == ["train.jsonl"]


def test_yes_applies_every_fix_writes_the_plan_and_suggests_the_next_step(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl")
    before = path.read_bytes()
    result = ftops("data", "prepare", path, "--yes")
    assert result.code == 0, result.err
    out = tmp_path / "train.prepared.jsonl"
    assert read(out)[0] == {"prompt": f"0, what is it?{SEPARATOR}", "completion": " a is 0\n"}
    assert r"At inference: end prompts with '\n\n###\n\n', stop at '\n'." in result.out
    assert "ftops init" in result.out
    assert path.read_bytes() == before
    assert "add-leading-space" in (tmp_path / f"{out.name}.plan.yaml").read_text()


def test_a_plan_repeats_the_preparation_without_confirmation(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl")
    ftops("data", "prepare", path, "-o", tmp_path / "a.jsonl", "--yes")
    plan = tmp_path / "a.jsonl.plan.yaml"
    second = ftops("data", "prepare", path, "-o", tmp_path / "b.jsonl", "--plan", plan)
    assert second.code == 0, second.err
    assert (tmp_path / "b.jsonl").read_bytes() == (tmp_path / "a.jsonl").read_bytes()
    assert not (tmp_path / "b.jsonl.plan.yaml").exists()
    bad = write(tmp_path / "tomorrow.jsonl", 3, "nonsense")
    result = ftops("data", "prepare", bad, "-o", tmp_path / "c.jsonl", "--plan", plan)
    assert result.code == 1
    assert "tomorrow.jsonl:4: not JSON" in result.err
    assert not (tmp_path / "c.jsonl").exists()


def test_nothing_is_overwritten_without_force_and_the_input_never(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl")
    out = tmp_path / "out.jsonl"
    assert ftops("data", "prepare", path, "-o", out, "--yes").code == 0
    refused = ftops("data", "prepare", path, "-o", out, "--yes")
    assert refused.code == 1
    assert "already exists" in refused.err
    assert "--force" in refused.err
    assert ftops("data", "prepare", path, "-o", out, "--yes", "--force").code == 0
    link = tmp_path / "link.jsonl"
    link.symlink_to(path)
    for target in (path, link):
        result = ftops("data", "prepare", path, "-o", target, "--yes", "--force")
        assert result.code == 1
        assert "is the input, which is never changed" in result.err
    wrong = ftops("data", "prepare", path, "-o", tmp_path / "out.csv", "--yes")
    assert "ftops data convert" in wrong.err


def test_too_few_rows_after_deduplication_suggest_adding_rows(tmp_path: Path) -> None:
    rows = [{"prompt": f"What is {n % 6}?", "completion": f"It is {n % 6}."} for n in range(12)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    result = ftops("data", "prepare", path, "--yes")
    assert result.code == 0
    assert "unresolved  too-few-rows: 6 rows; the minimum of most providers is 10" in result.out
    assert "few-rows: 12 rows" not in result.out
    assert "ftops data split" not in result.out
    assert "Next: add rows to" in result.out


def test_as_json_and_quiet(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl")
    dry = ftops("data", "prepare", path, "--json").document
    assert dry["written"] is False
    document = json.loads(ftops("data", "prepare", path, "--json", "--yes").out)
    assert document["rows"] == 300
    assert document["out"] == str(tmp_path / "train.prepared.jsonl")
    first = document["fixes"][0]
    assert (first["code"], first["rows"]) == ("add-separator", 300)
    assert first["values"]["separator"] == SEPARATOR
    assert first["examples"][0]["after"] == f"0, what is it?{SEPARATOR}"
    quiet = ftops("data", "prepare", path, "--yes", "--force", "-q").out.splitlines()
    assert quiet == [document["out"], document["plan_file"]]


def test_standard_input_is_read_once_and_needs_an_output_name(tmp_path: Path) -> None:
    data = write(tmp_path / "train.jsonl").read_bytes()
    assert "-o OUT" in ftops("data", "prepare", "-", "--yes", stdin=data).err
    out = tmp_path / "out.jsonl"
    result = ftops("data", "prepare", "-", "-o", out, "--yes", stdin=data)
    assert result.code == 0, result.err
    assert "standard input" in result.out
    assert len(read(out)) == 300


def test_errors_name_standard_input(tmp_path: Path) -> None:
    result = ftops("data", "prepare", "-", stdin="a,b\n1,2,3\n4\n")
    assert result.code == 1
    assert result.err.startswith("error: standard input")
    columns = ("--prompt", "a", "--completion", "b")
    dry = ftops("data", "prepare", "-", *columns, stdin="a,b\n1,2\n4,5\n")
    assert (dry.code, "2 rows would be written" in dry.out) == (0, True)


def test_a_workbook_is_prepared(tmp_path: Path) -> None:
    cells = [
        ["Customer says", "We reply"],
        *([f"What is {n}?", f"{chr(97 + n % 26)} {n}"] for n in range(40)),
    ]
    cells += [["What?", ""], cells[1]]
    book = tmp_path / "faq.xlsx"
    book.write_bytes(make_workbook({"Sheet1": cells}))
    refused = ftops("data", "prepare", book)
    assert "--prompt '{Customer says}' --completion 'We reply'" in refused.err
    columns = ("--prompt", "Customer says", "--completion", "We reply")
    document = json.loads(ftops("data", "prepare", book, *columns, "--yes", "--json").out)
    counts = {fix["check"] or fix["code"]: fix["rows"] for fix in document["fixes"]}
    assert counts["empty-completion"] == 1
    assert counts["drop-duplicates"] == 1
    assert len(read(tmp_path / "faq.prepared.jsonl")) == 40


def test_a_table_with_templates_becomes_rows_and_the_plan_has_the_columns(
    tmp_path: Path,
) -> None:
    table = tmp_path / "sentences.csv"
    table.write_text("text,label\n" + "".join(f"row {n},kind {n % 3}\n" for n in range(300)))
    columns = ["--prompt", "{text} is what?", "--completion", "label"]
    out = tmp_path / "out.jsonl"
    assert ftops("data", "prepare", table, "-o", out, "--yes", *columns).code == 0
    assert read(out)[4] == {"prompt": f"row 4 is what?{SEPARATOR}", "completion": " 2"}
    plan = tmp_path / "out.jsonl.plan.yaml"
    second = ftops("data", "prepare", table, "-o", tmp_path / "b.jsonl", "--plan", plan)
    assert second.code == 0, second.err
    assert (tmp_path / "b.jsonl").read_bytes() == out.read_bytes()


def test_unknown_codes_are_reported(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl")
    result = ftops("data", "prepare", path, "--skip", "add-seperator")
    assert result.code == 2
    assert "Did you mean 'add-separator'?" in result.err


def test_rows_that_are_too_long_are_dropped_on_request(tmp_path: Path) -> None:
    long_text = json.dumps({"prompt": "x" * 500, "completion": "y"})
    path = write(tmp_path / "train.jsonl", 300, long_text)
    document = json.loads(ftops("data", "prepare", path, "--max-characters", "400", "--json").out)
    assert [fix["rows"] for fix in document["fixes"] if fix["code"] == "drop-long-rows"] == [1]
    assert document["rows"] == 300


def test_an_example_shows_the_changed_part() -> None:
    long_text = "x" * 200
    before, after = show_change(FixExample(1, long_text + "a", long_text + "b", whole=False))
    assert before == '"…' + "x" * 71 + 'a"'
    assert after == '"…' + "x" * 71 + 'b"'
    assert show_change(FixExample(1, "{a: 1}", None)) == ("{a: 1}", None)


@pytest.mark.parametrize(
    "flags",
    [
        ["--only", "majority-vote"],
        ["--task", "generation"],
        ["--plan-out", "p"],
        ["--redact"],
        ["--pii"],
    ],
)
def test_options_that_a_plan_ignores_are_refused(tmp_path: Path, flags: list[str]) -> None:
    path = write(tmp_path / "train.jsonl")
    result = ftops("data", "prepare", path, "--plan", tmp_path / "plan.yaml", *flags)
    assert result.code == 1
    assert f"{flags[0]} has no effect with --plan" in result.err


def test_the_plan_and_the_rows_must_be_different_files(tmp_path: Path) -> None:
    path, out = write(tmp_path / "train.jsonl"), tmp_path / "out.jsonl"
    result = ftops("data", "prepare", path, "-o", out, "--plan-out", out, "--yes")
    assert result.code == 1
    assert "different files" in result.err
    assert not out.exists()


MAIL = "jo.doe@firma.de"


def write_mails(path: Path) -> Path:
    """Rows with free answers, two of them with an email address."""
    more = [json.dumps({"prompt": f"{n}, {MAIL}?", "completion": "ask him"}) for n in (1, 2)]
    return write(path, 30, *more)


def test_redact_replaces_private_data_and_shows_none_of_it(tmp_path: Path) -> None:
    path = write_mails(tmp_path / "train.jsonl")
    assert "placeholders" not in ftops("data", "prepare", path).out
    dry = ftops("data", "prepare", path, "--pii")
    assert "redact  replace personal data" in dry.out
    assert "2 rows (email-address)" in dry.out
    assert '      before  "1, jo.… (15 characters)?"' in dry.out
    assert '      after   "1, [EMAIL]?"' in dry.out
    result = ftops("data", "prepare", path, "--yes", "--redact", "--json")
    assert MAIL not in dry.out + dry.err + result.out
    assert read(tmp_path / "train.prepared.jsonl")[30]["prompt"] == f"1, [EMAIL]?{SEPARATOR}"
    plan = tmp_path / "train.prepared.jsonl.plan.yaml"
    later_rows = tmp_path / "tomorrow.jsonl"
    later_rows.write_text('{"prompt": "+49 170 1234567 or x@firma.de", "completion": " no"}\n')
    second = ftops("data", "prepare", later_rows, "-o", tmp_path / "b.jsonl", "--plan", plan)
    assert second.code == 0, second.err
    assert read(tmp_path / "b.jsonl")[0]["prompt"] == f"[PHONE] or [EMAIL]{SEPARATOR}"
    assert "firma.de" not in second.out


def test_an_unknown_kind_in_a_plan_is_reported_with_its_place(tmp_path: Path) -> None:
    path = write_mails(tmp_path / "train.jsonl")
    plan = tmp_path / "plan.yaml"
    plan.write_text("version: 1\nsteps:\n  - redact:\n      codes: [email-adress]\n")
    result = ftops("data", "prepare", path, "--plan", plan)
    assert result.code == 1
    assert "plan.yaml:4:15" in result.err
    assert "did you mean 'email-address'?" in result.err


def annotate(path: Path, **rows: int) -> Path:
    """Annotate the rows with these numbers, from 0; the path of the annotations."""
    annotations_file = path.with_name(f"{path.name}.annotations.jsonl")
    names = ftops("data", "sample", path, "-n", "1000", "-q").out.split()
    words = [f"{names[row]}={name}" for name, row in rows.items()]
    assert ftops("data", "sample", path, *(f"--annotate={word}" for word in words)).code == 0
    return annotations_file


def test_rows_annotated_drop_are_dropped_now_and_by_the_plan(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", 30)
    annotations = annotate(path, drop=4, keep=5)
    out = tmp_path / "out.jsonl"
    result = ftops("data", "prepare", path, "-o", out, "--yes")
    assert result.code == 0, result.err
    assert f"{annotations}: 2 annotations" in result.err
    assert "drop-annotated  drop rows annotated drop: 1 row" in result.out
    assert len(read(out)) == 29
    repeated = ("-o", tmp_path / "a.jsonl", "--plan", tmp_path / "out.jsonl.plan.yaml")
    assert f"{annotations}: ignored" in ftops("data", "prepare", path, *repeated).err
    later_rows = tmp_path / "tomorrow.jsonl"
    later_rows.write_text("".join(reversed(path.read_text().splitlines(keepends=True))))
    plan = ("--plan", tmp_path / "out.jsonl.plan.yaml")
    assert ftops("data", "prepare", later_rows, "-o", tmp_path / "b.jsonl", *plan).code == 0
    assert read(tmp_path / "b.jsonl") == read(out)[::-1]


def test_nothing_is_written_while_rows_are_annotated_fix(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", 30)
    annotations = annotate(path, fix=6)
    dry = ftops("data", "prepare", path)
    assert dry.code == 0
    assert "warning: 1 row is annotated fix: line 7" in dry.err
    refused = ftops("data", "prepare", path, "--yes")
    assert refused.code == 1
    assert "train.jsonl: 1 row is annotated fix: line 7" in refused.err
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["train.jsonl", annotations.name]
    assert ftops("data", "prepare", path, "--yes", "--ignore-annotations").code == 0
    path.write_text(path.read_text().replace("6, what is it?", "6, what may it be?"))
    fixed = ftops("data", "prepare", path, "--yes", "--force")
    assert fixed.code == 0, fixed.err
    assert "1 annotation, 1 of rows that are not in" in fixed.err


def test_a_named_annotations_file_must_exist(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", 30)
    result = ftops("data", "prepare", path, "--annotations", tmp_path / "none.jsonl")
    assert result.code == 1
    assert "none.jsonl: cannot read: No such file" in result.err
