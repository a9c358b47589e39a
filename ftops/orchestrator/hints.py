"""Commands that texts tell the user to type, such that a shell reads them as meant."""

import shlex

from ftops.records import Run


def say(*words: str) -> str:
    """`ftops …` in backquotes, quoted for a shell."""
    return f"`{shlex.join(('ftops', *words))}`"


def say_run(run: Run, *options: str) -> str:
    """The command that runs the job file of `run` again."""
    return say("run", *options, run.job_file)


def say_follow(run_id: str) -> str:
    """The command that goes on watching that run."""
    return say("follow", run_id)
