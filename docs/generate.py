"""Writes every file that comes out of the code; `--check` only says which are stale.

job.schema.json        JSON Schema of the job file
docs/job-file.md       the job file's fields
docs/cli.md            every command with its options
ftops/cli/help.txt     the same, as `ftops COMMAND --help` prints it
docs/metrics.md        the part between the `generated` marks: the table of metrics
docs/data-checks.md    every check of data
docs/data-fixes.md     every fix of data
docs/data-formats.md   the layouts of rows that are read
docs/diagnostics.md   what the curves of a training say
docs/architecture.md   the part between the `generated` marks: states and transitions
docs/reliability.md    the part between the `generated` marks: figures of docs/proof.json
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from ftops.cli.reference import render_reference as render_cli
from ftops.cli.reference import render_transcript
from ftops.data.checks.registry import render_checks
from ftops.data.fixes.registry import render_fixes
from ftops.data.reading.layouts import BY_NAME, LAYOUTS, PAIRS
from ftops.metrics.registry import render_table as render_metric_table
from ftops.reports.diagnostics import render_rules
from ftops.runs.states import render_states
from ftops.spec.schema import render_reference as render_fields
from ftops.spec.schema import render_schema

ROOT = Path(__file__).resolve().parent.parent
END = "<!-- end of generated part -->\n"


def _renew(name: str, part: str, content: str) -> str:
    """The page with what stands between the marks of that part replaced."""
    text = (ROOT / name).read_text(encoding="utf-8")
    begin = f"<!-- generated: {part} -->\n"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(END)
    return f"{before}{begin}\n{content.strip()}\n\n{END}{after}"


def render_architecture() -> str:
    """The architecture page with its generated part renewed."""
    return _renew("docs/architecture.md", "states", render_states())


def render_metrics() -> str:
    """The page about metrics with the table of the registry."""
    return _renew("docs/metrics.md", "metrics", render_metric_table())


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
    return _renew("docs/reliability.md", "proof", "\n".join(lines))


def render_job_file() -> str:
    """The page about the job file."""
    return f"""# The job file

This page is generated from `ftops/spec/model.py`. Paths are relative to the job file; `${{VAR}}` and `${{VAR:-default}}`
come from the environment; an unknown field, or one that the provider would ignore, is an error. `ftops init DATA.jsonl`
writes a first job file, and with `job.schema.json` an editor completes and checks it.

`evaluate` shows whether the training was worth it. An item of `against` or `metrics` is a name alone, a name with one
value, or a name with a mapping of settings.

```yaml
evaluate:
  file: data/test.jsonl             # rows that are not trained on; the validation file by default
  against:
    - base                          # a name alone
    - few-shot: 5                   # one value
    - few-shot: {{examples: 5, selection: nearest, instructions: "Answer with sports, science or politics."}}
    - model: {{name: gpt-4.1-mini, provider: openai}}
    - baseline                      # free: naive Bayes, nearest neighbour, the majority class
  metrics: [accuracy, f1, {{judge: {{model: gpt-4.1, provider: openai}}}}]
  require: {{accuracy: ">= 0.85", accuracy_over_few_shot: "> 0.03"}}   # else exit code 4
  max_cost_usd: 2                   # of the evaluation; `limits.max_cost_usd` limits the training
```

`ftops check` lists the candidates and the highest cost. Predictions are cached: a repeated evaluation costs nothing.

{render_fields()}"""


def render_data_checks() -> str:
    """The page about the checks of data."""
    return f"""# The checks of data

What `ftops data check FILE` looks for, made of `ftops/data/checks/`. Every finding names its code, how many rows it is
about, the first lines, and what to do.

{render_checks()}"""


def render_data_fixes() -> str:
    """The page about the fixes of data."""
    return f"""# The fixes of data

What `ftops data prepare FILE` offers to do, made of `ftops/data/fixes/`, in the order in which it is done. A fix and its
values stand in the plan, so that the same is done to other data; nothing is inferred then. `--only` and `--skip` take the
name of a fix, or of a check that it answers.

{render_fixes()}"""


def _list_layouts() -> Iterator[str]:
    """The table of layouts, line by line."""
    yield "| layout | keys | becomes | read by |"
    yield "| --- | --- | --- | --- |"
    pairs = [BY_NAME[f"{asked}-{answer}"] for asked, answer in PAIRS]
    for layout in LAYOUTS:
        if layout in pairs:
            continue
        keys = ", ".join([f"`{key}`" for key in layout.required])
        keys += "".join(f", [`{key}`]" for key in layout.optional)
        option = "as it is" if layout.kept else f"`--layout {layout.name}`"
        if layout.columns:
            option += f", `{layout.name_columns(dict(zip(layout.keys, layout.keys, strict=True)))}`"
        read = layout.read or layout.kept
        becomes = layout.becomes if read else f"not read: {layout.why}"
        yield f"| {layout.title} | {keys} | {becomes} | {option if read else layout.hint} |"
    names = ", ".join(f"`{layout.name}`" for layout in pairs)
    yield f"| two columns of texts | those of the name | prompt, completion | `--layout` {names} |"


def render_data_formats() -> str:
    """The page about the layouts of rows."""
    return f"""# The layouts of rows

What providers train on is prompt and completion, chats, or preferences. Rows that other tools write are recognised by their
keys, made of `ftops/data/reading/layouts.py`: the commands of `ftops data` and `ftops init` read them, and say so. A
job file says it in `prepare: {{layout: alpaca}}`, which `ftops init` writes; `ftops run` and `ftops check` guess nothing. `--layout
none` reads rows as they stand, and `--prompt` and `--completion` name columns of any other table.

- Keys in brackets are optional. A key that is null, or empty, is taken as absent: data frames write every column in every row.
- Upper and lower case of keys do not matter. Where the prompt is of several keys, a line break stands between those that are
  filled.
- Keys that only say where a row comes from (`id`, `source`, `split` …) are left out, and that is said. Any other key that the
  layout does not name is an error, until `--layout NAME` says that it may be left out. Keys that change what a row teaches
  (`images`, `tools`, `label`, `weight`, `history` …) are never left out.
- Calls of tools become `tool_calls`: those without an id get one, arguments become JSON text, and a turn of a tool is the answer
  of the call before it.

{chr(10).join(_list_layouts())}
"""


def render_diagnostics() -> str:
    """The page about the diagnostics of training curves."""
    return f"""# Diagnostics

`ftops results` and the end of `ftops run` check the losses of a training (`ftops/reports/diagnostics.py`). A diagnostic is one
sentence with its figures, what to do, and the checkpoint to prefer where there is one. Clean curves give none: of 5,000 random
clean curves, 0.7 % gave one, nearly always `noisy-validation`.

- Losses are in nats per token. A level is the mean of a stretch of steps; its standard error is that of the scatter between
  neighbouring steps.
- Validation is exact where the provider measures it on all rows (`full_valid_loss`) or about once per epoch. Eight or more exact
  points are smoothed by the median of three; fewer are used as they are.
- Validation that is measured on a few rows every few steps is read by tenths.

{render_rules()}"""


TARGETS: dict[str, Callable[[], str]] = {
    "job.schema.json": render_schema,
    "docs/job-file.md": render_job_file,
    "docs/cli.md": render_cli,
    "ftops/cli/help.txt": render_transcript,
    "docs/metrics.md": render_metrics,
    "docs/data-checks.md": render_data_checks,
    "docs/data-fixes.md": render_data_fixes,
    "docs/data-formats.md": render_data_formats,
    "docs/diagnostics.md": render_diagnostics,
    "docs/architecture.md": render_architecture,
    "docs/reliability.md": render_reliability,
}


def main() -> int:
    """Write what is stale, or with `--check` name it and return 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, only look")
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
