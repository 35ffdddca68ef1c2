"""The epsilon of the embedding loss, by hand; the other hooks are tested with what they change."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from ptseg_d2.losses.embedding import EmbeddingLoss
from ptseg_d2.modeling.hooks import EpsilonDecayHook
from ptseg_d2.stages import StageInputs
from ptseg_d2.training.trainer import Trainer

import pytest
from tiny import small


def test_epsilon_decays_by_e() -> None:
    """At iterations 0, 10 and 20 of decay 10: start, start / e, start / e^2; in any order, as after a resume."""
    criterion = EmbeddingLoss()
    hook = EpsilonDecayHook(criterion, start=-0.2, decay=10)
    for iteration, epsilon in {0: -0.2, 20: -0.2 * 0.1353352832, 10: -0.2 * 0.3678794412}.items():
        hook.trainer = SimpleNamespace(iter=iteration)
        hook.before_step()
        assert float(criterion.margin_offset) == pytest.approx(epsilon, rel=1e-6)


def test_no_epsilon_takes_away_what_an_earlier_stage_left() -> None:
    criterion = EmbeddingLoss()
    criterion.margin_offset.fill_(0.1)
    hook = EpsilonDecayHook(criterion, start=0.0, decay=10)
    hook.trainer = SimpleNamespace(iter=3)
    hook.before_step()
    assert float(criterion.margin_offset) == 0


def test_decay_must_be_positive() -> None:
    with pytest.raises(ValueError, match="EPSILON_DECAY = 0"):
        EpsilonDecayHook(EmbeddingLoss(), 0.2, 0)


@pytest.mark.parametrize("config", ["instance_source.yaml", "selftrain_icm.yaml"])
def test_the_trained_network_gets_the_epsilon(config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    epsilon = ("MODEL.EMBEDDING.EPSILON", "0.2", "MODEL.EMBEDDING.EPSILON_DECAY", "7")
    cfg = small(config, *epsilon, "OUTPUT_DIR", str(tmp_path), "EVAL.PSEUDO_LABEL_PICTURES", "0")
    monkeypatch.setattr(Trainer, "build_train_loader", lambda self, cfg: [])
    trainer = Trainer(cfg, StageInputs.from_config(cfg))
    (hook,) = (hook for hook in trainer._hooks if isinstance(hook, EpsilonDecayHook))
    trainer.iter = 0
    hook.before_step()
    network = trainer.model.student if config == "selftrain_icm.yaml" else trainer.model
    assert float(network.criterion.margin_offset) == pytest.approx(0.2) and hook.decay == 7
