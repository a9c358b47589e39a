"""`ftops engine`: inspects and controls the built-in engine."""

import shlex
from pathlib import Path

from ftops.cli.command import command
from ftops.cli.environment import get_home
from ftops.cli.output import Output
from ftops.errors import EngineNotRunning
from ftops.providers.engine_process import find_engine, start_engine, stop_engine
from ftops.records import EngineAddress, Json


@command("engine status", examples=["ftops engine status"])
def status(out: Output) -> None:
    """Say whether the built-in engine runs, and where it answers."""
    address = find_engine(get_engine_folder())
    if address is None:
        raise EngineNotRunning(f"no engine runs in {get_engine_folder()}")
    finish_address(
        out, address, [f"The engine runs at {address.base_url} (process {address.pid})."]
    )


@command("engine stop", examples=["ftops engine stop"])
def stop(out: Output) -> None:
    """Stop the built-in engine.

    A job in it goes on when the engine is started again.
    """
    stopped = stop_engine(get_engine_folder())
    out.finish(
        {"stopped": stopped},
        essential=(),
        human=lambda: ["The engine has stopped." if stopped else "No engine was running."],
    )


@command("engine env", examples=['eval "$(ftops engine env)"'])
def env(out: Output) -> None:
    """Print the shell line that points OpenAI clients at the engine.

    Starts the engine when it does not run.
    """
    address = start_engine(get_engine_folder())
    document = {**_to_json(address), "api_key": address.token}
    out.finish_text(document, f"{render_export(address)}\n")


def render_export(address: EngineAddress) -> str:
    """The assignments as a line for the shell."""
    variables = {
        "OPENAI_BASE_URL": address.base_url,
        "OPENAI_API_BASE": address.base_url,
        "OPENAI_API_KEY": address.token,
    }
    return "export " + " ".join(f"{key}={shlex.quote(value)}" for key, value in variables.items())


def finish_address(out: Output, address: EngineAddress, lines: list[str]) -> None:
    out.finish(_to_json(address), essential=[address.base_url], human=lambda: lines)


def _to_json(address: EngineAddress) -> dict[str, Json]:
    return {
        "running": True,
        "base_url": address.base_url,
        "pid": address.pid,
        "version": address.version,
    }


def get_engine_folder() -> Path:
    return get_home() / "engine"
