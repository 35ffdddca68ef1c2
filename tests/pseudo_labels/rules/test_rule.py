"""What rules say of themselves, and a new one that trains without a change elsewhere."""

from __future__ import annotations

from pathlib import Path

from ptseg_d2.classes.tables import VOID
from ptseg_d2.data.streams import require_masks
from ptseg_d2.modeling.teachers.semantic_teacher import SemanticMomentumTeacher
from ptseg_d2.pseudo_labels.rules import PSEUDO_LABEL_REGISTRY, Evidence, PseudoLabelRule, PseudoLabels
from ptseg_d2.recipe.configs import load_config
from ptseg_d2.resizing import resize
from ptseg_d2.stages import StageInputs
from ptseg_d2.training.trainer import Trainer

import pytest
import torch
from tiny import CONFIGS, TINY


def test_what_the_rules_need_and_give() -> None:
    said = {
        name: (rule.makes_labels, rule.asks_teacher, rule.needs_masks, rule.uses_prior)
        for name, rule in PSEUDO_LABEL_REGISTRY
    }
    assert said == {
        "class_thresholds": (True, True, False, True),
        "confidence_share": (True, True, False, False),
        "predicted": (True, False, True, False),
        "none": (False, False, False, False),
    }


class Agreement(PseudoLabelRule):
    """A pixel counts where the teacher says what the mask of an earlier stage says."""

    needs_masks = True
    uses_prior = True

    def __call__(self, evidence: Evidence) -> PseudoLabels:
        probabilities = torch.cat([resize(views, evidence.size) for views in evidence.probabilities])
        confidence, labels = probabilities.max(dim=1)
        assert evidence.class_masks is not None
        return PseudoLabels(labels.where(labels == evidence.class_masks, VOID), confidence)


CONFIG = """
_BASE_: {base}
MODEL:
  SELF_TRAINING:
    PSEUDO_LABELS: agreement
"""


def test_a_new_rule_is_a_module_and_a_config(
    world: Path, masks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its module does on import, a YAML that names it, and two training steps."""
    monkeypatch.setattr(PSEUDO_LABEL_REGISTRY, "_obj_map", dict(PSEUDO_LABEL_REGISTRY))
    PSEUDO_LABEL_REGISTRY.register(Agreement, name="agreement")
    (tmp_path / "agreement.yaml").write_text(CONFIG.format(base=CONFIGS / "semantic_selftrain.yaml"))
    options = [*TINY, "SOLVER.MAX_ITER", "2", "OUTPUT_DIR", str(tmp_path / "run"), "INPUT.PREDICTED_MASKS"]
    with pytest.raises(ValueError, match="PSEUDO_LABELS = 'agreement' learns from class masks of the target images"):
        require_masks(load_config(tmp_path / "agreement.yaml", [*options, ""]), StageInputs())
    cfg = load_config(tmp_path / "agreement.yaml", [*options, str(masks)])
    (tmp_path / "run").mkdir()
    trainer = Trainer(cfg, StageInputs.from_config(cfg))
    trainer.resume_or_load(resume=False)
    before = [parameter.clone() for parameter in trainer.model.student.head.parameters()]
    trainer.train()
    model = trainer.model
    assert isinstance(model, SemanticMomentumTeacher) and isinstance(model.labeler.rule, Agreement)
    assert model.focal_power == cfg.MODEL.SELF_TRAINING.FOCAL_POWER > 0
    assert int(model.num_steps) == 2 and (tmp_path / "run" / "model_final.pth").is_file()
    assert not all(map(torch.equal, before, model.student.head.parameters()))
    assert "pseudo/coverage" in (tmp_path / "run" / "metrics.json").read_text()
