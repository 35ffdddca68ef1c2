"""The order of a recipe's stages: what is finished is skipped, and rounds end when the agreement no longer rises."""

from __future__ import annotations

from pathlib import Path

from ptseg_d2.recipe import runner, stage_work
from ptseg_d2.recipe.configs import load_config, load_recipe
from ptseg_d2.recipe.rounds import Round
from ptseg_d2.recipe.runner import run_stages
from ptseg_d2.runs.done import DONE
from ptseg_d2.stages import StageRun
from ptseg_d2.stages.table import Work

import pytest
from tiny import CONFIGS

RECIPE = CONFIGS / "selftrain_icm.yaml"
FIRST = [
    *("semantic_source", "semantic_adapted", "semantic_selftrain"),
    *("instance_source", "instance_adapted", "instance_selftrain/car", "instance_selftrain/bus"),
]


class Events:
    """What `run_stages` has done, in its order; no stage takes more than a note."""

    def __init__(self, folder: Path, num_rounds: int, agreements: list[float], patch: pytest.MonkeyPatch) -> None:
        words = ["OUTPUT_DIR", str(folder), "RECIPE.ROUNDS", str(num_rounds), "INSTANCE.GROUPS", "[['car'], ['bus']]"]
        self.cfg, self.runs = load_config(RECIPE, words), load_recipe(RECIPE, words)
        self.agreements = agreements
        self.seen: list[str] = []
        for work in (Work.TRAIN, Work.ADAPT):
            patch.setitem(stage_work.WORK, work, self.work)
        patch.setattr(runner, "note_agreement", self.measure)
        patch.setattr(runner, "prepare_guidance", self.guide)

    def work(self, run: StageRun, resume: bool) -> None:
        self.seen.append(run.title)

    def measure(self, models: object, pair: Round) -> float:
        self.seen.append(f"agreement {pair.number}")
        return self.agreements[pair.number - 1]

    def guide(self, cfg: object, models: object, last: Round, index: str) -> None:
        self.seen.append(f"guidance by {last.number}")

    def of_a_visit(self) -> list[str]:
        self.seen.clear()
        run_stages(self.cfg, self.runs, resume=False)
        return list(self.seen)


def of_round(number: int) -> list[str]:
    return [
        f"guidance by {number - 1}",
        f"semantic_selftrain_round{number}",
        *(f"instance_selftrain_round{number}/{group}" for group in ("car", "bus")),
        f"agreement {number}",
    ]


def test_a_second_visit_runs_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = Events(tmp_path, 1, [], monkeypatch)
    assert events.of_a_visit() == FIRST  # nothing is measured in a single round
    assert events.of_a_visit() == []
    (tmp_path / "instance_selftrain" / "car" / DONE).unlink()
    assert events.of_a_visit() == ["instance_selftrain/car"]


@pytest.mark.parametrize(
    ("agreements", "num_tried"),
    [([50.0, 51.0, 52.0], 3), ([50.0, 51.0, 49.0, 60.0], 3), ([50.0, 50.0, 60.0], 2)],
)
def test_no_round_follows_one_that_does_not_rise(
    agreements: list[float], num_tried: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = Events(tmp_path, len(agreements), agreements, monkeypatch)
    later = [event for number in range(2, num_tried + 1) for event in of_round(number)]
    assert events.of_a_visit() == [*FIRST, "agreement 1", *later]
