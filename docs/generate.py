"""Writes the files that are generated from the code; `--check` only lists the stale ones.

job.schema.json        JSON Schema of the job file
docs/job-file.md       every field of the job file
docs/cli.md            every command with its options
ftops/cli/help.txt     the same, as `ftops COMMAND --help` prints it
docs/metrics.md        the part between the `generated` marks: the table of metrics
docs/data-checks.md    every data check
docs/data-fixes.md     every data fix
docs/data-formats.md   every row layout
docs/diagnostics.md    every diagnostic of training curves
docs/architecture.md   the part between the `generated` marks: states and transitions
docs/providers.md      what each provider supports, with the tests that prove it
docs/reliability.md    the part between the `generated` marks: figures of docs/proof.json
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from provider_page import render_providers

from ftops.cli.reference import render_reference as render_cli
from ftops.cli.reference import render_transcript
from ftops.data.checks.registry import render_checks
from ftops.data.fixes.registry import render_fixes
from ftops.data.reading.layouts import BY_NAME, LAYOUTS, PAIRS
from ftops.metrics.registry import render_table as render_metric_table
from ftops.providers.registry import PROVIDERS
from ftops.reports.diagnostics import render_rules
from ftops.runs.states import render_states
from ftops.spec.schema import render_reference as render_fields
from ftops.spec.schema import render_schema

ROOT = Path(__file__).resolve().parent.parent
END = "<!-- end of generated part -->\n"


def _replace_part(name: str, part: str, content: str) -> str:
    """The page with the content between the marks of that part replaced."""
    text = (ROOT / name).read_text(encoding="utf-8")
    begin = f"<!-- generated: {part} -->\n"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(END)
    return f"{before}{begin}\n{content.strip()}\n\n{END}{after}"


def render_architecture() -> str:
    """The architecture page with the table of states."""
    return _replace_part("docs/architecture.md", "states", render_states())


def render_metrics() -> str:
    """The page about metrics with the table of the registry."""
    return _replace_part("docs/metrics.md", "metrics", render_metric_table())


def render_reliability() -> str:
    """The page about reliability with the figures of `make test-crash`."""
    figures = json.loads((ROOT / "docs" / "proof.json").read_text(encoding="utf-8"))
    columns = ("runs", "commands", "kills", "faults", "same")
    total = {name: sum(share[name] for share in figures.values()) for name in columns}
    lines = [
        "| fault | runs | commands | kills | faults | recovered |",
        "| --- | --: | --: | --: | --: | --: |",
    ]
    for part, share in {**figures, "**all**": total}.items():
        cells = [f"{share[name]:,}" if share[name] else "" for name in columns]
        lines.append(" | ".join([f"| {part}", *cells]) + " |")
    return _replace_part("docs/reliability.md", "proof", "\n".join(lines))


def render_job_file() -> str:
    """The page about the job file."""
    return f"""# The job file

This page is generated from `ftops/spec/model.py`. Paths are relative to the job file. `${{VAR}}` and `${{VAR:-default}}`
are replaced from the environment. An unknown field, or one that the provider would ignore, is an error. `ftops init DATA.jsonl`
writes a first job file; with `job.schema.json`, an editor completes and validates it.

`evaluate` measures whether the training was worth it. An item of `against` or `metrics` is a name, a name with one value, or a
name with a mapping of settings.

```yaml
evaluate:
  file: data/test.jsonl             # rows that are not trained on; the validation file by default
  against:
    - base                          # a name alone
    - few-shot: 5                   # one value
    - few-shot: {{examples: 5, selection: nearest, instructions: "Answer with sports, science or politics."}}
    - model: {{name: gpt-4.1-mini, provider: openai}}
    - baseline                      # free: naive Bayes, nearest neighbour, regex template, majority
  metrics: [accuracy, f1, {{judge: {{model: gpt-4.1, provider: openai}}}}]
  require: {{accuracy: ">= 0.85", accuracy_over_few_shot: "> 0.03"}}   # else exit code 4
  keep: {{file: data/general.jsonl, max_drop: 0.02}}   # other tasks, before and after tuning
  slices: [language]                # each value of this field of the rows is evaluated apart, too
  max_cost_usd: 2                   # of the evaluation; `limits.max_cost_usd` limits the training
```

`ftops check` lists the candidates and the maximum cost. Predictions are cached: a repeated evaluation costs nothing.

{render_fields(PROVIDERS)}"""


def render_data_checks() -> str:
    """The page about data checks."""
    return f"""# Data checks

The problems that `ftops data check FILE` reports. This page is generated from `ftops/data/checks/`. Each finding has a code,
the number of affected rows, the first lines, and what to do.

{render_checks()}"""


def render_data_fixes() -> str:
    """The page about data fixes."""
    return f"""# Data fixes

The fixes that `ftops data prepare FILE` proposes, in the order in which they are applied. This page is generated from
`ftops/data/fixes/`. Each applied fix is recorded in the plan with its parameters, so the same plan makes the same changes to
other data without inferring anything. `--only` and `--skip` take the name of a fix, or of a check that it resolves.

{render_fixes()}"""


def _list_layouts() -> Iterator[str]:
    """The table of layouts, line by line."""
    yield "| layout | keys | becomes | option |"
    yield "| --- | --- | --- | --- |"
    pairs = [BY_NAME[f"{asked}-{answer}"] for asked, answer in PAIRS]
    for layout in LAYOUTS:
        if layout in pairs:
            continue
        keys = ", ".join([f"`{key}`" for key in layout.required])
        keys += "".join(f", [`{key}`]" for key in layout.optional)
        option = "none needed" if layout.kept else f"`--layout {layout.name}`"
        if layout.columns:
            option += f", `{layout.name_columns(dict(zip(layout.keys, layout.keys, strict=True)))}`"
        read = layout.read or layout.kept
        becomes = layout.becomes if read else f"not supported: {layout.why}"
        yield f"| {layout.title} | {keys} | {becomes} | {option if read else layout.hint} |"
    names = ", ".join(f"`{layout.name}`" for layout in pairs)
    yield f"| two text columns | as in the name | prompt, completion | `--layout` {names} |"


def render_data_formats() -> str:
    """The page about row layouts."""
    return f"""# Row layouts

Providers train on prompts and completions, on chats, or on preferences. Rows that other tools write are detected by their
keys: `ftops data` and `ftops init` convert them, and report the layout. `ftops run` and `ftops check` do not detect layouts:
the job file names the layout in `prepare: {{layout: alpaca}}`, which `ftops init` writes. `--layout none` reads rows as they
are, and `--prompt` and `--completion` name the columns of any other table. This page is generated from
`ftops/data/reading/layouts.py`.

- Keys in brackets are optional. Keys that are null or empty count as missing, because data frames write every column in every
  row. Keys are not case-sensitive.
- A prompt of several keys is their filled values, joined by line breaks.
- Metadata keys (`id`, `source`, `split` …) are dropped and listed. Any other key outside the layout is an error, unless
  `--layout NAME` is given. Keys with training data (`images`, `tools`, `label`, `weight`, `history` …) are never dropped.
- Tool calls become `tool_calls`: missing ids are added, arguments become JSON text, and the message of a tool is the result of
  the call before it.

{chr(10).join(_list_layouts())}
"""


def render_diagnostics() -> str:
    """The page about the diagnostics of training curves."""
    return f"""# Diagnostics

`ftops results` and `ftops run` check the training and validation losses of a job. A diagnostic is one sentence with figures,
what to do, and the best checkpoint, if there is one. Of 5,000 random clean curves, 0.7 % gave a diagnostic, nearly always
`noisy-validation`. This page is generated from `ftops/reports/diagnostics.py`.

- Losses are in nats per token. A level is the mean loss over several steps; its standard error is estimated from the
  differences between neighbouring steps.
- Validation loss is exact if the provider measures it on all rows (`full_valid_loss`) or about once per epoch. Eight or more
  exact points are smoothed by a median of three; fewer are used unsmoothed.
- Validation loss that is measured on a few rows every few steps is averaged over tenths of the steps.

{render_rules()}"""


TARGETS: dict[str, Callable[[], str]] = {
    "job.schema.json": partial(render_schema, PROVIDERS),
    "docs/job-file.md": render_job_file,
    "docs/cli.md": render_cli,
    "ftops/cli/help.txt": render_transcript,
    "docs/metrics.md": render_metrics,
    "docs/data-checks.md": render_data_checks,
    "docs/data-fixes.md": render_data_fixes,
    "docs/data-formats.md": render_data_formats,
    "docs/diagnostics.md": render_diagnostics,
    "docs/providers.md": render_providers,
    "docs/architecture.md": render_architecture,
    "docs/reliability.md": render_reliability,
}


def main() -> int:
    """Write the stale files, or with `--check` list them and return 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit with 1 if a file is stale"
    )
    check = parser.parse_args().check
    stale = []
    for name, render in TARGETS.items():
        path, text = ROOT / name, render()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if not check:
                path.write_text(text, encoding="utf-8")
    for name in stale:
        sys.stdout.write(f"{name} is stale: run `make fix`\n" if check else f"wrote {name}\n")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
