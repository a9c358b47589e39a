"""`ftops serve`: runs the built-in engine in the foreground."""

from typing import Annotated

import typer

from ftops.cli.command import command
from ftops.cli.engine import finish_address, get_engine_folder
from ftops.cli.output import Output
from ftops.engine.address import EXPOSED, is_loopback
from ftops.engine.server import serve as serve_engine
from ftops.engine.settings import GIBIBYTE, EngineSettings
from ftops.errors import PortTaken
from ftops.providers.engine_process import find_engine
from ftops.records import EngineAddress

Port = Annotated[
    int | None,
    typer.Option("--port", min=1, max=65535, help="Default: the last port, or any free one."),
]
Host = Annotated[
    str,
    typer.Option(
        "--host",
        help="Address to listen on; default: only this machine. Others require a key.",
    ),
]
MaxGib = Annotated[float, typer.Option("--max-gib", min=0, help="Storage per key in GiB.")]
MaxFiles = Annotated[int, typer.Option("--max-files", min=1, help="Files per key.")]
MaxUploads = Annotated[
    int, typer.Option("--max-uploads", min=1, help="Unfinished multipart uploads per key.")
]
MaxJobs = Annotated[
    int,
    typer.Option(
        "--max-jobs",
        min=1,
        help="Unfinished jobs per key; 200 for the user of this machine.",
    ),
]
VllmUrl = Annotated[
    str,
    typer.Option(
        "--vllm",
        metavar="URL",
        help="A running vLLM server that answers for its base model and fine-tuned ones of it.",
    ),
]


@command("serve", examples=["ftops serve", "ftops serve --port 8642", "ftops serve --max-gib 50"])
def serve(
    out: Output,
    port: Port = None,
    host: Host = "127.0.0.1",
    max_gib: MaxGib = 10,
    max_files: MaxFiles = 1000,
    max_uploads: MaxUploads = 8,
    max_jobs: MaxJobs = 20,
    vllm: VllmUrl = "",
) -> None:
    """Run the built-in engine in the foreground, until Ctrl-C.

    Unfinished jobs continue when it is started again. Keys take turns in the queue; the limits
    apply to each key.
    """
    if vllm and not vllm.startswith(("http://", "https://")):
        raise typer.BadParameter("--vllm needs a URL, such as http://127.0.0.1:8000")
    folder = get_engine_folder()
    running = find_engine(folder)
    if running is not None:
        raise PortTaken(
            f"an engine already runs at {running.base_url} (process {running.pid})",
            hint="`ftops engine stop` stops it; `ftops engine env` shows how to use it.",
        )
    serve_engine(
        EngineSettings(
            folder=folder,
            host=host,
            port=port,
            max_stored_bytes=round(max_gib * GIBIBYTE),
            max_files=max_files,
            max_pending_uploads=max_uploads,
            max_jobs_per_key=max_jobs,
            vllm_url=vllm,
        ),
        on_ready=lambda address: _announce(out, address, host),
    )
    out.info("The engine has stopped.")


def _announce(out: Output, address: EngineAddress, host: str) -> None:
    if not is_loopback(host):
        out.warn(f"On {host} {EXPOSED}")
    finish_address(
        out,
        address,
        [
            f"The engine listens at {address.base_url}",
            "",
            "From this machine, in another terminal:",
            "  ftops run JOB.yaml             trains here",
            '  eval "$(ftops engine env)"     points any OpenAI client here',
            "",
            "Ctrl-C stops it.",
        ],
    )
