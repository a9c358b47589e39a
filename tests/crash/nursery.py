"""Starts commands as processes of their own in milliseconds: all imports are done once, here.

    python -m tests.crash.nursery

Each line of standard input is a list of arguments for `tests.crash.child`; each line of output is
`[return code, what the command put out]`. A process killed by a signal has its negative number.
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import BinaryIO

from tests.crash import child


def serve() -> None:
    """Run commands, one at a time, until the input ends."""
    for line in sys.stdin:
        with tempfile.TemporaryFile() as output:
            process = os.fork()
            if process == 0:
                become_command(json.loads(line), output)
            status = os.waitpid(process, 0)[1]
            output.seek(0)
            answer = [os.waitstatus_to_exitcode(status), output.read().decode()]
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def become_command(arguments: list[str], output: BinaryIO) -> None:
    """Be that command from here on, to the end of this process."""
    code = 1
    try:
        os.dup2(output.fileno(), sys.stdout.fileno())
        folder, action, point, at_s = arguments
        child.main(Path(folder), action, point, float(at_s))
        sys.stdout.flush()
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
    finally:
        os._exit(code)


if __name__ == "__main__":
    serve()
