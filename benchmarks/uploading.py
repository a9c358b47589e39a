"""1 GB from the provider's own upload to the engine: memory of both ends, and the speed.

The speed is a ratio to a bare web application that takes the same streaming body from the same
client, with the same HTTP libraries, over loopback, and throws it away; the two are timed one right
after the other. Memory is the peak of a client process and of the engine that has just stored the
file and looked through it (Linux's VmHWM).
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.engine_process import run_engine
from benchmarks.memory import peak_mb
from ftops.clock import SystemClock
from ftops.providers.calls import Caller
from ftops.providers.endpoint import Access, KeyedEndpoint
from ftops.providers.remote_files import Upload, UploadLimits, send_file
from ftops.providers.retry import RetryPolicy

SIZE = 1_000_000_000
ROUNDS = 1  # of 1 GB to each server in each way; more would take minutes
LEAST_SHARE = 0.5
LIMIT_MB = 150

ENGINE = """
import sys
from pathlib import Path
from ftops.engine.server import serve
from ftops.engine.settings import EngineSettings
serve(EngineSettings(Path(sys.argv[1]), max_upload_bytes=2 * 10**9), on_ready=print)
"""
# Answers what the client wants to hear about files and uploads, and keeps nothing.
RAW = """
import json, os, socket, sys
from pathlib import Path
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

FILE = {"id": "file-1", "object": "file", "bytes": 1, "created_at": 1, "filename": "rows.jsonl",
        "purpose": "fine-tune", "status": "processed"}
async def take(request):
    async for piece in request.stream():
        pass
    return JSONResponse(FILE | {"file": FILE})
bound = socket.create_server(("127.0.0.1", 0))
url = f"http://127.0.0.1:{bound.getsockname()[1]}/v1"
folder = Path(sys.argv[1])
folder.mkdir()
(folder / "address.part").write_text(json.dumps({"base_url": url, "token": "none"}))
(folder / "address.part").rename(folder / "address.json")
app = Starlette(routes=[Route("/{path:path}", take, methods=["POST", "GET"])])
config = uvicorn.Config(app, log_config=None, access_log=False)
uvicorn.Server(config).run(sockets=[bound])
"""


@dataclass(frozen=True)
class Sent:
    """How long a client took until the server had all of the file, and its peak memory."""

    taken_s: float
    peak_mb: float


def send(path: str, base_url: str, token: str, single_bytes: str) -> None:
    """The client: sends the file as the providers do, and prints what became of it."""
    last_s = began_s = time.perf_counter()

    def on_bytes(_sent: int, _size: int) -> None:
        nonlocal last_s
        last_s = time.perf_counter()  # the last call comes when the server has answered

    clock = SystemClock()
    endpoint = KeyedEndpoint(Access(base_url, token), key_variable="-")
    caller = Caller(endpoint, clock=clock, retries=RetryPolicy())
    upload = Upload(Path(path), "rows.jsonl", Path(path).stat().st_size, on_bytes)
    limits = UploadLimits(single_bytes=int(single_bytes))
    status = send_file(caller, clock, upload, limits).status
    assert status == "processed", status
    print(json.dumps([last_s - began_s, peak_mb(str(os.getpid()))]))


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder with the file to send, removed at the end."""
    with tempfile.TemporaryDirectory() as name:
        row = {"prompt": "a line of news ->", "completion": " " + "sports and weather " * 40}
        line = json.dumps(row).encode() + b"\n"
        block = line * (10**6 // len(line))
        with Path(name, "rows.jsonl").open("wb") as stream:
            for _ in range(SIZE // len(block)):
                stream.write(block)
        yield Path(name)


def upload(folder: Path, single_bytes: int, code: str, name: str) -> tuple[Sent, float]:
    """Send the file to a server that runs `code`; what the client says, the server's peak."""
    place = folder / name
    with run_engine(place, "-c", code, str(place)) as server:
        command = [sys.executable, "-m", "benchmarks.uploading", str(folder / "rows.jsonl")]
        command += [server.base_url, server.token, str(single_bytes)]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        peak = peak_mb(str(server.child.pid))
    shutil.rmtree(place)
    return Sent(*json.loads(said)), peak


def measure(folder: Path, what: str, single_bytes: int) -> bool:
    """Print one way of sending beside its targets; whether one was missed."""
    shares, ours, servers = [], [], []
    for _ in range(ROUNDS):
        raw, _ = upload(folder, single_bytes, RAW, "raw")
        sent, server_mb = upload(folder, single_bytes, ENGINE, "engine")
        shares.append(raw.taken_s / sent.taken_s)
        ours.append(sent)
        servers.append(server_mb)
    share, client_mb = statistics.median(shares), max(sent.peak_mb for sent in ours)
    speed = SIZE / 1e6 / statistics.median(sent.taken_s for sent in ours)
    missed = share < LEAST_SHARE or client_mb > LIMIT_MB or max(servers) > LIMIT_MB
    print(
        f"{what:18}{speed:7.0f} MB/s{share:7.2f} of raw{client_mb:7.0f}{max(servers):8.0f}", end=""
    )
    print("   MISSED" if missed else "   ok", flush=True)
    return missed


def main() -> int:
    """Print both ways of sending; 1 when a target is missed."""
    if not Path("/proc/self/status").exists():
        print("skipped: there is no /proc here")
        return 0
    with scratch() as folder:
        print(f"{'1 GB':18}{'speed':>12}{'':8}{'client MB':>14}{'engine MB':>10}", end="")
        print(f"   (at least {LEAST_SHARE} of raw, at most {LIMIT_MB} MB each)")
        missed = [
            measure(folder, "in one request", 2 * SIZE),
            measure(folder, "in parts of 64 MiB", 512 << 20),
        ]
    return int(any(missed))


if __name__ == "__main__":
    send(*sys.argv[1:])
