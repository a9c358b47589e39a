"""Hostile and damaged job files."""

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftops.errors import SpecError, UsageError
from ftops.spec.job_file import LoadedJob, load_job
from ftops.spec.yaml_reader import MAX_BYTES
from tests.spec.job_files import MINIMAL, get_first_lines, get_load_error, load_text, write_job

PROPERTY = settings(deadline=None, derandomize=True, database=None, max_examples=100)

BOMB = "a: &a [x, x]\n" + "".join(
    f"{name}: &{name} [*{before}, *{before}, *{before}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize("opening", ["[", "{", "- ", "? ", "[{"])
def test_a_hundred_thousand_nested_brackets_are_refused(tmp_path: Path, opening: str) -> None:
    assert "nested deeper than 50 levels" in get_load_error(tmp_path, opening * 100_000)


@pytest.mark.parametrize("levels", [51, 1_200, 100_000])
def test_the_limit_of_nesting_does_not_depend_on_the_parser(tmp_path: Path, levels: int) -> None:
    message = get_load_error(tmp_path, "[" * levels)
    assert get_first_lines(message) == ["job.yaml:1:51: nested deeper than 50 levels"]


def test_brackets_in_quoted_text_are_not_nesting(tmp_path: Path) -> None:
    text = f"a: '{'[' * 60}'\nb: \"{'{' * 60}\"  # {'[' * 60}\nname: [a"
    assert get_first_lines(get_load_error(tmp_path, text)) == [
        "job.yaml:3:9: a list that opens with '[' is never closed, or lacks a comma"
    ]


def test_an_alias_bomb_is_refused_unexpanded(tmp_path: Path) -> None:
    message = get_load_error(tmp_path, BOMB)
    assert "job.yaml:1:4: anchors are not allowed in job files" in message
    assert "job.yaml:2:8: aliases are not allowed in job files" in message


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("suffix: !!str 12", "5:9: tags are not allowed"),
        ("suffix: ! 12", "5:9: tags are not allowed"),
        ("suffix: !!python/object:os.system x", "5:9: tags are not allowed"),
        ("suffix: *nothing", "5:9: aliases are not allowed"),
        ("model: curie", "5:1: duplicate key 'model'; it is already in line 3"),
        ("[a, b]: c", "5:1: a list or a mapping cannot be a key"),
        ("? {a: b}\n: c", "5:3: a list or a mapping cannot be a key"),
        ("12: c", "5:1: a key must be text, not 12"),
        ("true: c", "5:1: a key must be text, not true"),
        ("~: c", "5:1: a key must be text, not ~"),
        ("metadata: {? : c}", "5:14: a key must be text, not nothing"),
        ("---\nname: b", "5:1: a second document starts here"),
        ("suffix: 'open", "5:9: this quote is never closed"),
        ("\tsuffix: a", "5:1: a tab cannot indent YAML"),
        ("suffix: @a", "5:9: this character cannot start a value"),
        ("suffix: a: b", "5:10: ':' is not allowed here"),
        ("metadata: {a: b", "6:1: a mapping that opens with '{' is never closed"),
        ("suffix", "6:1: this line should be `key: value`"),
        ('suffix: "a\\qb"', "5:11: unknown backslash sequence"),
        ("suffix: a\x1b[31mb", "5:10: control character U+001B"),
        ("suffix: a\x00b", "5:10: control character U+0000"),
        ('suffix: "a\\0b"', "5:9: the value contains the control character U+0000"),
        ('suffix: "a\\eb"', "5:9: the value contains the control character U+001B"),
    ],
)
def test_forbidden_content_is_reported_with_its_place(
    tmp_path: Path, line: str, reason: str
) -> None:
    problems = get_first_lines(get_load_error(tmp_path, f"{MINIMAL}{line}\n"))
    assert len(problems) == 1
    assert problems[0].startswith(f"job.yaml:{reason}")


def test_bad_utf_8_is_reported_with_its_place(tmp_path: Path) -> None:
    message = get_load_error(tmp_path, "name: käse".encode() + b"\nmodel: a\xff\n")
    assert message.startswith("job.yaml:2:9: not UTF-8: byte 0xff")
    assert "not UTF-8" in get_load_error(tmp_path, MINIMAL.encode("utf-16"))


def test_a_byte_order_mark_and_other_line_ends_are_accepted(tmp_path: Path) -> None:
    text = b"\xef\xbb\xbf" + MINIMAL.replace("\n", "\r\n").encode()
    assert load_text(tmp_path, text).spec == load_text(tmp_path, MINIMAL).spec
    assert "job.yaml:5:9" in get_load_error(tmp_path, text + b"suffix: 3\r\n")


def test_a_file_of_ten_megabytes_is_refused(tmp_path: Path) -> None:
    assert "larger than 1 MiB" in get_load_error(tmp_path, b"# " + b"x" * 10_000_000)


@pytest.mark.parametrize("line", ["sk-abcdefghijklmnopqrstuv1: 1\n", "k{}: 1\n"])
def test_the_report_about_a_mebibyte_of_problems_is_fast_and_truncated(
    tmp_path: Path, line: str
) -> None:
    count = MAX_BYTES // (len(line) + 6)
    text = "".join(line.replace("{}", str(number)) for number in range(count))
    start_s = time.process_time()
    assert len(get_load_error(tmp_path, text)) < 30_000
    assert time.process_time() - start_s < 20


def test_control_characters_never_reach_the_terminal(tmp_path: Path) -> None:
    bidi = "\u202e"
    message = get_load_error(tmp_path, f'{MINIMAL}"x{bidi}y": 1\n')
    assert bidi not in message


def _load(path: Path, overrides: list[str]) -> LoadedJob | None:
    try:
        return load_job(path, environ={"A": "1"}, overrides=overrides)
    except (SpecError, UsageError) as error:
        assert error.message
        return None


@PROPERTY
@given(data=st.binary(max_size=200))
def test_arbitrary_bytes_give_a_job_or_a_spec_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = write_job(tmp_path_factory.getbasetemp(), data)
    assert _load(path, []) is None


YAML_LIKE = st.lists(
    st.sampled_from([
        "name", "provider", "model", "a", ": ", ":", " ", "  ", "\n", "- ", "[", "]", "{", "}", ",",
        "'", '"', "#", "é", "世界", "\\", "\r", "\u2028",
        "|", ">", "&x", "*x", "!t", "%", "@", "`", "\t", "---", "...", "?",
        "<<", "~", "${A}", "${B}", "$${", "1", "0.5", "true",
    ]),
    max_size=40,
).map("".join)  # fmt: skip


@PROPERTY
@given(text=YAML_LIKE)
def test_arbitrary_yaml_like_text_gives_a_job_or_a_spec_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = write_job(tmp_path_factory.getbasetemp(), MINIMAL + text)
    job = _load(path, [])
    assert job is None or job.spec.training_file.startswith("train.jsonl")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = st.sampled_from([
    "name", "provider", "model", "suffix", "training_file", "validation_file", "hyperparameters",
    "seed", "metadata", "prepare", "evaluate", "limits", "type", "base_url", "n_epochs", "file",
    "classification_betas", "max_wait", "format", "compute_classification_metrics",
])  # fmt: skip


@PROPERTY
@given(job=st.dictionaries(FIELDS, VALUES | st.dictionaries(FIELDS, VALUES, max_size=4)))
def test_arbitrary_mappings_give_a_job_or_a_spec_error(
    tmp_path_factory: pytest.TempPathFactory, job: object
) -> None:
    import json  # JSON is valid YAML

    text = json.dumps(job).encode("utf-8", "surrogatepass")
    _load(write_job(tmp_path_factory.getbasetemp(), text), [])


@PROPERTY
@given(overrides=st.lists(st.text(max_size=30) | FIELDS.flatmap(
    lambda key: st.text(max_size=20).map(lambda value: f"hyperparameters.{key}={value}")
), max_size=3))  # fmt: skip
def test_arbitrary_overrides_give_a_job_or_a_spec_error(
    tmp_path_factory: pytest.TempPathFactory, overrides: list[str]
) -> None:
    path = write_job(tmp_path_factory.getbasetemp(), MINIMAL)
    job = _load(path, overrides)
    assert job is None or job.spec.name == "news-topics"
