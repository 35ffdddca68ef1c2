"""The finished networks among which the classes of a mix choose (INSTANCE.MIX_FROM)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ptseg_d2.config.rules import decides_embeddings
from ptseg_d2.data.datasets import classes_of
from ptseg_d2.errors import RecipeError
from ptseg_d2.runs.records import changed_settings, read_done

from detectron2.config import CfgNode


@dataclass(frozen=True)
class Candidate:
    """One finished group of a run.

    Attributes:
        run: folder of the stage, as INSTANCE.MIX_FROM names it.
        group: name of the group, its sub-folder.
        classes: thing classes that its network separates.
    """

    run: str
    group: str
    classes: tuple[str, ...]

    @property
    def place(self) -> tuple[str, str]:
        """Run and group."""
        return self.run, self.group

    @property
    def weights(self) -> Path:
        """The final checkpoint."""
        return Path(self.run, self.group, "model_final.pth")


def read_candidates(cfg: CfgNode) -> list[Candidate]:
    """The groups of all runs of INSTANCE.MIX_FROM.

    Args:
        cfg: config of the stage "instance_mix"; says what the networks must look like.

    Raises:
        RecipeError: no run is named, one is not finished, or its networks are others than those of `cfg`.
    """
    if not cfg.INSTANCE.MIX_FROM:
        raise RecipeError("INSTANCE.MIX_FROM is empty: name folders like output/instance/icm_25/instance_selftrain")
    return [candidate for run in cfg.INSTANCE.MIX_FROM for candidate in _candidates_of(cfg, run)]


def candidate_config(cfg: CfgNode, candidate: Candidate) -> CfgNode:
    """The config with which the network of a candidate is built."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.INSTANCE.GROUP = list(candidate.classes)
    cfg.freeze()
    return cfg


def _candidates_of(cfg: CfgNode, run: str) -> list[Candidate]:
    folders = sorted(done.parent for done in Path(run).glob("*/done.json"))
    if not folders:
        raise RecipeError(f"INSTANCE.MIX_FROM: {run} holds no finished group; train that run first")
    records = {folder: read_done(folder)["settings"] for folder in folders}
    groups = records[folders[0]]["INSTANCE.GROUPS"]
    if any(record["INSTANCE.GROUPS"] != groups for record in records.values()):
        raise RecipeError(f"INSTANCE.MIX_FROM: {run} holds groups of runs with different INSTANCE.GROUPS")
    if len(folders) < len(groups):
        raise RecipeError(
            f"INSTANCE.MIX_FROM: {run} is not finished: {len(folders)} of its {len(groups)} groups are. "
            "Run its config again, it goes on with the others."
        )
    for folder in folders:
        changed = changed_settings(cfg, folder / "done.json", decides_embeddings)
        if changed:
            raise RecipeError(
                f"INSTANCE.MIX_FROM: {folder} has other embeddings than the config of the mix "
                f"({'; '.join(changed[:4])}); leave it out, or mix with its settings"
            )
    classes = classes_of(cfg)
    everything = tuple(classes.names[thing] for thing in classes.thing_ids)
    return [
        Candidate(os.fspath(run), folder.name, tuple(records[folder]["INSTANCE.GROUP"]) or everything)
        for folder in folders
    ]
