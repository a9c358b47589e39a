"""`ftops serve` and `ftops engine`: the built-in engine, in the foreground and from outside.

The engine can be taken out of the project: this file, `engine_keys.py` and two lines in `main.py`
are all that the command line knows of it.
"""

from typing import TYPE_CHECKING, Annotated

import typer

from ftops.cli import engine_keys, wiring
from ftops.cli.command import command, make_app
from ftops.cli.output import Output
from ftops.errors import EngineNotRunning, PortTaken

if TYPE_CHECKING:
    from pathlib import Path

    from ftops.records import EngineAddress, Json

Port = Annotated[
    int | None,
    typer.Option("--port", min=1, max=65535, help="Default: the last one, or any free one."),
]
Host = Annotated[
    str,
    typer.Option(
        "--host",
        help="Address to listen on; only this machine by default. Any other wants a key first.",
    ),
]


MaxGib = Annotated[
    float, typer.Option("--max-gib", min=0, help="GiB that the holder of one key may store.")
]
MaxFiles = Annotated[int, typer.Option("--max-files", min=1, help="Files that one may have.")]
MaxUploads = Annotated[
    int, typer.Option("--max-uploads", min=1, help="Unfinished uploads in parts that one may have.")
]
MaxJobs = Annotated[
    int,
    typer.Option(
        "--max-jobs",
        min=1,
        help="Unfinished jobs that one may have; 200 for the user of this machine.",
    ),
]


def add_to(app: typer.Typer) -> None:
    command(
        app,
        "serve",
        examples=["ftops serve", "ftops serve --port 8642", "ftops serve --max-gib 50"],
    )(serve)
    group = make_app("Look at the built-in engine, use it, stop it.")
    command(group, "status", examples=["ftops engine status"])(status)
    command(group, "stop", examples=["ftops engine stop"])(stop)
    command(group, "env", examples=['eval "$(ftops engine env)"'])(env)
    engine_keys.add_to(group)
    app.add_typer(group, name="engine")


def serve(
    out: Output,
    port: Port = None,
    host: Host = "127.0.0.1",
    max_gib: MaxGib = 10,
    max_files: MaxFiles = 1000,
    max_uploads: MaxUploads = 8,
    max_jobs: MaxJobs = 20,
) -> None:
    """Run the built-in engine here, until Ctrl-C.

    Jobs that are not done go on when it is started again. Holders of keys take turns in the queue;
    the limits apply to each of them.
    """
    from ftops.engine.server import serve as serve_engine
    from ftops.engine.settings import GIBIBYTE, EngineSettings
    from ftops.providers.engine_process import find_engine

    folder = _folder()
    running = find_engine(folder)
    if running is not None:
        raise PortTaken(
            f"an engine runs already, at {running.base_url} (process {running.pid})",
            hint="`ftops engine stop` ends it; `ftops engine env` shows how to use it.",
        )
    serve_engine(
        EngineSettings(
            folder=folder,
            host=host,
            port=port,
            max_stored_bytes=round(max_gib * GIBIBYTE),
            max_files=max_files,
            max_pending_uploads=max_uploads,
            max_queued_jobs=max_jobs,
        ),
        on_ready=lambda address: _announce(out, address, host),
    )
    out.remark("The engine has stopped.")


def status(out: Output) -> None:
    """Say whether the built-in engine runs, and where it answers."""
    from ftops.providers.engine_process import find_engine

    address = find_engine(_folder())
    if address is None:
        raise EngineNotRunning(f"no engine runs in {_folder()}")
    _finish(out, address, [f"The engine runs at {address.base_url} (process {address.pid})."])


def stop(out: Output) -> None:
    """Stop the built-in engine.

    A job in it goes on when the engine is started again.
    """
    from ftops.providers.engine_process import stop_engine

    stopped = stop_engine(_folder())
    out.finish(
        {"stopped": stopped},
        essential=(),
        human=lambda: ["The engine has stopped." if stopped else "No engine was running."],
    )


def env(out: Output) -> None:
    """Print the shell line that points OpenAI clients at the engine.

    Starts the engine when it does not run.
    """
    from ftops.providers.engine_process import start_engine

    address = start_engine(_folder())
    document = {**_to_json(address), "api_key": address.token}
    out.finish_text(document, f"{render_export(address)}\n")


def render_export(address: "EngineAddress") -> str:
    """The assignments as a line for the shell."""
    import shlex

    variables = {
        "OPENAI_BASE_URL": address.base_url,
        "OPENAI_API_BASE": address.base_url,
        "OPENAI_API_KEY": address.token,
    }
    return "export " + " ".join(f"{key}={shlex.quote(value)}" for key, value in variables.items())


def _announce(out: Output, address: "EngineAddress", host: str) -> None:
    from ftops.engine.address import EXPOSED, is_loopback

    if not is_loopback(host):
        out.complain(f"On {host} {EXPOSED}")
    _finish(
        out,
        address,
        [
            f"The engine answers at {address.base_url}",
            "",
            "From this machine, in another terminal:",
            "  ftops run JOB.yaml             trains here",
            '  eval "$(ftops engine env)"     points any OpenAI client here',
            "",
            "Ctrl-C stops it.",
        ],
    )


def _finish(out: Output, address: "EngineAddress", lines: list[str]) -> None:
    out.finish(_to_json(address), essential=[address.base_url], human=lambda: lines)


def _to_json(address: "EngineAddress") -> "dict[str, Json]":
    return {
        "running": True,
        "base_url": address.base_url,
        "pid": address.pid,
        "version": address.version,
    }


def _folder() -> "Path":
    return wiring.get_home() / "engine"
