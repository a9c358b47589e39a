"""Ids and names: lower-case letters and digits, safe as names on case-insensitive file systems."""

import base64
import re
import secrets

LOCAL_OWNER = "local"  # of the engine's own token
_BYTES = 15  # 24 characters in base 32


def new_id(prefix: str) -> str:
    """A random id of 120 bits, such as `file-3k7…`."""
    return f"{prefix}-{base64.b32encode(secrets.token_bytes(_BYTES)).decode().lower()}"


def result_file_id(job_id: str) -> str:
    """The id of the job's results file; it depends only on the job's id."""
    return f"file-{job_id.partition('-')[2][::-1]}"


def checkpoint_id(job_id: str, step: int) -> str:
    return f"ftckpt_{job_id.partition('-')[2]}{step}"


def checkpoint_name(model: str, step: int) -> str:
    """The name of a checkpoint of a model."""
    return f"{model}:ckpt-step-{step}"


def model_name(base: str, owner: str, suffix: str | None, job_id: str) -> str:
    """`ft:BASE:OWNER:SUFFIX:XXXXXXXX`; invalid characters of the suffix become hyphens."""
    clean = re.sub(r"[^A-Za-z0-9._-]+", "-", suffix or "").strip("-")
    return f"ft:{base}:{owner}:{clean}:{job_id[-8:]}"
