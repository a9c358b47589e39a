"""`ftops doctor`: checks everything that runs depend on, and offers fixes."""

import contextlib
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType

from ftops import __version__
from ftops.cli.command import command
from ftops.cli.environment import get_home, open_ledger, read_environ
from ftops.cli.factory import open_provider, open_providers
from ftops.cli.format import cell, quote
from ftops.cli.job_file import load_job_file
from ftops.cli.options import ApprovalOptions, ProviderOptions, Yes
from ftops.cli.output import Mode, NotConfirmed, Output, ask_user
from ftops.cli.progress import show_run_progress
from ftops.cli.run_context import create_token_counter
from ftops.cli.trust import approve
from ftops.clock import SystemClock
from ftops.errors import AuthFailed, FtopsError
from ftops.files import remove_path
from ftops.http.probe import find_clock_skew_s
from ftops.ledger.ledger import Ledger
from ftops.providers.engine_process import find_engine
from ftops.providers.registry import find_address
from ftops.records import Json, ProviderSettings, Run
from ftops.runs.context import RunContext
from ftops.runs.doctor import (
    CheckStatus,
    HealthCheck,
    check_drivers,
    check_folders,
    check_home,
    check_ledger,
    check_provider,
)
from ftops.runs.live_check import CLEAN_UP, check_live, describe_live_cost, write_live_job
from ftops.text import format_count

MAX_SKEW_S = 60.0
_NO_SECTIONS: Mapping[str, Mapping[str, Json]] = {}
OptionalJobFile = Annotated[
    Path | None,
    typer.Argument(metavar="[JOB.yaml]", help="Check its provider, too."),
]
Fix = Annotated[bool, typer.Option("--fix", help="Offer to fix each problem that can be fixed.")]
Live = Annotated[
    str | None,
    typer.Option(
        "--live",
        metavar="MODEL",
        help="Instead, train this base model at the provider on a few short rows, which costs some"
        " cents, and delete what that makes.",
    ),
]


@command(
    "doctor",
    examples=[
        "ftops doctor",
        "ftops doctor --fix",
        "ftops doctor --provider openai",
        "ftops doctor --provider openai --live gpt-4.1-nano-2025-04-14",
    ],
)
def doctor(
    out: Output,
    job_file: OptionalJobFile = None,
    *,
    provider: ProviderOptions,
    fix: Fix = False,
    live: Live = None,
    yes: Yes = False,
    approvals: ApprovalOptions,
) -> None:
    """Check home, ledger, engine and providers, and find stale files.

    Checks the providers of all runs, and one that the options or a job file name. Changes nothing
    without --fix, and starts no engine. --yes skips the confirmation only where nothing can be
    lost: a file that may belong to another ledger is kept. Exit code 0 if all is healthy.

    --live checks a provider with a real run: it says the most that it may cost, asks, and trains on
    20 rows for one epoch. Deployments, models and files of the run are deleted afterwards, also
    after an error. A job file adds what the provider needs to know.
    """
    typed = provider.find_settings()
    chosen, sections = typed, _NO_SECTIONS
    if job_file is not None and chosen is None:
        job = load_job_file(job_file, [], allow_outside=True)  # its data is not read
        approve(out, job, approvals)
        chosen, sections = job.spec.provider_settings(), job.spec.sections
    fixed: list[HealthCheck] = []
    if live is not None:
        if chosen is None or fix:
            raise typer.BadParameter("--live needs --provider or a job file, and takes no --fix")
        target = _LiveTarget(chosen, live, sections, typed)
        checks = _check_live(out, target, yes=yes, allow_open_ended=approvals.allow_open_ended)
    else:
        with contextlib.ExitStack() as stack:
            checks = list(_run_checks(stack, chosen, typed))
            fixed = _fix(out, checks, yes=yes) if fix else []
    problems = [
        check for check in checks if check.status is CheckStatus.PROBLEM and check not in fixed
    ]
    out.finish(
        [_to_document(check, fixed=check in fixed) for check in checks],
        essential=[f"{check.check}: {check.where}: {check.what}" for check in problems],
        human=lambda: _render(checks, fixed),
    )
    if problems:
        raise typer.Exit(1)


def _run_checks(
    stack: contextlib.ExitStack,
    chosen: ProviderSettings | None,
    typed: ProviderSettings | None,
) -> Iterator[HealthCheck]:
    """Run all checks; resources stay open on `stack` for the fixes."""
    home = get_home()
    yield from check_home(home)
    ledger: Ledger | None = None
    runs: list[Run] = []
    if home.is_dir():
        ledger_check, ledger = _open_ledger(stack)
        yield ledger_check
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
        if settings.uses_engine and engine.status is not CheckStatus.OK:
            continue  # a request would start the engine
        yield from _check_provider(stack, settings, ledger, runs, typed)


def _open_ledger(stack: contextlib.ExitStack) -> tuple[HealthCheck, Ledger | None]:
    """The check of the ledger, and the ledger if it is intact."""
    try:
        ledger = stack.enter_context(open_ledger())
    except FtopsError as error:
        where = str(get_home() / "ledger.db")
        return HealthCheck("ledger", error.message, where, error.hint), None
    check = check_ledger(ledger)
    return check, ledger if check.status is CheckStatus.OK else None


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
        yield HealthCheck("provider", error.message, settings.type, error.hint)
        return
    yield from check_provider(provider, ledger, [run for run in runs if run.provider == settings])


def _check_engine() -> HealthCheck:
    folder = get_home() / "engine"
    stale = folder / "address.json"
    address = find_engine(folder)
    if address is not None and address.version == __version__:
        return HealthCheck(
            "engine", f"runs, version {__version__}", address.base_url, status=CheckStatus.OK
        )
    if address is not None:
        return HealthCheck(
            "engine",
            f"runs with version {address.version}; this is ftops {__version__}",
            address.base_url,
            "`ftops engine stop` ends it; the next run starts the new one.",
        )
    if stale.exists():
        return HealthCheck(
            "engine",
            "no engine responds at the address in its file",
            str(stale),
            "`ftops engine env` starts it; --fix removes the address.",
            fix=lambda: stale.unlink(missing_ok=True),
            safe=True,
        )
    return HealthCheck(
        "engine",
        "does not run; its folder was not checked",
        str(folder),
        "`ftops engine env` starts it.",
        status=CheckStatus.SKIPPED,
    )


def _check_clock(settings: ProviderSettings) -> Iterator[HealthCheck]:
    """Check the clock of this machine against the provider's."""
    address = find_address(settings)
    if address is None:
        return  # the same clock
    base_url = address.get_base_url(settings, read_environ())
    skew_s = find_clock_skew_s(base_url, SystemClock().now)
    if skew_s is None:
        return  # the check of the provider reports a missing response
    if abs(skew_s) <= MAX_SKEW_S:
        yield HealthCheck("clock", "agrees with the provider's", base_url, status=CheckStatus.OK)
        return
    side = "ahead of" if skew_s > 0 else "behind"
    yield HealthCheck(
        "clock",
        f"this machine is {abs(skew_s):,.0f} s {side} the provider",
        base_url,
        "Set the clock, or let NTP set it.",
    )


@dataclass(frozen=True, slots=True)
class _LiveTarget:
    """The provider and the base model of a live check, and the provider's sections of a job file.

    `typed` are the settings given as options.
    """

    settings: ProviderSettings
    model: str
    sections: Mapping[str, Mapping[str, Json]]
    typed: ProviderSettings | None


def _check_live(
    out: Output, target: _LiveTarget, *, yes: bool, allow_open_ended: bool
) -> list[HealthCheck]:
    """Train at the provider in a temporary home, which is kept if anything is left there."""
    home = Path(tempfile.mkdtemp(prefix="ftops-live-"))
    clock = SystemClock()
    is_clean = True
    try:
        with (
            contextlib.closing(Ledger(home / "ledger.db", clock)) as ledger,
            open_providers(target.typed, ledger=ledger) as get_provider,
        ):
            provider = get_provider(target.settings)
            rule = provider.find_deployment_rule(target.sections)
            is_bounded = rule is None or not rule.hourly or rule.ends != "never"
            path = write_live_job(
                home,
                target.settings,
                target.model,
                target.sections,
                evaluates=is_bounded or allow_open_ended,
            )
            job = load_job_file(path, [])
            _confirm_live(out, describe_live_cost(job.spec, provider), yes=yes)
            is_clean = False
            with show_run_progress(out) as observer:
                checks = check_live(
                    job,
                    RunContext(
                        ledger,
                        provider,
                        clock,
                        home,
                        observer,
                        tokens=create_token_counter(),
                        allow_open_ended=allow_open_ended,
                    ),
                )
        is_clean = not any(
            check.check == CLEAN_UP and check.status is CheckStatus.PROBLEM for check in checks
        )
    finally:
        if is_clean:
            remove_path(home)
        else:
            out.warn(f"note: not all was deleted; FTOPS_HOME={quote(str(home))} has the run")
    return checks


def _confirm_live(out: Output, cost: str, *, yes: bool) -> None:
    """Say the most that the check may cost; NotConfirmed unless the user agrees."""
    if yes:
        out.info(cost)
    elif out.mode is not Mode.HUMAN or not sys.stdin.isatty():
        raise NotConfirmed(
            f"not a terminal: cannot confirm; nothing was sent. {cost}",
            hint="Give --yes to start without confirmation.",
        )
    elif not ask_user(f"{cost} Start?"):
        raise NotConfirmed("nothing was sent")


def _fix(out: Output, checks: list[HealthCheck], *, yes: bool) -> list[HealthCheck]:
    """Fix the problems that can be fixed, each after confirmation; returns the fixed ones."""
    fixed = []
    for check in checks:
        if check.fix is None:
            continue
        if not (check.safe and yes) and not _confirm(out, check):
            continue
        try:
            check.fix()
        except FtopsError as error:
            out.error(f"{check.where}: {error.message}", error.hint)
            continue
        fixed.append(check)
    return fixed


def _confirm(out: Output, check: HealthCheck) -> bool:
    if out.mode is not Mode.HUMAN or not sys.stdin.isatty():
        out.info(f"not a terminal: cannot confirm; unchanged: {check.where}")
        return False
    return ask_user(f"{check.where}: {check.what}. Fix?")


def _to_document(check: HealthCheck, *, fixed: bool) -> dict[str, Json]:
    return {
        "check": check.check,
        "status": "fixed" if fixed else check.status.value,
        "what": check.what,
        "where": check.where,
        "next": check.next or None,
    }


def _render(checks: list[HealthCheck], fixed: list[HealthCheck]) -> Iterator[RenderableType]:
    marks = {CheckStatus.OK: "✓", CheckStatus.SKIPPED: "–", CheckStatus.PROBLEM: "✗"}
    for check in checks:
        mark = "✓" if check in fixed else marks[check.status]
        tail = " (fixed)" if check in fixed else ""
        yield cell(f"{mark} {check.check:<9}{check.where}: {check.what}{tail}")
        if check.next and check.status is not CheckStatus.OK and check not in fixed:
            yield cell(f"  next:    {check.next}", "cyan")
    problems = sum(check.status is CheckStatus.PROBLEM and check not in fixed for check in checks)
    yield f"\n{format_count(problems, 'problem')}." if problems else "\nHealthy."
