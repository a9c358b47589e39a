"""`ftops data check`: reads data of any kind and reports what is wrong with it."""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ftops.cli.command import command
from ftops.cli.data.aims import find_task, parse_target
from ftops.cli.data.findings import Examined, finish_check, write_sarif
from ftops.cli.data.moderating import Moderation, add_harmful, prepare_moderation
from ftops.cli.data.next_steps import follow_check
from ftops.cli.data.options import (
    Moderate,
    Near,
    Private,
    Processes,
    Reading,
    Sarif,
    SendYes,
    Sources,
    Strict,
    Target,
    Task,
    Validation,
    WordCounter,
)
from ftops.cli.environment import read_environ
from ftops.cli.output import Output
from ftops.data.check_runner import run_checks
from ftops.data.check_set import CheckSet
from ftops.data.checks.check import DataTarget
from ftops.data.checks.classes import SMALL, compare_classes
from ftops.data.checks.size import FEW
from ftops.data.leakage import find_drift, find_leaks
from ftops.data.plans.planner import can_prepare
from ftops.data.profile import DatasetProfile
from ftops.data.reading.options import ReadOptions
from ftops.data.reading.source import open_source
from ftops.data.screening.word_list import NO_WORDS, read_word_list


@command(
    "data check",
    examples=[
        "ftops data check train.jsonl",
        "ftops data check train.csv --prompt '{question} ->' --completion answer",
        "ftops data check train.xlsx --sheet Labels --for local/ada --strict",
        "ftops data check train.jsonl --private",
        "ftops data check train.jsonl --moderate --yes",
        "ftops data check - --json < train.jsonl",
    ],
)
def check(
    out: Output,
    files: Sources,
    *,
    reading: Reading,
    target_name: Target = None,
    task: Task = None,
    validation: Validation = None,
    private: Private = False,
    near: Near = False,
    words: WordCounter = None,
    moderate: Moderate = False,
    yes: SendYes = False,
    strict: Strict = False,
    sarif: Sarif = None,
    processes: Processes = None,
) -> None:
    """Read data of any kind and report whatever is wrong with it.

    Exit code 0 when there are no errors (with --strict: no warnings either), else 1.
    """
    options = reading.find_options()
    target, wanted_task = parse_target(target_name), find_task(task)
    wanted = {"private": private, "near": near, "words": words, "validation": validation}
    asked = [name for name, is_asked in wanted.items() if is_asked]
    names = [*files, *([validation] if validation else [])]
    moderation: Moderation | None = None
    if yes and not moderate:
        out.info("note: --yes has no effect without --moderate: nothing is sent")
    if moderate:
        judge = target.provider if target_name else "openai"
        moderation = prepare_moderation(out, names, judge, yes=yes)
    look = partial(
        run_checks,
        asked=asked,
        processes=processes,
        environ=read_environ(),
        token_limit=target.token_limit,
        words=read_word_list(words) if words else NO_WORDS,
    )
    examined = _examine_all(names, options, look, target, wanted_task, compared=bool(validation))
    if moderation:
        add_harmful(out, moderation, examined, names, options, yes=yes)
    if sarif:
        write_sarif(sarif, examined)
    alone = files[0] if len(files) == 1 and files[0] != "-" and not validation else None
    following = []
    if alone:
        hopeless = not examined[0].verdict.rows and not can_prepare(Path(alone), options)
        following = follow_check(alone, options, examined[0].findings, hopeless=hopeless)
    finish_check(out, examined, following, strict=strict)


def _examine_all(
    names: Sequence[str],
    options: ReadOptions,
    look: Callable[..., CheckSet],
    target: DataTarget,
    task: str | None,
    *,
    compared: bool,
) -> list[Examined]:
    """What a look at each source finds; the last one may be `compared` with the others."""
    first: DatasetProfile | None = None
    examined: list[Examined] = []
    examinations: list[CheckSet] = []
    for name in names:
        path = None if name == "-" else Path(name)
        source = open_source(path, options, stdin=sys.stdin.buffer)
        examination = look(source, like=first)
        first = first or examination.profile
        verdict = examination.get_result(target, task=task, unit=source.unit)
        examined.append(Examined(source, verdict, verdict.findings))
        if compared:  # else its figures of each row are let go
            examinations.append(examination)
    if compared:
        _compare_with_validation(examined, examinations)
    return examined


def _compare_with_validation(examined: list[Examined], examinations: list[CheckSet]) -> None:
    """Add what the training data and the validation data, which is the last, say of each other."""
    *training, held_out = examined
    paying = {FEW.code, SMALL.code}  # how many rows pay is a question of training alone
    held_out.findings = tuple(one for one in held_out.findings if one.code not in paying)
    for one, known in zip(training, examinations, strict=False):
        more = compare_classes(one.verdict.classes, held_out.verdict.classes)
        one.findings = (*one.findings, *more)
        leaks = find_leaks(
            known,
            examinations[-1],
            name=one.source.name,
            unit=held_out.source.unit,
        )
        drift = find_drift(known, examinations[-1])
        held_out.findings = (*held_out.findings, *leaks, *drift)
