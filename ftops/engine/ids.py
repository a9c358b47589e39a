"""Names that the engine gives: lower-case letters and digits, so that they are safe as file names
also where upper and lower case are the same."""

import base64
import re
import secrets

LOCAL_OWNER = "local"  # whoever has the engine's own token
_BYTES = 15  # 24 letters


def new_id(prefix: str) -> str:
    """A fresh id such as `file-3k7…` (120 bits of chance)."""
    return f"{prefix}-{base64.b32encode(secrets.token_bytes(_BYTES)).decode().lower()}"


def result_file_id(job_id: str) -> str:
    """The id of the job's results: always the same one, so that a repeated end makes no second."""
    return f"file-{job_id.partition('-')[2][::-1]}"


def checkpoint_id(job_id: str, step: int) -> str:
    return f"ftckpt_{job_id.partition('-')[2]}{step}"


def checkpoint_name(model: str, step: int) -> str:
    """The model as it was after a step of its training."""
    return f"{model}:ckpt-step-{step}"


def model_name(base: str, owner: str, suffix: str | None, job_id: str) -> str:
    """`ft:BASE:OWNER:SUFFIX:XXXXXXXX`; what a name cannot hold in the suffix becomes a hyphen."""
    clean = re.sub(r"[^A-Za-z0-9._-]+", "-", suffix or "").strip("-")
    return f"ft:{base}:{owner}:{clean}:{job_id[-8:]}"
