"""Training ends after the patience, with the best weights, killed or not; labels of the target have no say in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ptseg_d2.data.validation import validation_batches, validation_dicts
from ptseg_d2.errors import DataError
from ptseg_d2.recipe import stage_work as stages
from ptseg_d2.recipe.configs import load_config
from ptseg_d2.stages import StageInputs, StageRun
from ptseg_d2.training.early_stopping import EarlyStopping, StopTraining, mean_losses
from ptseg_d2.training.trainer import Trainer

import pytest
import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.engine.train_loop import TrainerBase
from tiny import CONFIGS, TINY
from torch import Tensor, nn


class Counter(TrainerBase):
    """Adds 1 to a weight at each step; its hook sees the losses of a list, one after the other."""

    def __init__(self, losses: list[float], period: int = 1, patience: int = 2) -> None:
        super().__init__()
        self.model = nn.Linear(1, 1)
        nn.init.zeros_(self.model.weight)
        self.saved: dict[str, float] = {}
        self.hook = EarlyStopping(
            self.model,
            lambda: {"loss_a": losses[self.iter // period] - 1, "loss_b": 1.0},
            self._save,
            period=period,
            patience=patience,
        )
        self.register_hooks([self.hook])

    def run_step(self) -> None:
        with torch.no_grad():
            self.model.weight += 1

    def _save(self, name: str, iteration: int) -> None:
        self.saved = {name: self.model.weight.item(), "iteration": iteration}

    def run(self, num_steps: int, start: int = 0) -> Counter:
        try:
            self.train(start, num_steps)
        except StopTraining:
            pass
        return self


def test_stops_after_the_patience_with_the_best_weights() -> None:
    """5 4 6 3 7 3 | 1: the fourth is the best, then two in a row are not lower; the seventh is never seen."""
    trainer = Counter([5.0, 4.0, 6.0, 3.0, 7.0, 3.0, 1.0]).run(7)
    assert trainer.iter == 6 and trainer.hook.best_loss == 3 and trainer.hook.best_iteration == 3
    assert trainer.saved == {"model_final": 4.0, "iteration": 5}
    assert trainer.model.weight.item() == 4


def test_without_a_stop_the_best_weights_are_final_all_the_same() -> None:
    trainer = Counter([3.0, 2.0, 4.0], patience=5).run(3)
    assert trainer.saved == {"model_final": 2.0, "iteration": 2}


def test_looks_once_per_period_and_at_the_end() -> None:
    """Periods of 3 steps, 7 steps: after the third, the sixth and the last."""
    trainer = Counter([2.0, 9.0, 1.0], period=3, patience=9).run(7)
    assert trainer.saved == {"model_final": 7.0, "iteration": 6} and trainer.hook.best_loss == 1


def test_a_loss_that_is_no_number_is_not_lower() -> None:
    trainer = Counter([2.0, float("nan"), float("nan"), 1.0]).run(4)
    assert trainer.saved == {"model_final": 1.0, "iteration": 2}


@pytest.mark.parametrize("num_steps", [2, 9])
def test_no_finite_loss_at_all_is_an_error(num_steps: int) -> None:
    """When the patience is at its end, or the training before it."""
    with pytest.raises(FloatingPointError, match="iteration 1: no validation loss was a finite number.*loss_a nan"):
        Counter([float("nan")] * 9, patience=2 if num_steps == 9 else 5).run(num_steps)


def test_interrupted_training_leaves_no_final_weights() -> None:
    trainer = Counter([3.0, 2.0, 1.0, 0.5])

    class Kill(HookBase):
        def after_step(self) -> None:
            if self.trainer.iter == 1:
                raise KeyboardInterrupt

    trainer.register_hooks([Kill()])
    with pytest.raises(KeyboardInterrupt):
        trainer.run(4)
    assert trainer.saved == {}


@pytest.mark.parametrize("killed_after", range(1, 7))
def test_resumed_is_unbroken(killed_after: int) -> None:
    losses = [5.0, 4.0, 6.0, 3.0, 7.0, 3.0, 1.0]
    whole = Counter(losses).run(7)
    first = Counter(losses).run(killed_after)
    second = Counter(losses)
    second.model.load_state_dict({"weight": torch.full((1, 1), float(killed_after)), "bias": first.model.bias.data})
    state = first.hook.state_dict()
    if killed_after == 1:
        assert state["best_loss"] == 5
    second.hook.load_state_dict(state)
    second.run(7, start=killed_after)
    assert second.saved == whole.saved and second.hook.best_iteration == whole.hook.best_iteration


@pytest.mark.parametrize(("period", "patience"), [(0, 1), (1, 0)])
def test_numbers_below_one(period: int, patience: int) -> None:
    with pytest.raises(ValueError, match="expected 1 or more"):
        EarlyStopping(nn.Linear(1, 1), dict, print, period=period, patience=patience)


def test_mean_is_over_images_and_the_mode_comes_back() -> None:
    class Network(nn.Module):
        def losses(self, batch: list[dict[str, Any]]) -> dict[str, Tensor]:
            assert not self.training
            return {"loss": torch.tensor([item["x"] for item in batch]).mean()}

    network = Network().train()
    assert mean_losses(network, [[{"x": 1.0}, {"x": 2.0}], [{"x": 6.0}]]) == {"loss": pytest.approx(3.0)}
    assert network.training


OVERRIDES = [
    *TINY,
    *("MODEL.EMBEDDING.DECODER_CHANNELS", "[8, 8, 8, 8]", "SOLVER.MAX_ITER", "6"),
    *("DATASETS.VALIDATION", "('miniscapes_synthia_labeled_train',)", "SOLVER.VALIDATION_PERIOD", "1"),
    *("SOLVER.PATIENCE", "3"),
]


def street_config(folder: Path, *overrides: str) -> CfgNode:
    arguments = [*OVERRIDES, "OUTPUT_DIR", str(folder), *overrides]
    return load_config(CONFIGS / "panoptic_unet" / "miniscapes.yaml", arguments)


def test_killed_training_ends_like_an_unbroken_one(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the trainer, with checkpoints every second step; the rate is so high that the loss soon rises."""
    rate = ("SOLVER.BASE_LR", "0.3")
    stages.train(StageRun.from_config(street_config(tmp_path / "whole", *rate)), resume=False)

    class Kill(HookBase):
        def after_step(self) -> None:
            if self.trainer.iter == 2:
                raise KeyboardInterrupt

    run = StageRun.from_config(street_config(tmp_path / "parts", *rate))
    build_hooks = Trainer.build_hooks
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "build_hooks", lambda self: [*build_hooks(self), Kill()])
        with pytest.raises(KeyboardInterrupt):
            stages.train(run, resume=False)
    assert not (tmp_path / "parts" / "model_final.pth").exists()
    stages.train(run, resume=True)
    whole, parts = (torch.load(tmp_path / p / "model_final.pth", weights_only=False) for p in ("whole", "parts"))
    assert whole["iteration"] == parts["iteration"]
    assert all(torch.equal(value, parts["model"][name]) for name, value in whole["model"].items())
    best = whole["trainer"]["hooks"]["EarlyStopping"]["best_weights"]
    assert all(torch.equal(value, whole["model"][name]) for name, value in best.items())


def test_labels_of_the_target_are_refused(world: Path, tmp_path: Path) -> None:
    target = ("DATASETS.VALIDATION", "('miniscapes_cityscapes_labeled_val',)")
    with pytest.raises(ValueError, match="labels of the target"):
        stages.train(StageRun.from_config(street_config(tmp_path, *target)), resume=False)
    dicts = validation_dicts(street_config(tmp_path, *target, "EVAL.SUPERVISED_ROW", "oracle"))
    assert {item["domain"] for item in dicts} == {"target"}


def test_network_without_losses_is_refused(world: Path, tmp_path: Path) -> None:
    cfg = street_config(tmp_path, "MODEL.META_ARCHITECTURE", "EmbeddingUNet")
    with pytest.raises(ValueError, match="EmbeddingUNet of stage .* has no validation loss"):
        Trainer(cfg, StageInputs.from_config(cfg))


def test_validation_images_are_whole_and_the_same_each_time(world: Path, tmp_path: Path) -> None:
    cfg = street_config(tmp_path, "INPUT.CROP_SIZE", "(32, 32)", "INPUT.SOURCE_FIT", "True")
    dicts = validation_dicts(cfg)
    first, second = (list(validation_batches(cfg, dicts)) for _ in range(2))
    assert [len(batch) for batch in first] == [2, 2, 2]
    for a, b in zip(sum(first, []), sum(second, [])):
        assert a["image"].shape == (3, 32, 32) and torch.equal(a["image"], b["image"])
        assert torch.equal(a["instance_ids"], b["instance_ids"]) and not (a["instance_ids"] == -1).all()


def test_unusable_validation_images_are_left_out(world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cfg = street_config(tmp_path)
    dicts = validation_dicts(cfg)
    for number, item in enumerate(dicts):
        Path(item["file_name"]).write_bytes(b"no picture")
        if number == 0:
            assert [len(batch) for batch in validation_batches(cfg, dicts)] == [2, 2, 1]
            assert f"Skipping a validation image: {item['file_name']}" in caplog.text
    with pytest.raises(DataError, match="none of 6 images of DATASETS.VALIDATION"):
        list(validation_batches(cfg, dicts))
