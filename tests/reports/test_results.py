"""Results files of all known formats, complete and damaged."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftops.errors import InvalidResponse
from ftops.reports.results import ResultRow, parse_results, render_csv, render_csv_of_runs

OPENAI = b"""step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy
1,3.25,0.5,3.5,0.25
2,1.5,0.75,,
"""
ENGINE = (
    b"step,epoch,elapsed_tokens,elapsed_examples,train_loss,train_accuracy,valid_loss,"
    b"valid_mean_token_accuracy,train_sequence_accuracy,valid_sequence_accuracy,"
    b"classification/accuracy\n"
    b"1,1,64,8,2.0,0.5,2.1,0.4,0.25,0.125,\n"
    b"2,1,128,16,1.0,0.75,,,0.5,,0.9\n"
)


def test_the_columns_of_openai_are_read_with_empty_cells_as_none() -> None:
    assert parse_results(OPENAI) == [
        ResultRow(1, 3.25, 0.5, 3.5, 0.25),
        ResultRow(2, 1.5, 0.75, None, None),
    ]


@pytest.mark.parametrize("wrap", [base64.b64encode, base64.encodebytes], ids=["one line", "many"])
def test_a_results_file_in_base64_is_read(wrap: object) -> None:
    assert callable(wrap)
    assert parse_results(wrap(OPENAI)) == parse_results(OPENAI)


def test_additional_columns_of_the_engine_are_kept() -> None:
    last = parse_results(ENGINE)[-1]
    assert (last.step, last.train_loss, last.valid_loss) == (2, 1.0, None)
    assert (last.epoch, last.rows_seen, last.tokens_seen) == (1, 16, 128)
    assert last.extra["valid_sequence_accuracy"] is None
    assert last.extra["classification/accuracy"] == 0.9


def test_azure_column_names_and_minus_one_for_missing_values_are_read() -> None:
    content = (
        b"step,train_loss,train_mean_token_accuracy,valid_loss,validation_mean_token_accuracy,"
        b"full_valid_loss,full_valid_mean_token_accuracy\n"
        b"1,2.5,0.5,-1.0,-1.0,1.75,0.625\n"
    )
    assert parse_results(content) == [
        ResultRow(1, 2.5, 0.5, full_valid_loss=1.75, full_valid_accuracy=0.625)
    ]


def test_legacy_column_names_are_read() -> None:
    content = (
        b"step,elapsed_tokens,elapsed_examples,training_loss,training_sequence_accuracy,"
        b"training_token_accuracy,validation_loss,validation_token_accuracy\n"
        b"1,10,1,0.5,1,0.25,0.75,0.125\n"
    )
    (row,) = parse_results(content)
    assert row.train_loss == 0.5
    assert row.train_accuracy == 0.25
    assert row.valid_loss == 0.75
    assert row.valid_accuracy == 0.125
    assert (row.tokens_seen, row.rows_seen) == (10, 1)
    assert row.extra["train_sequence_accuracy"] == 1  # the name of the current format


def test_full_and_partial_validation_columns_are_distinct() -> None:
    (row,) = parse_results(b"step,train_loss,full_valid_loss\n9,0.5,0.75\n")
    assert (row.valid_loss, row.full_valid_loss) == (None, 0.75)


def test_a_fraction_of_an_epoch_belongs_to_the_current_epoch() -> None:
    rows = parse_results(b"step,epoch,lr\n1,0.4,1e-4\n2,0.8,\n3,1.0,\n4,1.2,\n")
    assert [row.epoch for row in rows] == [1, 1, 1, 2]
    assert rows[0].learning_rate == 1e-4


def test_a_table_of_several_runs_has_their_ids() -> None:
    first, second = ResultRow(1, 0.5), ResultRow(1, 0.25, extra={"x": 1.0})
    lines = render_csv_of_runs([("run-1", [first]), ("run-2", [second])]).splitlines()
    assert lines[0].startswith("run,step,train_loss,")
    assert [line.split(",")[:3] for line in lines[1:]] == [
        ["run-1", "1", "0.5"],
        ["run-2", "1", "0.25"],
    ]
    assert [line.split(",")[-1] for line in lines] == ["x", "", "1"]


def test_the_same_columns_are_written_for_all_providers() -> None:
    tables = [OPENAI, ENGINE.replace(b",classification/accuracy", b",x"), b"step\n1\n"]
    headers = [render_csv(parse_results(table)).splitlines()[0] for table in tables]
    assert headers[1].startswith(headers[0])  # the engine has additional columns
    assert headers[0] == headers[2]


def test_a_byte_order_mark_windows_line_ends_and_quotes_are_accepted() -> None:
    content = b'\xef\xbb\xbf"step","train_loss"\r\n"1","0.5"\r\n\r\n'
    assert parse_results(content) == [ResultRow(1, train_loss=0.5)]


@pytest.mark.parametrize("cell", [b"nan", b"inf", b"-Infinity", b"None", b"null", b""])
def test_an_invalid_number_is_none(cell: bytes) -> None:
    (row,) = parse_results(b"step,train_loss\n3," + cell + b"\n")
    assert row.train_loss is None
    assert row.is_lost is (cell not in (b"None", b"null", b""))
    assert parse_results(render_csv([row]).encode()) == [row]


def test_a_file_with_only_headers_has_no_rows() -> None:
    assert parse_results(b"step,train_loss\n") == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"<html>not found</html>", "no column 'step'"),
        (b"loss,accuracy\n1,2\n", "no column 'step'"),
        (base64.b64encode(b"hello there, nothing here"), "no column 'step'"),
        (b"\xff\xfe\x00step", "no column 'step'"),
        (b"step,train_loss\n1,0.5\n2", "line 3: 1 cells under 2 headers"),
        (b"step,train_loss\n1,0.5,7\n", "line 2: 3 cells under 2 headers"),
        (b"step,train_loss\none,0.5\n", "line 2: step 'one' is not a whole number"),
        (b"step,train_loss\n1.5,0.5\n", "step '1.5'"),
        (b"step,train_loss\n1,high\n", "line 2: train_loss 'high' is not a number"),
        (b'step,train_loss\n1,"0.5\n', "line 2"),
    ],
)
def test_an_invalid_results_file_is_an_error_with_its_reason(content: bytes, reason: str) -> None:
    with pytest.raises(InvalidResponse, match="results file") as caught:
        parse_results(content)
    assert reason in caught.value.message


FIGURES = st.none() | st.floats(0, 1e6, allow_nan=False)


COUNTS = st.none() | st.integers(0, 10**9)


@given(
    st.lists(
        st.builds(
            ResultRow,
            st.integers(0, 10**9),
            FIGURES,
            FIGURES,
            FIGURES,
            FIGURES,
            st.fixed_dictionaries({"x": FIGURES, "classification/accuracy": FIGURES}),
            full_valid_loss=FIGURES,
            full_valid_accuracy=FIGURES,
            epoch=COUNTS,
            rows_seen=COUNTS,
            tokens_seen=COUNTS,
            learning_rate=FIGURES,
            is_lost=st.just(False),
        ),
        max_size=5,
    )
)
def test_written_csv_is_read_back_unchanged(rows: list[ResultRow]) -> None:
    assert parse_results(render_csv(rows).encode()) == rows


@given(st.binary(max_size=200))
def test_any_content_is_read_or_a_known_error(content: bytes) -> None:
    for candidate in (content, b"step,train_loss\n" + content):
        try:
            parse_results(candidate)
        except InvalidResponse:
            continue


@given(
    st.lists(
        st.tuples(
            st.integers(0, 10**9),
            st.one_of(
                st.floats(0, 1e300).map(repr),
                st.sampled_from(["", "nan", "-1", " 2.5 ", "1e-05", "inf", "0." + "1" * 400]),
            ),
            st.sampled_from(["", "0.5", "1"]),
        ),
        max_size=9,
    )
)
def test_an_unquoted_file_is_read_like_the_quoted_file(rows: list[tuple[int, str, str]]) -> None:
    names = ("step", "train_loss", "other")
    plain = "".join(f"{','.join(map(str, row))}\n" for row in [names, *rows])
    quoted = "".join(",".join(f'"{cell}"' for cell in row) + "\n" for row in [names, *rows])
    assert parse_results(plain.encode()) == parse_results(quoted.encode())


@pytest.mark.parametrize("line", ["1,2,3", "1", "1.5,2", "x,2", "1,1e-", "1,2.5.5"])
def test_an_invalid_line_of_an_unquoted_file_is_named(line: str) -> None:
    with pytest.raises(InvalidResponse, match="line 3"):
        parse_results(f"step,train_loss\n0,1.5\n{line}\n".encode())
