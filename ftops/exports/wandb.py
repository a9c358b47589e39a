"""Tells Weights & Biases of a run: in files that `wandb sync` sends, or at once if so wished.

The only module that knows W&B. The run there has the id of ours; what an earlier telling left in
files, and nobody has sent, is replaced.
"""

import shutil
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ftops.exports.naming import cut, fit_names
from ftops.exports.run_data import RunData

_SENT = ".synced"
_NAME = 128
_TAG = 64
_KEY = 250


def write(run: RunData, settings: Mapping[str, str], folder: Path) -> str:
    """Write the run as W&B's client does, and wait for its end; where it is."""
    import wandb

    own = wandb.setup().settings  # what the user's environment says
    root = _find_root(settings, own.root_dir, folder)
    mode = _choose_mode(settings.get("mode"), own.mode)
    root.mkdir(parents=True, exist_ok=True)
    earlier = _list_unsent(root, run.id) if mode == "offline" else []
    project = settings.get("project") or own.project or run.name
    session = wandb.init(
        id=run.id,
        name=cut(run.name, _NAME),
        project=_clean(project),
        entity=settings.get("entity"),
        job_type="fine-tuning",
        tags=[
            cut(tag, _TAG) for tag in (run.status, str(run.parameters.get("provider", ""))) if tag
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
        place = str(session.url or "") if mode == "online" else str(written)
    except BaseException:
        session.finish(exit_code=1)
        raise
    session.finish(exit_code=0 if run.status == "succeeded" else 1)
    wandb.teardown()
    for one in earlier:
        if one != written:
            shutil.rmtree(one, ignore_errors=True)
    return f"run {run.id} at {place}"


def _find_root(settings: Mapping[str, str], around: str, folder: Path) -> Path:
    """The folder that is named, else that of `WANDB_DIR`, else the one of the job file."""
    if "folder" in settings:
        return folder / settings["folder"]
    root = Path(around).absolute()
    return folder if root == Path.cwd() else root  # W&B says so where nobody has named one


def _choose_mode(wished: str | None, around: str) -> str:
    """Online only where the environment says so, and the job file nothing else."""
    if around == "disabled":
        raise RuntimeError("W&B is disabled here (WANDB_MODE)")
    return "online" if around in ("online", "shared") and wished != "offline" else "offline"


# Any: W&B's own object, which is known only where it is installed.
def _log(session: Any, run: RunData) -> None:
    names = fit_names((curve.name for curve in run.curves), limit=_KEY)
    steps: dict[int, dict[str, float]] = defaultdict(dict)
    for curve in run.curves:
        for step, value in zip(curve.steps, curve.values, strict=True):
            steps[step][names[curve.name]] = value
    for step in sorted(steps):
        session.log(steps[step], step=step)
    single = run.list_single_figures()
    named = fit_names(single, limit=_KEY)
    session.summary.update({named[name]: value for name, value in single.items()})
    for path in map(Path, run.files):
        shutil.copyfile(path, Path(session.dir) / path.name)
        session.save(str(Path(session.dir) / path.name), base_path=session.dir, policy="now")


def _make_config(run: RunData) -> dict[str, object]:
    names = fit_names(run.parameters, limit=_KEY)
    return {
        **{names[name]: value for name, value in run.parameters.items()},
        "ftops": {"status": run.status, "lineage": run.lineage.list_known(), **run.tags},
    }


def _list_unsent(root: Path, run_id: str) -> list[Path]:
    """The folders of earlier tellings of this run that nobody has sent."""
    folders = sorted((root / "wandb").glob(f"offline-run-*-{run_id}"))
    return [folder for folder in folders if not any(folder.glob(f"*{_SENT}"))]


def _clean(project: str) -> str:
    return cut("".join("_" if char in "/\\#?%:" else char for char in project), _NAME)
