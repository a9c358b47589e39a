"""Exports a run to Weights & Biases: to files for `wandb sync`, or to the server.

The W&B run has the id of the run. A second export replaces files that were not synced.
"""

import shutil
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ftops.exports.run_data import RunData, fit_names, shorten

_SENT_SUFFIX = ".synced"
_NAME = 128
_TAG = 64
_KEY = 250


def write(run: RunData, settings: Mapping[str, str], folder: Path) -> str:
    """Write the run with W&B's client; returns its id and its location."""
    import wandb

    defaults = wandb.setup().settings  # from the user's environment
    root = _choose_root(settings, defaults.root_dir, folder)
    mode = _choose_mode(settings.get("mode"), defaults.mode)
    root.mkdir(parents=True, exist_ok=True)
    unsent = _list_unsent(root, run.id) if mode == "offline" else []
    project = settings.get("project") or defaults.project or run.name
    session = wandb.init(
        id=run.id,
        name=shorten(run.name, _NAME),
        project=_clean(project),
        entity=settings.get("entity"),
        job_type="fine-tuning",
        tags=[
            shorten(tag, _TAG)
            for tag in (run.status, str(run.parameters.get("provider", "")))
            if tag
        ],
        config=_make_config(run),
        resume="allow" if mode == "online" else None,
        settings=wandb.Settings(
            mode=mode,
            root_dir=str(root),
            silent=True,
            console="off",
            disable_git=True,
            disable_code=True,
            save_code=False,
            x_disable_stats=True,
            x_disable_meta=True,
            x_disable_machine_info=True,
            x_save_requirements=False,
        ),
    )
    written = Path(session.dir).parent
    try:
        _log(session, run)
        location = str(session.url or "") if mode == "online" else str(written)
    except BaseException:
        session.finish(exit_code=1)
        raise
    session.finish(exit_code=0 if run.status == "succeeded" else 1)
    wandb.teardown()
    for run_folder in unsent:
        if run_folder != written:
            shutil.rmtree(run_folder, ignore_errors=True)
    return f"run {run.id} at {location}"


def _choose_root(settings: Mapping[str, str], default: str, folder: Path) -> Path:
    """The folder of the settings, else `WANDB_DIR`, else the folder of the job file."""
    if "folder" in settings:
        return folder / settings["folder"]
    root = Path(default).absolute()
    return folder if root == Path.cwd() else root  # the working directory is W&B's default


def _choose_mode(setting: str | None, default: str) -> str:
    """Online only if the environment sets it and the job file does not set offline."""
    if default == "disabled":
        raise RuntimeError("W&B is disabled here (WANDB_MODE)")
    return "online" if default in ("online", "shared") and setting != "offline" else "offline"


# Any: the classes of W&B, which is optional.
def _log(session: Any, run: RunData) -> None:
    names = fit_names((curve.name for curve in run.curves), limit=_KEY)
    steps: dict[int, dict[str, float]] = defaultdict(dict)
    for curve in run.curves:
        for step, value in zip(curve.steps, curve.values, strict=True):
            steps[step][names[curve.name]] = value
    for step in sorted(steps):
        session.log(steps[step], step=step)
    scalars = run.list_scalars()
    scalar_names = fit_names(scalars, limit=_KEY)
    session.summary.update({scalar_names[name]: value for name, value in scalars.items()})
    for path in map(Path, run.files):
        shutil.copyfile(path, Path(session.dir) / path.name)
        session.save(str(Path(session.dir) / path.name), base_path=session.dir, policy="now")


def _make_config(run: RunData) -> dict[str, object]:
    names = fit_names(run.parameters, limit=_KEY)
    return {
        **{names[name]: value for name, value in run.parameters.items()},
        "ftops": {"status": run.status, "lineage": run.lineage.to_tags(), **run.tags},
    }


def _list_unsent(root: Path, run_id: str) -> list[Path]:
    """The folders of earlier exports of this run that were not synced."""
    folders = sorted((root / "wandb").glob(f"offline-run-*-{run_id}"))
    return [folder for folder in folders if not any(folder.glob(f"*{_SENT_SUFFIX}"))]


def _clean(project: str) -> str:
    return shorten("".join("_" if char in "/\\#?%:" else char for char in project), _NAME)
