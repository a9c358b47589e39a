"""The SDKs of the current protocol: openai 3 and openai 2 for Python, openai for Node.

Each has a script in its language in this folder, which runs all `OPERATIONS` and writes their
outcomes to a file, one for each row of the table.
"""

import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from conformance.base_model import BASE_MODEL, add_base_model
from conformance.environments import make_venv
from conformance.operation import CannotInstall, Client, OperationContext, Server
from conformance.script import OUTCOMES, list_script_operations

_HERE = Path(__file__).resolve().parent
OPERATIONS = (
    "models.list, models.retrieve",
    "files.create, retrieve, content",
    "files.create with expires_after",
    "files.list by purpose, page by page",
    "files.wait_for_processing of an invalid file",
    "uploads.create, parts, complete with md5",
    "uploads.cancel",
    "jobs.create with method, suffix, seed, metadata, validation file",
    "jobs.retrieve until succeeded, auto resolved",
    "jobs.list with limit, after and metadata",
    "jobs.list_events, page by page, newest first",
    "jobs.checkpoints.list, completion by a checkpoint",
    "results file",
    "chat.completions.create",
    "chat.completions.create with n, stop, seed, logprobs, penalties, logit_bias",
    "chat.completions.create, streamed with usage",
    "jobs.create with the older hyperparameters on completion rows",
    "completions.create with several prompts, echo, logprobs",
    "completions.create, streamed",
    "jobs.create from a fine-tuned model",
    "jobs.create on preferences (dpo)",
    "jobs.pause, jobs.resume",
    "jobs.cancel, twice",
    "invalid row: the job fails and names the line",
    "refused: reinforcement, integrations",
    "errors 400, 401, 404 with type, param, code and request id",
    "rate limit and request headers",
    "models.delete",
    "files.delete",
)


def _install_python(cache: Path, *, name: str, requirement: str) -> Path:
    return make_venv(cache, name, [requirement]) / "python"


def _install_node(cache: Path, *, requirement: str) -> Path:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise CannotInstall("npm is not installed")
    folder = cache / "node"
    folder.mkdir(exist_ok=True)
    command = [npm, "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(folder)]
    done = subprocess.run([*command, requirement], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotInstall(f"npm install {requirement}: {done.stderr[-300:]}")
    shutil.copy(_HERE / "node_sdk.mjs", folder / "node_sdk.mjs")  # it finds its modules from here
    return folder / "node_sdk.mjs"


def _environment(server: Server) -> Mapping[str, str]:
    return {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": server.token}


def _run_python(context: OperationContext) -> None:
    context.run(context.tool, _HERE / "python_sdk.py", OUTCOMES).expect()


def _run_node(context: OperationContext) -> None:
    context.run("node", context.tool, OUTCOMES).expect()


def _client(
    name: str, title: str, install: Callable[[Path], Path], run: Callable[[OperationContext], None]
) -> Client:
    operations = list_script_operations(OPERATIONS, run)
    return Client(name, title, install, _environment, operations)


PYTHON_3 = _client(
    "python-3",
    "openai 3 for Python",
    partial(_install_python, name="openai-3", requirement="openai>=3,<4"),
    _run_python,
)
PYTHON_3_LORA = replace(
    PYTHON_3,
    name="python-3-lora",
    title="openai 3 for Python, with the trainer lora",
    prepare=add_base_model,
    base_model=BASE_MODEL,
)
PYTHON_2 = _client(
    "python-2",
    "openai 2 for Python",
    partial(_install_python, name="openai-2", requirement="openai>=2,<3"),
    _run_python,
)
NODE = _client("node", "openai for Node", partial(_install_node, requirement="openai"), _run_node)
