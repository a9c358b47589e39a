"""Names that users, scripts and jobs at providers rely on and that do not change.

A name may be added to these tables. Changing or removing one breaks the code of users.
"""

import ast
from pathlib import Path

import pytest

import ftops
from ftops.cli.errors import EXIT_CODES, choose_exit_code
from ftops.errors import FtopsError, JobCancelled, JobFailed, RequirementMissed, Unreachable
from ftops.providers.provider import RUN_ID_METADATA, RUN_KEY_METADATA
from ftops.stage_results import make_remote_name

# They identify a job at its provider, also from another machine.
METADATA_KEYS = ("ftops_run", "ftops_key")
# They identify an upload by the first 16 hexadecimal digits of the content's SHA-256.
REMOTE_FILE_NAMES = {
    "train": "ftops-00112233445566ff-train.jsonl",
    "validation": "ftops-00112233445566ff-validation.jsonl",
}
ENVIRONMENT_VARIABLES = {
    # Read by ftops.
    "FTOPS_HOME", "FTOPS_PART_MB",
    "OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID",
    # Set for the program that `notify.command` names.
    "FTOPS_RUN_ID", "FTOPS_JOB_ID", "FTOPS_NAME", "FTOPS_OUTCOME",
}  # fmt: skip
CODES = {0, 1, 2, 3, 4, 70, 130}
CODES_OF_ERRORS: dict[int, tuple[FtopsError, ...]] = {
    1: (FtopsError("x"), Unreachable("x")),
    3: (JobFailed("x"), JobCancelled("x")),
    4: (RequirementMissed("x"),),
}


def test_jobs_carry_the_same_metadata_keys() -> None:
    assert (RUN_ID_METADATA, RUN_KEY_METADATA) == METADATA_KEYS


@pytest.mark.parametrize(("role", "name"), REMOTE_FILE_NAMES.items())
def test_uploads_have_the_same_names(role: str, name: str) -> None:
    assert make_remote_name("00112233445566ff" + "8" * 48, role) == name


def test_environment_variables_keep_their_names() -> None:
    used = {
        node.value
        for path in Path(ftops.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert used >= ENVIRONMENT_VARIABLES


def test_exit_codes_keep_their_meaning() -> None:
    assert {code for code, _ in EXIT_CODES} >= CODES
    for code, errors in CODES_OF_ERRORS.items():
        assert [choose_exit_code(error) for error in errors] == [code] * len(errors)
