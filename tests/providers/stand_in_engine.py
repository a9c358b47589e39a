"""A server that starts like the engine and lists two models.

Run as `python stand_in_engine.py [refuse|hang] --folder F --idle-s N`: `refuse` exits at once with
a message, `hang` never responds.
"""

import json
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType

from filelock import FileLock, Timeout

TOKEN = "stand-in-token"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        is_authorized = self.headers["Authorization"] == f"Bearer {TOKEN}"
        models = [{"id": "ada", "created": 1}, {"id": "ft:ada:local:x:1", "created": 2}]
        content = json.dumps({"data": models, "pid": os.getpid()}).encode()
        self.send_response(200 if is_authorized else 401)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None: ...


def serve(folder: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def stop(signum: int, frame: FrameType | None) -> None:
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    address = {
        "base_url": f"http://127.0.0.1:{server.server_port}/v1",
        "token": TOKEN,
        "pid": os.getpid(),
        "version": "0",
    }
    part = folder / f"address.{os.getpid()}"
    part.write_text(json.dumps(address))
    part.replace(folder / "address.json")
    server.serve_forever(0.01)
    server.server_close()


def main(arguments: list[str]) -> int:
    folder = Path(arguments[arguments.index("--folder") + 1])
    with (folder / "starts").open("a") as starts:
        starts.write(" ".join(arguments) + "\n")
    if arguments[0] == "refuse":
        sys.stderr.write("the engine cannot use the folder\n")
        return 3
    if arguments[0] == "hang":
        threading.Event().wait()
    try:
        with FileLock(folder / "engine.lock", timeout=0):
            serve(folder)
    except Timeout:
        sys.stderr.write("another engine holds the folder\n")
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
