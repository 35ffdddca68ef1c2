"""The finished networks among which the classes of a mix choose (INSTANCE.MIX_FROM)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ptseg_d2.config.rules import decides_embeddings
from ptseg_d2.data.datasets import classes_of
from ptseg_d2.errors import RecipeError
from ptseg_d2.runs.done import DONE
from ptseg_d2.runs.settings import GROUP, GROUPS, changed_settings, read_settings
from ptseg_d2.runs.upstream import groups_below
from ptseg_d2.stages import StageRun


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


def read_candidates(run: StageRun) -> list[Candidate]:
    """The groups of all runs of INSTANCE.MIX_FROM.

    Args:
        run: the stage "instance_mix"; its config says what the networks must look like.

    Raises:
        RecipeError: no run is named, one is not finished, or its networks are others than those of the mix.
    """
    folders = run.cfg.INSTANCE.MIX_FROM
    if not folders:
        raise RecipeError("INSTANCE.MIX_FROM is empty: name folders like output/instance/icm_25/instance_selftrain")
    return [candidate for folder in folders for candidate in _candidates_of(run, folder)]


def _candidates_of(mix: StageRun, run: str) -> list[Candidate]:
    folders = [done.parent for done in groups_below(Path(run))]
    if not folders:
        raise RecipeError(f"INSTANCE.MIX_FROM: {run} holds no finished group; train that run first")
    records = {folder: read_settings(folder / DONE) for folder in folders}
    groups = records[folders[0]][GROUPS]
    if any(record[GROUPS] != groups for record in records.values()):
        raise RecipeError(f"INSTANCE.MIX_FROM: {run} holds groups of runs with different INSTANCE.GROUPS")
    if len(folders) < len(groups):
        raise RecipeError(
            f"INSTANCE.MIX_FROM: {run} is not finished: {len(folders)} of its {len(groups)} groups are. "
            "Run its config again, it goes on with the others."
        )
    for folder in folders:
        changed = changed_settings(mix, folder / DONE, decides_embeddings)
        if changed:
            raise RecipeError(
                f"INSTANCE.MIX_FROM: {folder} has other embeddings than the config of the mix "
                f"({'; '.join(changed[:4])}); leave it out, or mix with its settings"
            )
    classes = classes_of(mix.cfg)
    everything = tuple(classes.names[thing] for thing in classes.thing_ids)
    return [Candidate(os.fspath(run), folder.name, tuple(records[folder][GROUP]) or everything) for folder in folders]
