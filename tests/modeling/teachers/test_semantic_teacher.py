"""Semantic self-training: where the student's labels come from and what each switch adds."""

from __future__ import annotations

import math
from typing import Any

from ptseg_d2.data.views import View, full_view, render_image
from ptseg_d2.losses.semantic import charbonnier_entropy, focal_confidence_loss
from ptseg_d2.modeling.teachers import semantic_teacher
from ptseg_d2.modeling.teachers.semantic_labeler import PseudoLabels
from ptseg_d2.modeling.teachers.semantic_teacher import SemanticMomentumTeacher
from ptseg_d2.pseudo_labels.rules import RuleOptions
from ptseg_d2.pseudo_labels.rules.confidence_share import ConfidenceShare
from ptseg_d2.resizing import resize

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage
from tiny import small

HEIGHT, WIDTH = 32, 64
SIZE = torch.Size((HEIGHT, WIDTH))


def build(**options: Any) -> SemanticMomentumTeacher:
    """The small network with other values of MODEL.SELF_TRAINING or INPUT; no mixing, no masks, no ramp."""
    options = {"CLASS_MIX": False, "MASK_RATIO": 0.0, "RAMP_ITERS": 0, "BN_STATS": "frozen", **options}
    overrides: list[str] = []
    for key, value in options.items():
        section = "INPUT" if key.startswith(("CLASS_MIX_", "MASK_")) else "MODEL.SELF_TRAINING"
        overrides += [f"{section}.{key}", str(value)]
    torch.manual_seed(0)
    model = build_model(small("semantic_selftrain.yaml", *overrides))
    assert isinstance(model, SemanticMomentumTeacher)
    return model.train()


def target(seed: int = 0) -> dict[str, Any]:
    """One image with two identical views and predicted masks."""
    generator = torch.Generator().manual_seed(seed)
    views = torch.randint(0, 256, (1, 3, *SIZE), dtype=torch.uint8, generator=generator).expand(2, -1, -1, -1)
    identity = torch.tensor([[1.0, 0, 0], [0, 1.0, 0]]).expand(2, -1, -1)
    masks = torch.where(torch.arange(64) < 32, 13, 255).expand(2, 32, -1)
    return {
        "student_views": views,
        "teacher_views": views,
        "thetas": identity,
        "class_mask_views": masks,
        "domain": "target",
    }


def source(label: int = 4) -> dict[str, Any]:
    image = torch.full((3, *SIZE), 200, dtype=torch.uint8)
    return {"image": image, "sem_seg": torch.full(SIZE, label), "domain": "source"}


def losses_of(model: SemanticMomentumTeacher, *batch: dict[str, Any]) -> dict[str, torch.Tensor]:
    with EventStorage():
        losses = model(list(batch))
    assert isinstance(losses, dict)
    return losses


def test_confidence_share_is_dacs() -> None:
    """Every pixel keeps its label; the weight of all is the share of confident ones."""
    model = build(PSEUDO_LABELS="confidence_share")
    item = target()
    with torch.no_grad():
        logits = model.teacher.predict_strided(item["teacher_views"])
        confidence, expected = resize(logits.softmax(dim=1), SIZE).max(dim=1)
    model.labeler.rule = ConfidenceShare(RuleOptions(confidence_floor=float(confidence.quantile(0.25))))
    labels, weight = model.labeler(model.teacher, [item], SIZE)
    assert torch.equal(labels, expected)
    assert weight.unique().tolist() == pytest.approx([0.75], abs=0.01)


class ColourTeacher(torch.nn.Module):
    """Class 13 where an image is red, class 10 elsewhere, and wrong with certainty in the first view."""

    def predict_strided(self, images: torch.Tensor) -> torch.Tensor:
        red = (images[:, 0] > 127).float()
        red[0] = 0.0
        logits = torch.full((len(images), 19, *images.shape[-2:]), -20.0)
        logits[:, 13], logits[:, 10] = 6 * red, 6 * (1 - red)
        return logits


def test_views_outvote_a_wrong_one_in_every_geometry() -> None:
    """Zoomed and mirrored views see the red half; the first one, which does not, learns it from them."""
    model = build(PRIOR_MOMENTUM=0.0)
    canvas = torch.zeros((3, *SIZE), dtype=torch.uint8)
    canvas[0, :, 32:] = 255
    views = [
        full_view((HEIGHT, WIDTH)),
        full_view((HEIGHT, WIDTH), flip=True),
        View((HEIGHT, WIDTH), 8, 24, 16, 32, flip=True),
    ]
    views.append(full_view((HEIGHT, WIDTH)))
    thetas = torch.stack([view.theta() for view in views])
    shown = torch.stack([render_image(canvas, theta) for theta in thetas])
    item = {"teacher_views": shown, "student_views": shown, "thetas": thetas, "domain": "target"}
    labels, confidence = model.labeler(ColourTeacher(), [item], SIZE)
    expected = torch.where(shown[:, 0] > 127, 13, 10)
    # Four pixels on either side of the border, which the zoomed and mirrored view has at column 48, may be unsure.
    certain = torch.ones(SIZE, dtype=torch.bool)
    certain[:, 28:36] = False
    for index in (0, 1, 3):
        assert torch.equal(labels[index][certain], expected[index][certain])
    assert torch.equal(labels[2][:, :44], expected[2][:, :44]) and torch.equal(labels[2][:, 52:], expected[2][:, 52:])
    # Red is seen by three of four views where the zoomed one looks, by two of three elsewhere.
    assert confidence[0, 16, 50].item() == pytest.approx(3 / 4, abs=0.01)
    assert confidence[0, 2, 50].item() == pytest.approx(2 / 3, abs=0.01)
    assert confidence[0, 2, 5].item() == pytest.approx(1, abs=0.01)


def test_predicted_masks_are_the_labels() -> None:
    model = build(PSEUDO_LABELS="predicted", TARGET_WEIGHT=2.0)
    item = target()
    loss = losses_of(model, item)["loss_sem_seg_target"]
    logits = model.student.predict_strided(item["student_views"])
    labels = item["class_mask_views"]
    no_prior = torch.zeros(19)
    assert loss.item() == pytest.approx(
        2 * focal_confidence_loss(logits, labels, torch.ones(labels.shape), no_prior).item()
    )
    assert torch.equal(model.labeler.class_prior, torch.full((19,), 1e-3))  # no teacher was asked


def test_entropy_alone() -> None:
    model = build(PSEUDO_LABELS="none", ENTROPY_WEIGHT=0.005, TARGET_WEIGHT=1.0)
    item = target()
    losses = losses_of(model, item)
    expected = 0.005 * charbonnier_entropy(model.student.predict_strided(item["student_views"]))
    assert list(losses) == ["loss_entropy_target"]
    assert losses["loss_entropy_target"].item() == pytest.approx(expected.item())


def test_hidden_blocks_change_the_input_not_the_labels() -> None:
    """With every block hidden the student sees one colour, and its loss is still on the teacher's labels."""
    model = build(MASK_RATIO=1.0, MASKED_WEIGHT=3.0, TARGET_WEIGHT=1.0)
    item = target()
    losses = losses_of(model, item)
    labels, confidence = model.labeler(model.teacher, [item], SIZE)
    grey = model.student.mean_colour.expand(1, 3, *SIZE)
    logits = model.student.predict_strided(grey)
    expected = 3 * focal_confidence_loss(logits, labels[:1], confidence[:1], model.labeler.class_prior)
    assert losses["loss_sem_seg_masked_target"].item() == pytest.approx(expected.item(), rel=1e-3)
    assert set(losses) == {"loss_sem_seg_target", "loss_sem_seg_masked_target"}
    without = losses_of(build(TARGET_WEIGHT=1.0), item)
    assert losses["loss_sem_seg_target"].item() == pytest.approx(without["loss_sem_seg_target"].item())


def test_mixed_pixels_have_the_source_label_and_full_weight() -> None:
    model = build(CLASS_MIX=True)
    images, pseudo = target()["student_views"], model.labeler(model.teacher, [target()], SIZE)
    mixed, labels = model.paste_classes(images, pseudo, [source()])
    # The source shows one class, so ClassMix pastes all of it.
    assert (mixed == 200).all() and (labels.labels == 4).all() and (labels.confidence == 1).all()
    mixed, labels = model.paste_classes(images, pseudo, [source(label=255)])
    assert torch.equal(mixed, images) and torch.equal(labels.labels, pseudo.labels)


def test_mixed_images_are_blurred_after_pasting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Grey 200 of class 4 is pasted on the left of grey 40: the blur crosses the border, the labels do not."""
    sigma = 0.8
    monkeypatch.setattr(semantic_teacher, "MIX_BLUR", (sigma, sigma))
    model = build(CLASS_MIX=True, CLASS_MIX_BLUR_PROBABILITY=1.0)
    images = torch.full((2, 3, *SIZE), 40, dtype=torch.uint8)
    pseudo = PseudoLabels(torch.full((2, *SIZE), 10), torch.full((2, *SIZE), 0.5))
    half = torch.where(torch.arange(WIDTH) < 32, 4, 255).expand(SIZE)
    mixed, labels = model.paste_classes(images, pseudo, [{**source(), "sem_seg": half}])
    weights = [math.exp(-((step / sigma) ** 2) / 2) for step in range(-2, 3)]  # two steps to either side: ceil(2 sigma)
    for x in range(2, WIDTH - 2):
        greys = [200 if x + step < 32 else 40 for step in range(-2, 3)]
        expected = sum(w * grey for w, grey in zip(weights, greys)) / sum(weights)
        assert mixed[:, :, :, x].unique().tolist() == [pytest.approx(expected, abs=0.501)]
    assert mixed.dtype == torch.uint8 and (images == 40).all()
    assert torch.equal(labels.labels, half.where(half == 4, 10).expand(2, -1, -1))
    assert torch.equal(labels.confidence, (half == 4).float().mul(0.5).add(0.5).expand(2, -1, -1))


def test_batch_of_void_only_is_finite() -> None:
    model = build(CLASS_MIX=True)
    losses = losses_of(model, source(label=255), target())
    assert losses["loss_sem_seg_source"].item() == 0
    total = sum(losses.values())
    assert isinstance(total, torch.Tensor) and torch.isfinite(total)
    total.backward()


def test_class_that_is_never_predicted_keeps_its_prior() -> None:
    model = build()
    last = model.teacher.head.predictor
    assert isinstance(last, torch.nn.Conv2d) and last.bias is not None
    torch.nn.init.constant_(last.bias[7:8], -1e4)
    losses_of(model, target())
    assert float(model.labeler.class_prior[7]) == pytest.approx(1e-3)
    assert (model.labeler.class_prior[:7] > 1e-3).all()


def test_mixing_without_labels_is_refused() -> None:
    for options in ({"CLASS_MIX": True}, {"MASK_RATIO": 0.5}):
        with pytest.raises(ValueError, match="PSEUDO_LABELS without labels leaves nothing"):
            build(PSEUDO_LABELS="none", **options)


def test_random_numbers_are_a_function_of_the_step() -> None:
    """Whatever was drawn before: an unbroken and a resumed run mix and mask alike."""
    losses = []
    for earlier_draws in (0, 3):
        model = build(CLASS_MIX=True, MASK_RATIO=0.5, CLASS_MIX_JITTER=0.2, BN_STATS="target")
        model.num_steps.fill_(5)
        torch.rand(earlier_draws)
        losses.append({key: value.item() for key, value in losses_of(model, source(), target()).items()})
    assert losses[0] == losses[1]


def test_unknown_label_source_is_refused() -> None:
    with pytest.raises(ValueError, match="PSEUDO_LABELS = 'oracle'; expected one of: class_thresholds, confidence"):
        build(PSEUDO_LABELS="oracle")


@pytest.mark.parametrize(
    ("rule", "choice"), [("predicted", "MODEL.SELF_TRAINING.PSEUDO_LABELS = 'predicted'"), ("class_thresholds", "")]
)
def test_only_fixed_labels_need_masks(rule: str, choice: str) -> None:
    cfg = small("semantic_selftrain.yaml", "MODEL.SELF_TRAINING.PSEUDO_LABELS", rule)
    assert SemanticMomentumTeacher.needs_masks(cfg) == choice


def test_guidance_is_laid_over_the_fused_labels() -> None:
    model = build()
    item = target()
    plain = model.labeler(model.teacher, [item], SIZE)
    guidance = torch.full((2, HEIGHT, WIDTH), 255)
    guidance[0, :8] = 13
    guided = model.labeler(model.teacher, [{**item, "guidance_mask_views": guidance}], SIZE)
    assert (guided.labels[0, :8] == 13).all()
    assert torch.equal(guided.labels[0, 8:], plain.labels[0, 8:]) and torch.equal(guided.labels[1], plain.labels[1])
