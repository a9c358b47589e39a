"""The conformance suite itself: what counts as a failure, and the page that it writes."""

import sys
from pathlib import Path

import pytest

from conformance.clients import CLIENTS
from conformance.operation import Failed, OperationContext, Output
from conformance.report import Row, Table, render_report
from ftops.records import EngineAddress


@pytest.fixture
def context(tmp_path: Path) -> OperationContext:
    return OperationContext(
        EngineAddress("http://127.0.0.1:1/v1", "key", 1, "1"), tmp_path, tmp_path
    )


def test_an_output_must_have_every_word_and_the_expected_exit_code() -> None:
    output = Output(0, "one two", "three")
    assert output.expect("one", "three") is output
    with pytest.raises(Failed, match="'four' is not in: one twothree"):
        output.expect("one", "four")
    with pytest.raises(Failed, match="exit code 0"):
        output.expect("one", code=1)


def test_a_command_does_not_get_the_users_keys(
    context: OperationContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.setenv("TOGETHER_API_KEY", "secret")
    program = "import os; print(sorted(name for name in os.environ if 'API_KEY' in name))"
    assert context.run(sys.executable, "-c", program).expect().out == "[]\n"


def test_a_command_that_hangs_fails(context: OperationContext) -> None:
    with pytest.raises(Failed, match="not done after"):
        context.run(sys.executable, "-c", "import signal; signal.pause()", limit_s=0.5)


def test_an_interrupted_command_receives_ctrl_c(context: OperationContext) -> None:
    program = """
import signal
try:
    print('ready', flush=True)
    signal.pause()
except KeyboardInterrupt:
    print('stopped')
"""
    output = context.interrupt(sys.executable, "-c", program, when="ready")
    assert output.expect("stopped").out == "ready\nstopped\n"


def test_a_missing_result_of_an_earlier_operation_is_a_failure(context: OperationContext) -> None:
    with pytest.raises(Failed, match="no earlier operation stored a model"):
        context.get("model")


def test_the_page_has_a_row_for_each_operation_and_says_what_failed() -> None:
    rows = [Row("list", None), Row("create | delete", "exit code 1:\nno | such")]
    page = render_report([Table("one", rows), Table("two", absent="there is no npm")])
    assert "| one | 1 of 2 |" in page
    assert "| two | not run |" in page
    assert "| list | pass |" in page
    assert "| create \\| delete | **fail**: exit code 1: no \\| such |" in page
    assert "Not run on this machine: there is no npm" in page


def test_clients_and_their_operations_have_unique_names() -> None:
    names = [client.name for client in CLIENTS]
    assert len(set(names)) == len(names)
    for client in CLIENTS:
        operations = [operation.name for operation in client.operations]
        assert operations
        assert len(set(operations)) == len(operations)
