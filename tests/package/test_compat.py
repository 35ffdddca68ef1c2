"""What Detectron2 0.6 could not do with today's libraries, done; and nothing touched where it is not needed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from ptseg_d2 import compat

import detectron2
import numpy as np
import pytest
import torch
from detectron2 import model_zoo
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.data import DatasetCatalog
from detectron2.data import transforms as T
from detectron2.evaluation import COCOEvaluator, SemSegEvaluator, coco_evaluation
from detectron2.layers import ModulatedDeformConv
from detectron2.structures import Boxes, Instances, RotatedBoxes, pairwise_iou_rotated
from detectron2.structures.masks import polygons_to_bitmask
from detectron2.utils.analysis import FlopCountAnalysis
from detectron2.utils.collect_env import collect_env_info
from PIL import Image
from torch import nn
from toy import squares

# Path -> text, as compat reads them.
NEWER_DETECTRON2 = {
    "layers/deform_conv.py": "import numpy as np\ntry:\n    from detectron2 import _C\nexcept ImportError:\n    pass\n",
    "evaluation/fast_eval_api.py": "from detectron2 import _C\n",  # imported inside a `try`
    "export/__init__.py": "try:\n    from .api import *\nexcept ImportError:\n    pass\n",
    "structures/masks.py": "mask = np.zeros((2, 2), dtype=bool)\nindex = np.int64(0)\n",
}


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[str]:
    """A registered data set of two images, see `squares`."""
    with squares(tmp_path) as name:
        yield name


# ---- each thing that was broken ----


@pytest.mark.parametrize("name", ["bool", "int", "float", "object", "str"])
def test_numpy_aliases_are_python_types(name: str) -> None:
    python_type = compat.NUMPY_ALIASES[name]
    assert np.zeros(1, dtype=getattr(np, name)).dtype == np.zeros(1, dtype=python_type).dtype


def test_masks_use_the_numpy_aliases() -> None:
    mask = polygons_to_bitmask([np.array([1.0, 1, 3, 1, 3, 3, 1, 3])], 4, 5)
    assert mask.dtype == bool and mask.sum() == 4 and mask[1:3, 1:3].all()


def test_semantic_evaluation_uses_the_numpy_aliases(toy: str) -> None:
    evaluator = SemSegEvaluator(toy, distributed=False)
    evaluator.reset()
    always_class_0 = torch.zeros(3, 8, 12)
    always_class_0[0] = 1
    for record in DatasetCatalog.get(toy):
        evaluator.process([record], [{"sem_seg": always_class_0}])
    assert evaluator.evaluate()["sem_seg"]["pACC"] == pytest.approx(50)  # every second column is class 0


def test_pillow_linear_is_bilinear() -> None:
    assert Image.LINEAR == Image.BILINEAR  # type: ignore[attr-defined]
    top_left = T.ExtentTransform((0, 0, 2, 2), output_size=(2, 2)).apply_image(np.eye(4, dtype=np.uint8))
    assert top_left.tolist() == [[1, 0], [0, 1]]


def test_calling_a_compiled_operator_names_it_and_the_fix() -> None:
    boxes = RotatedBoxes(torch.tensor([[5.0, 5, 2, 2, 0]]))
    with pytest.raises(RuntimeError, match=r"box_iou_rotated is a compiled operator.*pip install.*detectron2\.git"):
        pairwise_iou_rotated(boxes, boxes)


def test_deformable_convolution_is_refused_too() -> None:
    layer = ModulatedDeformConv(1, 1, kernel_size=1)
    image, offset, mask = torch.zeros(1, 1, 2, 2), torch.zeros(1, 2, 2, 2), torch.zeros(1, 1, 2, 2)
    with pytest.raises((RuntimeError, NotImplementedError)):  # Detectron2 has it for GPUs only
        layer(image, offset, mask)


def test_stand_in_looks_like_a_module() -> None:
    stand_in = detectron2._C  # type: ignore[attr-defined]
    assert isinstance(stand_in, ModuleType) and not hasattr(stand_in, "__file__")


def test_environment_report() -> None:
    report = collect_env_info()
    assert "none, detectron2._C is not compiled" in report and torch.__version__ in report


def test_coco_evaluation(toy: str, tmp_path: Path) -> None:
    """One of the two squares is found: precision 1 up to recall 1/2, so AP = 51 of the 101 recall points."""
    evaluator = COCOEvaluator(toy, ("bbox", "segm"), distributed=False, output_dir=str(tmp_path / "coco"))
    evaluator.reset()
    found = Instances((8, 12), pred_boxes=Boxes(torch.tensor([[2.0, 2, 6, 6]])))
    found.scores, found.pred_classes = torch.tensor([0.9]), torch.tensor([0])
    found.pred_masks = torch.zeros(1, 8, 12, dtype=torch.bool)
    found.pred_masks[0, 2:6, 2:6] = True
    first, second = DatasetCatalog.get(toy)
    evaluator.process([first, second], [{"instances": found}, {"instances": found[:0]}])
    results = evaluator.evaluate()
    assert results["bbox"]["AP"] == pytest.approx(100 * 51 / 101)
    assert results["segm"]["AP50"] == pytest.approx(100 * 51 / 101)


def test_flops_are_counted_without_caffe2() -> None:
    count = FlopCountAnalysis(nn.Conv2d(3, 4, kernel_size=1).eval(), (torch.zeros(1, 3, 5, 7),))
    assert count.total() == 3 * 4 * 5 * 7


def test_model_zoo_without_pkg_resources(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("detectron2.model_zoo", "detectron2.model_zoo.model_zoo"):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(detectron2, "model_zoo", model_zoo)  # put back afterwards
    monkeypatch.setitem(sys.modules, "pkg_resources", None)  # importing it fails
    compat.import_model_zoo()
    assert "pkg_resources" not in sys.modules
    fresh = sys.modules["detectron2.model_zoo"]
    assert fresh is not model_zoo
    assert Path(fresh.get_config_file("Base-RCNN-FPN.yaml")).is_file()


def test_checkpoint_with_numpy_data(tmp_path: Path) -> None:
    saved = {
        "model": {"weight": torch.ones(1, 2)},
        "state": np.random.RandomState(3).get_state(),
        "best": np.float64(0.5),
    }
    torch.save(saved, tmp_path / "model.pth")
    model = nn.Linear(2, 1, bias=False)
    rest = DetectionCheckpointer(model).load(str(tmp_path / "model.pth"))
    assert model.weight.tolist() == [[1, 1]]
    assert rest["best"] == 0.5
    restored = np.random.RandomState()
    restored.set_state(rest["state"])
    assert restored.randint(1000) == np.random.RandomState(3).randint(1000)


def test_checkpoint_that_runs_code_is_still_refused(tmp_path: Path) -> None:
    torch.save({"model": {}, "path": Path("anywhere")}, tmp_path / "model.pth")
    with pytest.raises(Exception, match="Weights only load failed"):
        DetectionCheckpointer(nn.Linear(1, 1)).load(str(tmp_path / "model.pth"))


# ---- where nothing is needed, nothing is done ----


def touched() -> tuple[object, ...]:
    """Everything that `compat.apply` may change, in a form that compares."""
    return (
        *(vars(np).get(name) for name in compat.NUMPY_ALIASES),
        getattr(Image, "LINEAR", None),
        *(id(sys.modules.get(name)) for name in ("detectron2._C", "detectron2.export.api", "pkg_resources")),
        coco_evaluation.COCOeval_opt,
        len(torch.serialization.get_safe_globals()),
    )


def test_applying_twice_changes_nothing() -> None:
    before = touched()
    compat.apply()
    assert touched() == before


def test_newer_detectron2_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compat, "_sources", lambda: NEWER_DETECTRON2)
    for name in compat.NUMPY_ALIASES:
        monkeypatch.delattr(np, name, raising=False)
    monkeypatch.delattr(Image, "LINEAR")
    for name in ("detectron2._C", "detectron2.export.api"):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(detectron2, "_C")
    own_evaluation = object()
    monkeypatch.setattr(coco_evaluation, "COCOeval_opt", own_evaluation)
    before = touched()
    compat.apply()
    assert touched() == before
    assert not hasattr(np, "int") and not hasattr(Image, "LINEAR") and "detectron2._C" not in sys.modules
    assert coco_evaluation.COCOeval_opt is own_evaluation


@pytest.mark.parametrize(
    ("pattern", "where", "expected"),
    [
        (r"\bImage\.LINEAR\b", "", True),
        (r"\bImage\.LINEAR\b", "layers/", False),  # it stands in data/transforms/
        (r"^from detectron2 import _C\b", "layers/deform_conv.py", True),
        (r"^Image\.LINEAR", "", False),  # not in the first column
    ],
)
def test_reading_the_installed_files(pattern: str, where: str, expected: bool) -> None:
    assert compat._detectron2_says(pattern, where) is expected


def test_existing_names_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np, "int", np.int32)
    monkeypatch.setattr(Image, "LINEAR", "own")
    compat.apply()
    assert np.int is np.int32 and Image.LINEAR == "own"  # type: ignore[attr-defined]


def test_older_numpy_gets_all_aliases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compat, "_sources", lambda: {"a.py": "mask = np.zeros(3, dtype=np.bool)"})
    for name in compat.NUMPY_ALIASES:
        monkeypatch.delattr(np, name, raising=False)
    compat.add_numpy_aliases()
    assert {name: vars(np)[name] for name in compat.NUMPY_ALIASES} == compat.NUMPY_ALIASES


def test_compiled_operators_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled, fast_evaluation = ModuleType("detectron2._C"), object()
    monkeypatch.setitem(sys.modules, "detectron2._C", compiled)
    monkeypatch.setattr(coco_evaluation, "COCOeval_opt", fast_evaluation)
    compat.apply()
    assert sys.modules["detectron2._C"] is compiled
    assert coco_evaluation.COCOeval_opt is fast_evaluation


def test_checkpointer_that_decides_itself_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Newer:
        def _load_file(self, path: str) -> Any:
            return torch.load(path, weights_only=True)

    monkeypatch.setattr("fvcore.common.checkpoint.Checkpointer", Newer)
    monkeypatch.setattr(torch.serialization, "add_safe_globals", lambda names: pytest.fail("touched torch"))
    compat.trust_numpy_in_checkpoints()


def test_missing_detectron2_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "detectron2", None)
    with pytest.raises(ImportError, match=r"python tools/install_detectron2\.py"):
        compat.apply()
