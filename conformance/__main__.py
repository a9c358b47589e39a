"""`make conformance`: try every client (or those named), write `docs/conformance.md`.

Ends with 1 when an operation failed; a client that cannot be installed here is told, not failed.
The page is written only when all clients were tried.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from conformance.clients import CLIENTS
from conformance.engine import fresh_engine
from conformance.operation import Client, Failed, NotHere, Operation, Scene
from conformance.report import Row, Table, render_report

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".conformance"
REPORT = ROOT / "docs" / "conformance.md"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m conformance", description=__doc__)
    names = [client.name for client in CLIENTS]
    parser.add_argument("clients", nargs="*", help=f"of {', '.join(names)}; left out: all")
    asked = parser.parse_args().clients
    if unknown := set(asked) - set(names):
        parser.error(f"no such client: {', '.join(sorted(unknown))}")
    tables = [try_client(client) for client in CLIENTS if not asked or client.name in asked]
    if not asked:
        REPORT.write_text(render_report(tables), encoding="utf-8")
        print(f"\nwrote {REPORT.relative_to(ROOT)}")
    failed = sum(row.problem is not None for table in tables for row in table.rows)
    print(f"{failed} operations failed" if failed else "every operation passed")
    return 1 if failed else 0


def try_client(client: Client) -> Table:
    """Install the client and try its operations against an engine of its own."""
    print(f"\n== {client.title} ==", flush=True)
    CACHE.mkdir(exist_ok=True)
    try:
        tool = client.install(CACHE)
    except NotHere as reason:
        print(f"not run: {reason}", flush=True)
        return Table(client.title, absent=str(reason))
    with tempfile.TemporaryDirectory(prefix="ftops-conformance-") as name:
        folder = Path(name) / "client"
        folder.mkdir()
        with fresh_engine(Path(name) / "engine") as engine:
            scene = Scene(engine, folder, tool, client.environment(engine))
            return Table(client.title, [_try(one, scene) for one in client.operations])


def _try(operation: Operation, scene: Scene) -> Row:
    try:
        operation.attempt(scene)
        problem = None
    except Failed as failed:
        problem = str(failed)
    except Exception as error:  # what a client answers may be of any shape
        problem = f"{type(error).__name__}: {error}"
    print(f"{'pass' if problem is None else 'FAIL'}  {operation.name}", flush=True)
    if problem is not None:
        print(f"      {problem}", flush=True)
    return Row(operation.name, problem)


if __name__ == "__main__":
    sys.exit(main())
