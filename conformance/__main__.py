"""`make conformance`: run all clients (or the named ones) and write `docs/conformance.md`.

Exits with 1 if an operation failed. A client that cannot be installed here is listed, not failed.
The page is written only if all clients ran.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from conformance.clients import CLIENTS
from conformance.engine import fresh_engine
from conformance.operation import CannotInstall, Client, Failed, Operation, OperationContext
from conformance.report import Row, Table, render_report

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".conformance"
REPORT = ROOT / "docs" / "conformance.md"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m conformance", description=__doc__)
    names = [client.name for client in CLIENTS]
    parser.add_argument("clients", nargs="*", help=f"{', '.join(names)}; default: all")
    selected = parser.parse_args().clients
    if unknown := set(selected) - set(names):
        parser.error(f"unknown client: {', '.join(sorted(unknown))}")
    tables = [run_client(client) for client in CLIENTS if not selected or client.name in selected]
    if not selected:
        REPORT.write_text(render_report(tables), encoding="utf-8")
        print(f"\nwrote {REPORT.relative_to(ROOT)}")
    failed = sum(row.problem is not None for table in tables for row in table.rows)
    print(f"{failed} operations failed" if failed else "every operation passed")
    return 1 if failed else 0


def run_client(client: Client) -> Table:
    """Install the client and run its operations against a new engine."""
    print(f"\n== {client.title} ==", flush=True)
    CACHE.mkdir(exist_ok=True)
    try:
        tool = client.install(CACHE)
    except CannotInstall as reason:
        print(f"not run: {reason}", flush=True)
        return Table(client.title, absent=str(reason))
    with tempfile.TemporaryDirectory(prefix="ftops-conformance-") as name:
        folder = Path(name) / "client"
        folder.mkdir()
        with fresh_engine(Path(name) / "engine") as engine:
            context = OperationContext(engine, folder, tool, client.environment(engine))
            return Table(
                client.title, [_run(operation, context) for operation in client.operations]
            )


def _run(operation: Operation, context: OperationContext) -> Row:
    try:
        operation.attempt(context)
        problem = None
    except Failed as failed:
        problem = str(failed)
    except Exception as error:  # a client may return anything
        problem = f"{type(error).__name__}: {error}"
    print(f"{'pass' if problem is None else 'FAIL'}  {operation.name}", flush=True)
    if problem is not None:
        print(f"      {problem}", flush=True)
    return Row(operation.name, problem)


if __name__ == "__main__":
    sys.exit(main())
