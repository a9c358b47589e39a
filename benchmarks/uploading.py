"""A large file from the provider's own upload to the engine: memory of both ends, and the speed.

    python -m benchmarks.uploading [--mb 600]

The speed is a ratio to a bare web application that takes the whole file as one streaming body from
the same client, with the same HTTP libraries, over loopback, and throws it away; the bare one is
timed before and after, and the mean counts. Memory is the peak of a client process and of the
engine that has just stored the file and looked through it (Linux's VmHWM).
"""

import argparse
import json
import os
import shutil
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
from ftops.http.retry import RetryPolicy
from ftops.providers.endpoint import ClientOptions, KeyedEndpoint
from ftops.providers.openai_client import OpenAIClient, make_client
from ftops.providers.openai_files import wait_until_processed
from ftops.providers.openai_uploads import UploadLimits, open_upload, store_file

SIZE_MB = 600
MOST_MB = 2000
WHOLE_SHARE, PARTS_SHARE = 0.5, 0.8
LIMIT_MB = 150
SEND = "send"  # as the first argument: be the client
_ALWAYS, _NEVER = 0, 10**10  # above what size a file goes out in parts

ENGINE = """
import sys
from pathlib import Path
from ftops.engine.server import serve
from ftops.engine.settings import EngineSettings
serve(EngineSettings(Path(sys.argv[1]), max_upload_bytes=3 * 10**9), on_ready=print)
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
    clock = SystemClock()
    endpoint = KeyedEndpoint(
        ClientOptions(base_url, token), make_client, key_variable="-", check_trust=lambda: None
    )
    api = OpenAIClient(endpoint, clock=clock, retries=RetryPolicy())
    api.connect()
    began_s = time.perf_counter()
    upload = open_upload(Path(path), "rows.jsonl", lambda _sent, _size: None)
    stored = store_file(api, upload, UploadLimits(int(single_bytes), sends_ranges=True))
    taken_s = time.perf_counter() - began_s
    status = wait_until_processed(api, stored).status
    assert status == "processed", status
    print(json.dumps([taken_s, peak_mb(str(os.getpid()))]))


@contextmanager
def scratch(size: int) -> Iterator[Path]:
    """A folder with the file of `size` bytes to send, removed at the end."""
    with tempfile.TemporaryDirectory() as name:
        row = {"prompt": "a line of news ->", "completion": " " + "sports and weather " * 40}
        line = json.dumps(row).encode() + b"\n"
        block = line * (10**6 // len(line))
        with Path(name, "rows.jsonl").open("wb") as stream:
            for _ in range(size // len(block)):
                stream.write(block)
        yield Path(name)


def upload(folder: Path, single_bytes: int, code: str, name: str) -> tuple[Sent, float]:
    """Send the file to a server that runs `code`; what the client says, the server's peak."""
    place = folder / name
    with run_engine(place, "-c", code, str(place)) as server:
        command = [sys.executable, "-m", "benchmarks.uploading", SEND]
        command += [str(folder / "rows.jsonl"), server.base_url, server.token, str(single_bytes)]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        peak = peak_mb(str(server.child.pid))
    shutil.rmtree(place)
    return Sent(*json.loads(said)), peak


def measure(folder: Path, what: str, single_bytes: int, least_share: float) -> bool:
    """Print one way of sending beside its targets; whether one was missed."""
    raws = [upload(folder, _NEVER, RAW, "raw")[0].taken_s]
    sent, server_mb = upload(folder, single_bytes, ENGINE, "engine")
    raws.append(upload(folder, _NEVER, RAW, "raw")[0].taken_s)
    share = sum(raws) / len(raws) / sent.taken_s
    speed = (folder / "rows.jsonl").stat().st_size / 1e6 / sent.taken_s
    missed = share < least_share or sent.peak_mb > LIMIT_MB or server_mb > LIMIT_MB
    print(
        f"{what:18}{speed:7.0f} MB/s{share:7.2f} of raw (least {least_share})"
        f"{sent.peak_mb:9.0f}{server_mb:10.0f}   {'MISSED' if missed else 'ok'}",
        flush=True,
    )
    return missed


def main(size_mb: int = SIZE_MB) -> int:
    """Print both ways of sending; 1 when a target is missed."""
    if not Path("/proc/self/status").exists():
        print("skipped: there is no /proc here")
        return 0
    with scratch(size_mb * 10**6) as folder:
        print(f"{f'{size_mb} MB':18}{'speed':>12}{'':24}{'client MB':>10}{'engine MB':>10}", end="")
        print(f"   (at most {LIMIT_MB} MB each)")
        missed = [
            measure(folder, "in one request", _NEVER, WHOLE_SHARE),
            measure(folder, "in parallel parts", _ALWAYS, PARTS_SHARE),
        ]
    return int(any(missed))


def read_size_mb() -> int:
    """What `--mb` says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.uploading")
    parser.add_argument("--mb", type=int, default=SIZE_MB, help=f"at most {MOST_MB}")
    return max(1, min(int(parser.parse_args().mb), MOST_MB))


if __name__ == "__main__":
    if sys.argv[1:2] == [SEND]:
        send(*sys.argv[2:])
    else:
        sys.exit(main(read_size_mb()))
