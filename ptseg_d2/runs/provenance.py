"""What a run ran on: code, libraries, hardware."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from datetime import datetime
from pathlib import Path

import detectron2
import torch
from detectron2.config import CfgNode

LIBRARIES = (
    *("torch", "torchvision", "numpy", "opencv-python-headless", "opencv-python", "scikit-learn", "scipy"),
    *("pillow", "matplotlib"),
)
CPU_INFO = Path("/proc/cpuinfo")


def code_version(folder: Path = Path(__file__).parent) -> str:
    """Commit of the git checkout that this package is part of, else the version of the installed package.

    Args:
        folder: of a module of the package.
    """
    tracked = _git(folder, "ls-files", "--error-unmatch", ".")  # not some checkout that the environment lies in
    commit = _git(folder, "rev-parse", "HEAD") if tracked else ""
    if not commit:
        return f"ptseg_d2 {_version('ptseg_d2') or 'of unknown version'}, not in a git checkout"
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ":/")
    return f"commit {commit}" + (", with uncommitted changes" if changed else "")


def library_versions() -> str:
    """Python and the libraries that decide numbers, those that are there."""
    # Detectron2 may be installed as a folder without a record.
    found = {"detectron2": detectron2.__version__, **{name: _version(name) for name in LIBRARIES}}
    return ", ".join([f"Python {platform.python_version()}", *(f"{name} {v}" for name, v in found.items() if v)])


def hardware(cfg: CfgNode) -> str:
    """GPUs if the run uses them, and the processor with its cores and those that torch computes on.

    Args:
        cfg: of the run.
    """
    cpu = f"{_cpu_name()}, {os.cpu_count()} cores, torch on {torch.get_num_threads()}"
    if not cfg.MODEL.DEVICE.startswith("cuda") or not torch.cuda.is_available():
        return cpu
    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return f"{', '.join(gpus)}; {cpu}"


def now() -> str:
    """Date and time with the offset from UTC."""
    return datetime.now().astimezone().isoformat(" ", "minutes")


def _cpu_name() -> str:
    if CPU_INFO.exists():
        for line in CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _git(folder: Path, *arguments: str) -> str:
    """Output of a git command; "" if it fails or there is no git."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
