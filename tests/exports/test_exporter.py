"""Each export runs in a process of its own, without telemetry and within a time limit."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from ftops.errors import ExportFailed
from ftops.exports.exporter import ExportTarget, NullExporter, SubprocessExporter, make_environ
from ftops.exports.registry import TOOLS, ExportTool
from tests.exports import runs
from tests.exports.runs import make_run
from tests.loopback import serve_loopback

pytestmark = pytest.mark.timeout(300)


@contextmanager
def recording_proxy() -> Iterator[tuple[str, list[str]]]:
    """A proxy that refuses every request and records its path."""
    requests: list[str] = []

    def handle(request: BaseHTTPRequestHandler) -> None:
        requests.append(request.path)
        request.send_error(502)

    with serve_loopback(handle) as port:
        yield f"http://127.0.0.1:{port}", requests


@pytest.mark.parametrize("tool", ["mlflow", "tensorboard", "wandb"])
def test_no_request_leaves_this_machine(tmp_path: Path, tool: str) -> None:
    with recording_proxy() as (url, requests):
        names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        proxies = {variable: url for name in names for variable in (name, name.lower())}
        environ = runs.make_environ(tmp_path, **proxies)
        environ["WANDB_API_KEY"] = "0" * 40
        assert "PYTEST_CURRENT_TEST" not in environ  # MLflow detects a test by it
        SubprocessExporter(environ).export(make_run(), ExportTarget(tool, {}, tmp_path))
    assert requests == []


def test_telemetry_is_off_in_any_environment() -> None:
    environ = {"MLFLOW_DISABLE_TELEMETRY": "false", "WANDB_ERROR_REPORTING": "true", "X": "1"}
    mlflow, wandb = (make_environ(TOOLS[name], environ) for name in ("mlflow", "wandb"))
    assert (mlflow["MLFLOW_DISABLE_TELEMETRY"], mlflow["DO_NOT_TRACK"]) == ("true", "true")
    assert (wandb["WANDB_ERROR_REPORTING"], wandb["DO_NOT_TRACK"]) == ("false", "true")
    assert (wandb["WANDB_MODE"], wandb["X"]) == ("offline", "1")
    assert make_environ(TOOLS["wandb"], {"WANDB_MODE": "online"})["WANDB_MODE"] == "online"


def test_mlflow_reports_that_its_telemetry_is_off(tmp_path: Path) -> None:
    import subprocess

    environ = make_environ(TOOLS["mlflow"], runs.make_environ(tmp_path))
    program = "from mlflow.telemetry.utils import is_telemetry_disabled as off; print(off())"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout == "True\n"


def test_no_process_keeps_running(tmp_path: Path) -> None:
    runs.export_run(tmp_path, "wandb", make_run())
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            process_environ = path.read_bytes()
        except OSError:
            continue
        assert f"HOME={tmp_path / 'home'}".encode() not in process_environ, path


def test_an_export_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    exporter = SubprocessExporter(runs.make_environ(tmp_path), timeout_s=0.01)
    started = time.monotonic()
    with pytest.raises(ExportFailed, match=r"export: wandb did not take the run within 0\.01 s"):
        exporter.export(make_run(), ExportTarget("wandb", {}, tmp_path))
    assert time.monotonic() - started < 30
    assert threading.active_count() < 50


def test_a_missing_library_is_reported_with_its_install_command(tmp_path: Path) -> None:
    absent = ExportTool("mlflow", "ftops.exports.mlflow", ("no_such_library",))
    assert absent.find_missing_library() == "no_such_library"
    shadow = tmp_path / "shadow"
    (shadow / "tensorboard").mkdir(parents=True)
    (shadow / "tensorboard" / "__init__.py").write_text("import no_such_library\n")
    environ = runs.make_environ(tmp_path, PYTHONPATH=str(shadow))
    message = r"needs no_such_library, which is not installed: pip install 'ftops\[tensorboard\]'"
    with pytest.raises(ExportFailed, match=message):
        SubprocessExporter(environ).export(make_run(), ExportTarget("tensorboard", {}, tmp_path))


def test_modules_in_the_current_folder_are_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tensorboard.py").write_text("raise SystemExit('imported')\n")
    assert runs.export_run(tmp_path, "tensorboard", make_run())


def test_a_process_that_exits_unexpectedly_is_reported_in_one_line(tmp_path: Path) -> None:
    shadow = tmp_path / "shadow"
    (shadow / "tensorboard").mkdir(parents=True)
    code = "import os, sys\nsys.stderr.write('\\x1b[31mgone\\n')\nos._exit(7)\n"
    (shadow / "tensorboard" / "__init__.py").write_text(code)
    environ = runs.make_environ(tmp_path, PYTHONPATH=str(shadow))
    with pytest.raises(ExportFailed) as error:
        SubprocessExporter(environ).export(make_run(), ExportTarget("tensorboard", {}, tmp_path))
    assert error.value.message == "export: tensorboard exited unexpectedly: [31mgone"


def test_the_null_exporter_exports_nothing() -> None:
    with pytest.raises(ExportFailed, match="no runs are exported"):
        NullExporter().export(make_run(), ExportTarget("json", {}, Path()))
