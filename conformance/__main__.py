"""`make conformance`: run all clients (or the named ones) and write `docs/conformance.md`.

Exits with 1 if an operation failed. A client that cannot be installed here is listed, not failed.
The page is written only if all clients ran. Clients run at the same time, as many as there are
cores: they wait for their jobs, and each has a server of its own.
"""

import argparse
import os
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from conformance.clients import CLIENTS
from conformance.operation import CannotInstall, Client, Failed, Operation, OperationContext
from conformance.report import Row, Table, render_report

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".conformance"
REPORT = ROOT / "docs" / "conformance.md"
_INSTALLING = threading.Lock()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m conformance", description=__doc__)
    names = [client.name for client in CLIENTS]
    parser.add_argument("clients", nargs="*", help=f"{', '.join(names)}; default: all")
    selected = parser.parse_args().clients
    if unknown := set(selected) - set(names):
        parser.error(f"unknown client: {', '.join(sorted(unknown))}")
    chosen = [client for client in CLIENTS if not selected or client.name in selected]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        tables = list(pool.map(run_client, chosen))
    if not selected:
        REPORT.write_text(render_report(tables), encoding="utf-8")
        print(f"\nwrote {REPORT.relative_to(ROOT)}")
    failed = sum(row.problem is not None for table in tables for row in table.rows)
    print(f"{failed} operations failed" if failed else "every operation passed")
    return 1 if failed else 0


def run_client(client: Client) -> Table:
    """Install the client and run its operations against a new server."""
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ftops-conformance-") as name:
        folder, server_folder = Path(name) / "client", Path(name) / "server"
        folder.mkdir()
        try:
            with _INSTALLING:  # clients share environments
                tool = client.install(CACHE)
                client.prepare(server_folder)
        except CannotInstall as reason:
            print(f"{client.name}: not run: {reason}", flush=True)
            return Table(client.title, absent=str(reason))
        with client.start(server_folder) as server:
            environment = client.environment(server)
            context = OperationContext(server, folder, tool, environment, client.base_model)
            rows = [_run(client, operation, context) for operation in client.operations]
            return Table(client.title, rows)


def _run(client: Client, operation: Operation, context: OperationContext) -> Row:
    try:
        operation.attempt(context)
        problem = None
    except Failed as failed:
        problem = str(failed)
    except Exception as error:  # a client may return anything
        problem = f"{type(error).__name__}: {error}"
    outcome = "pass" if problem is None else f"FAIL ({problem})"
    print(f"{client.name}: {operation.name}: {outcome}", flush=True)
    return Row(operation.name, problem)


if __name__ == "__main__":
    sys.exit(main())
