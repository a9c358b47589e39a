"""`ftops doctor`: looks at everything that a run leans on, and offers to tidy up."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType

from ftops import __version__
from ftops.cli.command import command
from ftops.cli.environment import get_home, open_ledger, read_environ
from ftops.cli.factory import open_provider
from ftops.cli.format import cell
from ftops.cli.job_file import load_job_file
from ftops.cli.options import ApprovalOptions, ProviderOptions, Yes
from ftops.cli.output import Mode, Output, clean
from ftops.cli.trust import approve
from ftops.clock import SystemClock
from ftops.errors import AuthFailed, FtopsError
from ftops.http.probe import find_clock_skew_s
from ftops.ledger.ledger import Ledger
from ftops.providers.address import get_base_url
from ftops.providers.engine_process import find_engine
from ftops.records import Json, ProviderSettings, Run
from ftops.runs.checkup.findings import CheckStatus, HealthCheck
from ftops.runs.checkup.home import check_folders, check_home, check_ledger
from ftops.runs.checkup.remote import check_drivers, check_provider

MOST_SKEW_S = 60.0
OptionalJobFile = Annotated[
    Path | None,
    typer.Argument(metavar="[JOB.yaml]", help="Check its provider, too."),
]
Fix = Annotated[bool, typer.Option("--fix", help="Offer to fix each problem that can be fixed.")]


@command(
    "doctor", examples=["ftops doctor", "ftops doctor --fix", "ftops doctor --provider openai"]
)
def doctor(
    out: Output,
    job_file: OptionalJobFile = None,
    *,
    provider: ProviderOptions,
    fix: Fix = False,
    yes: Yes = False,
    approvals: ApprovalOptions,
) -> None:
    """Check home, ledger, engine, providers, and what was left behind.

    Looked at are the providers of all runs; one that no run has used yet is named by an option, or
    by the job file that is to run there.

    Changes nothing without --fix, and starts no engine. With --yes, only what is surely safe is
    done without a question: a file that may be another ledger's stays. Exit code 0: healthy.
    """
    typed = provider.find_settings()
    chosen = typed
    if job_file is not None and chosen is None:
        job = load_job_file(job_file, [], allow_outside=True)  # which reads none of them
        approve(out, job, approvals)
        chosen = job.spec.provider_settings()
    with contextlib.ExitStack() as stack:
        found = list(_examine(stack, chosen, typed))
        mended = _mend(out, found, yes=yes) if fix else []
    problems = [one for one in found if one.grade is CheckStatus.PROBLEM and one not in mended]
    out.finish(
        [_to_document(one, mended=one in mended) for one in found],
        essential=[f"{one.check}: {one.where}: {one.what}" for one in problems],
        human=lambda: _render(found, mended),
    )
    if problems:
        raise typer.Exit(1)


def _examine(
    stack: contextlib.ExitStack,
    chosen: ProviderSettings | None,
    typed: ProviderSettings | None,
) -> Iterator[HealthCheck]:
    """Everything in turn; what is opened for it stays open on `stack`, for whatever mends it."""
    home = get_home()
    yield from check_home(home)
    ledger: Ledger | None = None
    runs: list[Run] = []
    if home.is_dir():
        found, ledger = _open_ledger(stack)
        yield found
    if ledger is not None:
        runs = ledger.list_runs()
        yield from check_folders(home, ledger)
        yield from check_drivers(runs, home)
    elif chosen is None:
        return
    engine = _check_engine()
    yield engine
    named = [chosen] if chosen else []
    for settings in dict.fromkeys([*(run.provider for run in runs), *named]):
        if settings.uses_engine and engine.grade is not CheckStatus.OK:
            continue  # to ask it would start it
        yield from _check_provider(stack, settings, ledger, runs, typed)


def _open_ledger(stack: contextlib.ExitStack) -> tuple[HealthCheck, Ledger | None]:
    """What is to be said of the ledger, and the ledger itself when it is sound."""
    try:
        ledger = stack.enter_context(open_ledger())
    except FtopsError as error:
        where = str(get_home() / "ledger.db")
        return HealthCheck("ledger", CheckStatus.PROBLEM, error.message, where, error.hint), None
    found = check_ledger(ledger)
    return found, ledger if found.grade is CheckStatus.OK else None


def _check_provider(
    stack: contextlib.ExitStack,
    settings: ProviderSettings,
    ledger: Ledger | None,
    runs: list[Run],
    typed: ProviderSettings | None,
) -> Iterator[HealthCheck]:
    try:
        provider = stack.enter_context(open_provider(settings, typed=typed))
        with contextlib.suppress(AuthFailed):  # a missing key is reported below
            provider.ensure_ready()  # before anything is sent: NotTrusted
        yield from _check_clock(settings)
    except FtopsError as error:
        yield HealthCheck("provider", CheckStatus.PROBLEM, error.message, settings.type, error.hint)
        return
    yield from check_provider(provider, ledger, [run for run in runs if run.provider == settings])


def _check_engine() -> HealthCheck:
    folder = get_home() / "engine"
    stale = folder / "address.json"
    address = find_engine(folder)
    if address is not None and address.version == __version__:
        return HealthCheck(
            "engine", CheckStatus.OK, f"runs, version {__version__}", address.base_url
        )
    if address is not None:
        return HealthCheck(
            "engine",
            CheckStatus.PROBLEM,
            f"runs with version {address.version}; this is ftops {__version__}",
            address.base_url,
            "`ftops engine stop` ends it; the next run starts the new one.",
        )
    if stale.exists():
        return HealthCheck(
            "engine",
            CheckStatus.PROBLEM,
            "no engine answers where its address file says",
            str(stale),
            "`ftops engine env` starts it; --fix removes the address.",
            mend=lambda: stale.unlink(missing_ok=True),
            safe=True,
        )
    return HealthCheck(
        "engine",
        CheckStatus.SKIPPED,
        "does not run, so what lies there was not looked at",
        str(folder),
        "`ftops engine env` starts it, if you want to know.",
    )


def _check_clock(settings: ProviderSettings) -> Iterator[HealthCheck]:
    """Whether this machine and the provider agree about the time."""
    if settings.uses_engine:
        return  # the same clock
    base_url = get_base_url(settings, read_environ())
    skew_s = find_clock_skew_s(base_url, SystemClock().now)
    if skew_s is None:
        return  # nobody answers, which is told of the provider
    if abs(skew_s) <= MOST_SKEW_S:
        yield HealthCheck("clock", CheckStatus.OK, "agrees with the provider's", base_url)
        return
    side = "ahead of" if skew_s > 0 else "behind"
    yield HealthCheck(
        "clock",
        CheckStatus.PROBLEM,
        f"this machine is {abs(skew_s):,.0f} s {side} the provider",
        base_url,
        "Set the clock, or let the system keep it (NTP).",
    )


def _mend(out: Output, found: list[HealthCheck], *, yes: bool) -> list[HealthCheck]:
    """Mend what may be mended, after a question for each; what was done."""
    done = []
    for one in found:
        if one.mend is None:
            continue
        if not (one.safe and yes) and not _agrees(out, one):
            continue
        try:
            one.mend()
        except FtopsError as error:
            out.error(f"{one.where}: {error.message}", error.hint)
            continue
        done.append(one)
    return done


def _agrees(out: Output, one: HealthCheck) -> bool:
    if out.mode is not Mode.HUMAN or not sys.stdin.isatty():
        out.info(f"left as it is, for nobody can be asked: {one.where}")
        return False
    try:
        return typer.confirm(clean(f"{one.where}: {one.what}. Clean up?"), err=True)
    except typer.Abort:
        return False


def _to_document(one: HealthCheck, *, mended: bool) -> dict[str, Json]:
    return {
        "check": one.check,
        "grade": "mended" if mended else one.grade.value,
        "what": one.what,
        "where": one.where,
        "next": one.next or None,
    }


def _render(found: list[HealthCheck], mended: list[HealthCheck]) -> Iterator[RenderableType]:
    marks = {CheckStatus.OK: "✓", CheckStatus.SKIPPED: "–", CheckStatus.PROBLEM: "✗"}
    for one in found:
        mark = "✓" if one in mended else marks[one.grade]
        tail = " (cleaned up)" if one in mended else ""
        yield cell(f"{mark} {one.check:<9}{one.where}: {one.what}{tail}")
        if one.next and one.grade is not CheckStatus.OK and one not in mended:
            yield cell(f"  next:    {one.next}", "cyan")
    problems = sum(one.grade is CheckStatus.PROBLEM and one not in mended for one in found)
    yield "\nHealthy." if not problems else f"\n{problems} to look at."
