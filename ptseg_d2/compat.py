"""Lets Detectron2 0.6 run with today's NumPy, Pillow, torch, setuptools, and without its compiled operators.

Call `apply()` before anything of Detectron2 is imported (`ptseg_d2/__init__.py` does, so a script imports
`ptseg_d2` first). Every step looks whether the installed Detectron2 (or fvcore) still needs it: at what its
files say and what the libraries lack, never at a version. Where a newer one does without, nothing is touched.
Calling it again changes nothing.
"""

from __future__ import annotations

import functools
import importlib
import importlib.resources
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from PIL import Image

UPSTREAM = "pip install --no-build-isolation 'git+https://github.com/facebookresearch/detectron2.git'"
NUMPY_ALIASES = {"bool": bool, "int": int, "float": float, "object": object, "str": str}


def apply() -> None:
    """Make the installed Detectron2 importable and usable.

    Raises:
        ImportError: Detectron2 is not installed; the message says how to install it.
    """
    if _is_missing("detectron2"):
        raise ImportError(
            "Detectron2 is not installed. Run: python tools/install_detectron2.py "
            f"(or build upstream's with a C++ compiler: {UPSTREAM})"
        )
    add_numpy_aliases()
    add_pillow_linear()
    add_compiled_stand_in()
    add_caffe2_stand_in()
    import_model_zoo()
    use_pycocotools_evaluation()
    trust_numpy_in_checkpoints()


@functools.lru_cache(maxsize=1)
def _sources() -> dict[str, str]:
    """Path within the package -> text of every Python file of the installed Detectron2.

    They are 1.8 MB, read in some 20 ms without importing any.
    """
    spec = importlib.util.find_spec("detectron2")
    folders = spec.submodule_search_locations if spec is not None else None
    paths = {path: Path(folder) for folder in folders or [] for path in Path(folder).rglob("*.py")}
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path, folder in paths.items()}


def _detectron2_says(pattern: str, where: str = "") -> bool:
    """Whether a file of the installed Detectron2 has a line that matches.

    Args:
        pattern: regular expression; `^` is the first column, so that code inside a `try` can be told apart.
        where: look only at paths that begin with this, e.g. "layers/".
    """
    texts = (text for path, text in _sources().items() if path.startswith(where))
    return any(re.search(pattern, text, re.MULTILINE) for text in texts)


def _is_missing(module: str) -> bool:
    if module in sys.modules:
        return sys.modules[module] is None
    return importlib.util.find_spec(module) is None


def add_numpy_aliases() -> None:
    """Restore np.bool, np.int, np.float, np.object and np.str, which NumPy 1.24 removed.

    NumPy 2 has a `np.bool` of its own, which stays: Detectron2 uses the name for arrays only.
    """
    if _detectron2_says(r"\bnp\.(bool|int|float|object|str)\b"):
        for name, builtin in NUMPY_ALIASES.items():
            if name not in vars(np):
                setattr(np, name, builtin)


def add_pillow_linear() -> None:
    """Restore PIL.Image.LINEAR, the old name of BILINEAR, which Pillow 10 removed."""
    if not hasattr(Image, "LINEAR") and _detectron2_says(r"\bImage\.LINEAR\b"):
        Image.LINEAR = Image.BILINEAR  # type: ignore[attr-defined]


class _CompiledStandIn(ModuleType):
    """Takes the place of detectron2._C where nothing was compiled: importable, but no operator works."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):  # to inspect, pickle and the like this is an ordinary module
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

        def refuse(*args: object, **kwargs: object) -> None:
            raise RuntimeError(
                f"detectron2._C.{name} is a compiled operator, and this Detectron2 was installed without "
                f"them. To use it, build Detectron2 with a C++ compiler: {UPSTREAM}"
            )

        return refuse

    # Detectron2 asks these three at the start of every run, for its report of the environment.
    def get_compiler_version(self) -> str:
        return "none, detectron2._C is not compiled"

    def get_cuda_version(self) -> str:
        return self.get_compiler_version()

    def has_cuda(self) -> bool:
        return False


def add_compiled_stand_in() -> None:
    """Let Detectron2 be imported without its `_C`. A newer one guards the import itself and needs no help."""
    if _is_missing("detectron2._C") and _detectron2_says(r"^from detectron2 import _C\b", "layers/"):
        stand_in = _CompiledStandIn("detectron2._C", "Stand-in for the operators that were not compiled.")
        sys.modules[stand_in.__name__] = stand_in
        importlib.import_module("detectron2")._C = stand_in  # type: ignore[attr-defined]


def add_caffe2_stand_in() -> None:
    """Let `detectron2.export`, and with it utils.analysis, be imported without caffe2, which torch dropped.

    A newer Detectron2 leaves the caffe2 part of `detectron2.export` out by itself; an empty module does so here.
    """
    name = "detectron2.export.api"
    wanted = _detectron2_says(r"^from \.api import \*", "export/__init__.py")
    if wanted and name not in sys.modules and _is_missing("caffe2"):
        sys.modules[name] = ModuleType(name, "Stand-in for the export to caffe2, which is not installed.")


def import_model_zoo() -> None:
    """Import `detectron2.model_zoo` where it wants pkg_resources, which setuptools 82 removed.

    The stand-in is there for that import only, so that no other package takes it for the real one.
    """
    if _is_missing("pkg_resources") and _detectron2_says(r"^import pkg_resources", "model_zoo/"):
        stand_in = ModuleType("pkg_resources")
        vars(stand_in)["resource_filename"] = _resource_filename
        sys.modules["pkg_resources"] = stand_in
        try:
            importlib.import_module("detectron2.model_zoo")
        finally:
            del sys.modules["pkg_resources"]


def _resource_filename(package: str, name: str) -> str:
    return str(importlib.resources.files(package) / name)


def use_pycocotools_evaluation() -> None:
    """Let COCOEvaluator run pycocotools' own COCOeval where its faster twin lacks the compiled operators."""
    if isinstance(sys.modules.get("detectron2._C"), _CompiledStandIn):
        from detectron2.evaluation import coco_evaluation, fast_eval_api
        from pycocotools.cocoeval import COCOeval

        coco_evaluation.COCOeval_opt = fast_eval_api.COCOeval_opt = COCOeval


def trust_numpy_in_checkpoints() -> None:
    """Let checkpoints hold NumPy arrays and numbers, as fvcore promises.

    Since torch 2.6 `torch.load` by default refuses whatever could run code, and with it NumPy's harmless data.
    fvcore's Checkpointer uses that default; a newer one that passes `weights_only` itself is left alone.
    """
    from fvcore.common.checkpoint import Checkpointer

    if "weights_only" in inspect.getsource(Checkpointer._load_file):
        return
    dtypes = {type(np.dtype(code)) for code in np.typecodes["All"]}
    rebuilders: list[Any] = [np.zeros(1).__reduce__()[0], np.float64(0).__reduce__()[0]]
    # NumPy 2 moved them; a checkpoint may come from either side.
    names = [(f, f"numpy.{core}.multiarray.{f.__name__}") for f in rebuilders for core in ("core", "_core")]
    torch.serialization.add_safe_globals([np.ndarray, np.dtype, *dtypes, *names])
