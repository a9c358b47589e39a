"""A key is sent only to its provider, even if that provider repeats it in every response."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from ftops.providers.engine_process import start_engine, stop_engine
from ftops.records import Json
from tests.e2e.key_echo_proxy import CONTROL_CHARACTERS, KEY, KeyEchoProxy, key_echo_proxy
from tests.e2e.sandbox import Result, Sandbox

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyEchoProxy]:
    folder = tmp_path_factory.mktemp("elsewhere") / "engine"
    with key_echo_proxy(start_engine(folder)) as key_echo:
        yield key_echo
    stop_engine(folder)


def ftops(sandbox: Sandbox, *arguments: str | Path) -> Result:
    """Run the command with the key in its environment; assert that it does not print the key."""
    result = sandbox.ftops(*arguments, CANARY_KEY=KEY)
    for text in (result.out, result.err):
        assert KEY not in text
        assert not set(text) & set("\x1b\x07\x9b\u202e")
    return result


def find_key(home: Path) -> list[Path]:
    """The files in the home that contain the key."""
    return [p for p in home.rglob("*") if p.is_file() and KEY.encode() in p.read_bytes()]


def test_a_run_with_failures_stores_the_key_nowhere(sandbox: Sandbox, proxy: KeyEchoProxy) -> None:
    provider = f"{{type: openai, base_url: '{proxy.base_url}', api_key_env: CANARY_KEY}}"
    job = sandbox.write_job("canary", provider=provider, epochs=1)
    proxy.failures = [401]
    refused = ftops(sandbox, "run", job)
    assert refused.code == 1
    assert "no: ***" in refused.err
    proxy.failures = [500, 429, 503]
    completed = ftops(sandbox, "run", job)
    assert completed.code == 0, completed.err
    assert "Training started with ***" in completed.out
    assert "\\x1b]0;owned" in completed.out
    shown = cast(dict[str, Json], ftops(sandbox, "show", "canary", "--json").document)
    events = cast(list[dict[str, Json]], shown["events"])
    assert any(
        CONTROL_CHARACTERS in str(event["message"]) for event in events
    )  # escaped, but not lost
    for arguments in (("show", "canary"), ("results", "canary"), ("runs",), ("logs", "canary")):
        for flags in ((), ("--json",), ("--quiet",)):
            result = sandbox.invoke(*arguments, *flags)
            assert result.code == 0
            assert KEY not in result.out
            assert not set(result.out) & set("\x1b\x07\x9b\u202e")
    options = ("--provider", "openai", "--base-url", proxy.base_url, "--api-key-env", "CANARY_KEY")
    proxy.failures = [400]
    assert ftops(sandbox, "models", "list", *options, "--json").code == 1
    assert ftops(sandbox, "files", "list", *options).code == 0
    assert ftops(sandbox, "complete", "-m", "canary", "-p", "the sea").code == 0
    assert find_key(sandbox.home) == []
    assert proxy.unauthorized == []


def test_the_log_of_that_run_has_every_failure(sandbox: Sandbox, proxy: KeyEchoProxy) -> None:
    lines = json.loads(sandbox.invoke("logs", "canary", "--json", "-n", "1000").out)
    statuses = {line["status"] for line in lines}
    assert {401, 500, 429, 503, 200} <= statuses
    assert {line["attempt"] for line in lines} >= {1, 2}
    assert {line["request_id"] for line in lines} == {"req_***"}
    text = (sandbox.home / "requests.jsonl").read_text(encoding="utf-8")
    assert "the sea" not in text
    assert not re.search(r"authorization|bearer|\?", text, re.IGNORECASE)


def test_a_bug_report_contains_no_key(sandbox: Sandbox) -> None:
    sandbox.home.mkdir(exist_ok=True)
    program = (
        "import sys\nfrom ftops.cli.errors import handle_errors\n"
        "from ftops.cli.output import Mode, Output\n"
        "with handle_errors(Output(Mode.HUMAN, stdout=sys.stdout, stderr=sys.stderr)):\n"
        f"    raise ZeroDivisionError('the key is {KEY} and plain-secret-words')\n"
    )
    completed = subprocess.run(
        [sys.executable, "-c", program],
        env={**sandbox.environ(), "OTHER_API_KEY": "plain-secret-words"},
        capture_output=True,
        text=True,
        check=False,
    )
    (report,) = (sandbox.home / "reports").iterdir()
    for text in (completed.stdout, completed.stderr, report.read_text(encoding="utf-8")):
        assert KEY not in text
        assert "plain-secret-words" not in text
    assert "ZeroDivisionError" in report.read_text(encoding="utf-8")
