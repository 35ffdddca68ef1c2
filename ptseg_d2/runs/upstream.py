"""Which finished runs a run is built on, so that it is not taken for finished when one of them was made again."""

from __future__ import annotations

from pathlib import Path

from ptseg_d2.runs.done import DONE, identity
from ptseg_d2.runs.image_folders import PREDICTED_GUIDANCE
from ptseg_d2.stages import StageRun
from ptseg_d2.stages.table import Work


def built_on(run: StageRun) -> dict[str, str]:
    """The finished runs whose weights or masks a run starts from: name -> identity of that run.

    A name is a folder below `StageRun.needs_dir`, "semantic_source" or "instance_source/car+bus"; other folders go by
    their last part, and the networks that a mix chooses from by their whole path.
    """
    inputs = run.inputs
    folders = [Path(run.cfg.MODEL.WEIGHTS).parent] if run.cfg.MODEL.WEIGHTS else []
    folders += [Path(file).parent.parent for file in (inputs.masks, inputs.detections) if file]
    guidance = Path(inputs.guidance)
    if guidance.parts[-2:] == PREDICTED_GUIDANCE.parts:
        folders += [done.parent for done in groups_below(guidance.parent.parent)]
    names = {
        folder: folder.relative_to(run.needs_dir).as_posix() if run.needs_dir in folder.parents else folder.name
        for folder in folders
    }
    if run.stage.work is Work.CHOOSE:
        mixed = (done.parent for folder in run.cfg.INSTANCE.MIX_FROM for done in groups_below(Path(folder)))
        names.update({folder: str(folder) for folder in mixed})
    return {name: identity(folder) for folder, name in names.items() if (folder / DONE).exists()}


def groups_below(folder: Path) -> list[Path]:
    """`done.json` of every finished group of a stage."""
    return sorted(folder.glob(f"*/{DONE}"))
