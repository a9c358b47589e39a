"""`python -m ftops.engine --folder F`: the engine as a process; its log goes to standard error."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from ftops.engine.address import EXPOSED, is_loopback
from ftops.engine.server import serve
from ftops.engine.settings import WORKER_COMMAND, EngineSettings
from ftops.engine.trainer import CHECKPOINT_EVERY_S
from ftops.errors import FtopsError
from ftops.records import EngineAddress

_log = logging.getLogger("ftops.engine")


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal; returns 1 when the server cannot start."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        settings = _read_settings(arguments)
        serve(settings, on_ready=lambda address: _announce(address, settings.host))
    except FtopsError as error:
        _log.error("%s %s", error.message, error.hint)
        return 1
    return 0


def _read_settings(arguments: Sequence[str] | None) -> EngineSettings:
    parser = argparse.ArgumentParser(prog="python -m ftops.engine", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="the engine's folder")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--port", type=int, help="default: the last one, or any free one")
    parser.add_argument(
        "--idle-s", type=float, help="exit after that many seconds without requests and jobs"
    )
    parser.add_argument("--jobs", type=int, default=1, help="maximum of concurrent jobs")
    parser.add_argument(
        "--checkpoint-every-s",
        type=float,
        default=CHECKPOINT_EVERY_S,
        help="minimum time between two checkpoints of a job, in seconds",
    )
    options = parser.parse_args(arguments)
    interval = ("--checkpoint-every-s", str(options.checkpoint_every_s))
    return EngineSettings(
        folder=options.folder.absolute(),
        host=options.host,
        port=options.port,
        idle_s=options.idle_s,
        max_concurrent_jobs=max(1, options.jobs),
        worker_command=(*WORKER_COMMAND, *interval),
    )


def _announce(address: EngineAddress, host: str) -> None:
    _log.info("ready: %s (token in the file 'token' of the folder)", address.base_url)
    if not is_loopback(host):
        _log.warning("on %s %s", host, EXPOSED)


if __name__ == "__main__":
    sys.exit(main())
