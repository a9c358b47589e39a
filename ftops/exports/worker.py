"""The process that exports one run to one tool: `python -m ftops.exports.worker`.

It reads a JSON request from stdin and writes a JSON result to stdout. The output of libraries goes
to stderr.
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
    """Export the run of the request; returns 0 on success."""
    output = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # libraries print to stdout
    request = json.loads(sys.stdin.buffer.read())  # unlike orjson, the standard library accepts NaN
    with output:
        result = _export(request)
        output.write(orjson.dumps(result))
    return 0 if "location" in result else 1


def _export(request: dict[str, Json]) -> dict[str, Json]:
    tool, settings, run = request["tool"], request["settings"], request["run"]
    assert isinstance(tool, str) and isinstance(settings, dict) and isinstance(run, dict)
    try:
        location = (
            TOOLS[tool]
            .load_writer()
            .write(
                RunData.from_json(run),
                {name: str(value) for name, value in settings.items()},
                Path(str(request["folder"])),
            )
        )
    except ModuleNotFoundError as error:
        return {"missing_library": error.name or str(error)}
    except Exception as error:  # a library may raise any exception
        return {"error": f"{type(error).__name__}: {error}"}
    return {"location": location}


if __name__ == "__main__":
    sys.exit(main())
