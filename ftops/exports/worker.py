"""The process that tells one tool of one run: `python -m ftops.exports.worker`.

It gets JSON on its stdin and answers with JSON on its stdout; what libraries print goes to its
stderr. Libraries that read the environment read what this process was started with.
"""

import json
import os
import sys
from pathlib import Path

import orjson

from ftops.exports.registry import TOOLS
from ftops.exports.run_data import RunData
from ftops.records import Json


def main() -> int:
    """Read, write, answer; 0 when the tool has the run."""
    answer = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # libraries may print what they like
    request = json.loads(sys.stdin.buffer.read())  # figures may be no numbers
    with answer:
        said = _tell(request)
        answer.write(orjson.dumps(said))
    return 0 if "place" in said else 1


def _tell(request: dict[str, Json]) -> dict[str, Json]:
    tool, settings, run = request["tool"], request["settings"], request["run"]
    assert isinstance(tool, str) and isinstance(settings, dict) and isinstance(run, dict)
    try:
        writer = TOOLS[tool].open()
        place = writer.write(
            RunData.from_json(run),
            {name: str(value) for name, value in settings.items()},
            Path(str(request["folder"])),
        )
    except ModuleNotFoundError as error:
        return {"lacking": error.name or str(error)}
    except Exception as error:  # whatever a library raises is told in one line
        return {"error": f"{type(error).__name__}: {error}"}
    return {"place": place}


if __name__ == "__main__":
    sys.exit(main())
