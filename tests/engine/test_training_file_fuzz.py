"""Any bytes as a training file: refused with a line number, or accepted, and then the trainer reads
what it was given."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftops.engine.settings import EngineSettings
from ftops.engine.tiny.batch import encode_examples
from ftops.engine.tiny.document import Document, render_answer, render_pair, render_row
from ftops.engine.tiny.tokenizer import Tokenizer
from ftops.engine.trainer import get_prompt
from ftops.engine.training_file import (
    CompletionRow,
    InvalidTrainingFile,
    PreferenceRow,
    TrainingRow,
    check_file,
    get_answer_text,
    get_format,
    read_rows,
)
from ftops.engine.validation import ERROR, PROCESSED, FileSummaries, validate_file
from tests.engine.running import run_engine
from tests.examples import examples

_PLACE = re.compile(r"line [1-9][0-9]*: \S")
TEXTS = st.text(max_size=30)
ODD_TEXTS = st.sampled_from(
    ['"\\ud800"', '"\\udc00\\ud800"', '"\\u0000"', '"\\u2028"', '"\\ud83d\\ude00"', '"a\\\nb"',
     "NaN", "Infinity", "-0", "1e999", "1" * 400, "true", "null", "[]", "{}", '"\\x"',
     '"' + "\x01" + '"', "[" * 2000 + "]" * 2000, '{"a":' * 500 + "1" + "}" * 500]
)  # fmt: skip
VALUES = st.one_of(TEXTS.map(json.dumps), ODD_TEXTS)
KEYS = st.sampled_from(["prompt", "completion", "messages", "tools", "extra", "prompt\\u0000", ""])
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "developer", "user", "assistant", "tool"])},
        optional={
            "content": st.one_of(
                TEXTS, st.none(), st.lists(st.fixed_dictionaries({"type": st.just("text"),
                                                                  "text": TEXTS}), max_size=2),
            ),
            "weight": st.sampled_from([0, 1, 1.0, True, 2, 10**30, None]),
            "name": st.one_of(TEXTS, st.integers()),
        },
    ),
    max_size=4,
)  # fmt: skip
CHATS = MESSAGES.map(lambda messages: json.dumps({"messages": messages}))
ROWS = st.fixed_dictionaries({"prompt": TEXTS, "completion": TEXTS}).map(json.dumps)
OBJECTS = st.lists(st.tuples(KEYS, VALUES), max_size=4).map(
    lambda pairs: "{" + ", ".join(f'"{key}": {value}' for key, value in pairs) + "}"
)
LINES = st.one_of(
    ROWS.map(str.encode),
    ROWS.map(str.encode),
    CHATS.map(str.encode),
    OBJECTS.map(lambda text: text.encode("utf-8", "surrogatepass")),
    VALUES.map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from([b"", b" ", b"\t", b"\x0b", b"\xef\xbb\xbf", b"\xff", b"\0", b"\xed\xa0\x80"]),
    st.binary(max_size=20),
)
FILES = st.builds(
    lambda mark, lines, end, last: mark + end.join(lines) + last,
    st.sampled_from([b"", b"\xef\xbb\xbf", b"\xff\xfe"]),
    st.lists(LINES, max_size=6),
    st.sampled_from([b"\n", b"\r\n", b"\r", b"\n\n"]),
    st.sampled_from([b"", b"\n", b"\r\n"]),
)


GOOD_FILES = st.lists(ROWS, min_size=1).map(lambda rows: "\n".join(rows).encode())


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rows") / "rows.jsonl"


@examples(200)
@given(content=st.one_of(FILES, GOOD_FILES))
def test_what_is_accepted_is_read_and_what_is_refused_is_reported_with_its_line(
    path: Path, content: bytes
) -> None:
    path.write_bytes(content)
    status, details = validate_file(path, FileSummaries())
    if status == ERROR:
        assert _PLACE.match(details or ""), details
        assert len(details or "") < 4000
        return
    assert (status, details) == (PROCESSED, None)
    summary = check_file(path)
    rows = list(read_rows(path))
    assert len(rows) == summary.rows > 0
    assert {get_format(row) for row in rows} == {summary.format}
    documents = [document for row in rows for document in trained_documents(row)]
    texts = [segment.text for document in documents for segment in document]
    tokenizer = Tokenizer.train(texts, 300)
    for example in encode_examples(documents, tokenizer):
        assert example.weights.any()  # there is something to learn
    for row in rows:
        tokenizer.encode_document(render_answer(get_prompt(row), get_answer_text(row)))


def trained_documents(row: TrainingRow) -> tuple[Document, ...]:
    """What is trained on: the row, or both answers of a pair."""
    if isinstance(row, PreferenceRow):
        pair = render_pair(row)
        return pair.preferred, pair.other
    return (render_row(row, 0.1),)


@given(content=st.binary(max_size=200))
def test_any_bytes_are_a_verdict(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    status, details = validate_file(path, FileSummaries())
    assert status == ERROR  # chance writes no row
    assert _PLACE.match(details or ""), details


@given(rows=st.lists(st.tuples(TEXTS, TEXTS.filter(bool)), min_size=1), mark=st.booleans(),
       end=st.sampled_from(["\n", "\r\n", "\n\n", " \n\t\n"]), last=st.booleans())  # fmt: skip
def test_good_rows_are_read_as_they_were_written_whatever_ends_their_lines(
    path: Path, rows: list[tuple[str, str]], mark: bool, end: str, last: bool
) -> None:
    lines = [json.dumps({"prompt": p, "completion": c}, ensure_ascii=False) for p, c in rows]
    text = end.join(lines) + (end if last else "")
    path.write_bytes((b"\xef\xbb\xbf" if mark else b"") + text.encode())
    assert list(read_rows(path)) == [CompletionRow(p, c) for p, c in rows]
    assert check_file(path).rows == len(rows)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"prompt": "\\ud800", "completion": "c"}', "not valid JSON"),
        (b'{"prompt": "\xed\xa0\x80", "completion": "c"}', "not valid JSON"),
        (b'{"prompt": "a", "completion": 1' + b"0" * 400 + b"}", "not valid JSON"),
        (b'{"prompt": "a", "completion": 123456789012345678901234567890}', "is a number"),
        (b'{"messages": [{"role": "' + b"x" * 1000 + b'"}]}', "role is 'x{39}…'; it is one of"),
        (b'{"messages": [{"role": 7}]}', "role is a number; it is one of"),
        (b'{"prompt": "a", "completion": "b", "' + b"x" * 1000 + b'": 1}', "key 'x{39}…'; a row"),
        (b'{"prompt": "a", "completion": Infinity}', "not valid JSON"),
        (b"[" * 100_000, "more than 20,000 values"),
        (b'{"prompt": "a\0", "completion": "c"}', "not valid JSON"),
        (b"\xef\xbb\xbf{}", "not valid JSON"),
    ],
)
def test_what_is_odd_is_refused(path: Path, line: bytes, reason: str) -> None:
    path.write_bytes(b'{"prompt": "a", "completion": "b"}\n' + line)
    with pytest.raises(InvalidTrainingFile, match=f"^line 2: .*{reason}"):
        check_file(path)


def test_a_duplicate_key_is_refused_with_its_line(path: Path) -> None:
    path.write_bytes(b'{"prompt": "a", "completion": "b", "prompt": "c"}')
    with pytest.raises(InvalidTrainingFile, match="line 1: the key 'prompt' is duplicated"):
        list(read_rows(path))


def test_a_file_of_odd_but_good_rows_trains_a_model(tmp_path: Path) -> None:
    texts = ["\0", "\u2028", "\r\n", "😀", " ", "\ufeff", "\x7f", "<end_of_text>", "\U0010ffff"]
    rows: list[dict[str, object]] = [{"prompt": text, "completion": text} for text in texts]
    with run_engine(EngineSettings(tmp_path)) as running:
        sdk = running.sdk
        job = sdk.fine_tuning.jobs.create(
            model="ada", training_file=running.upload(rows), hyperparameters={"n_epochs": 1}
        )
        ended = running.wait_for_end(job.id)
        assert ended.status == "succeeded", ended.error
        assert ended.fine_tuned_model
        for text in texts:
            sdk.completions.create(model=ended.fine_tuned_model, prompt=text, max_tokens=4)
