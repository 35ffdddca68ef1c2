"""Install Detectron2 0.6 as pure Python, without a compiler, unless a Detectron2 is there already.

Upstream is not on PyPI. `pb1-detectron2` there has the Python files of upstream's tag v0.6, but its source archive
lacks the C++ files, so it is built here without the extension; `ptseg_d2/compat.py` makes up for the rest. Needs torch,
setuptools and wheel in the environment.

    python tools/install_detectron2.py
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

logger = logging.getLogger("install_detectron2")

REQUIREMENT = "pb1-detectron2==0.6"
SHA256 = "5d2e9e51e523ec72f6a31cca04b0a515492e9514b773a3d134cedc0677170b29"
# Newer pips refuse the archive for an optional requirement ("extra") that is a direct URL. This one does not.
LENIENT_PIP = "pip==23.2.1"
REFUSAL = "direct URL"
# The archive's setup.py, line by line: no C++ files to compile; and black only formats printed configs, while its exact
# pin would make pip complain at every later installation.
SETUP_EDITS = {"ext_modules=get_extensions()": "ext_modules=[]", '"black==21.4b2"': '"black"'}
BUILD_TOOLS = ("pip", "torch", "setuptools", "wheel")
UPSTREAM = "pip install --no-build-isolation 'git+https://github.com/facebookresearch/detectron2.git'"


class InstallError(RuntimeError):
    """Detectron2 could not be installed; the message says why and what to do."""


def is_installed() -> bool:
    """Whether `import detectron2` works."""
    spec = find_spec("detectron2")
    if spec is None or spec.origin is None:  # no origin: a folder left behind by an uninstallation
        return False
    try:
        importlib.import_module("detectron2")
    except ImportError:
        return False
    return True


def require_build_tools() -> None:
    """Check what a build without isolation takes from the environment.

    Raises:
        InstallError: names the missing packages and the command that installs them.
    """
    # By metadata: merely looking for the module pip makes setuptools unusable in this process (_distutils_hack).
    present = {distribution.metadata["Name"] for distribution in importlib.metadata.distributions()}
    missing = [name for name in BUILD_TOOLS if name not in present]
    if missing:
        fix = "python -m ensurepip" if "pip" in missing else f"pip install {' '.join(missing)}"
        raise InstallError(
            f"Detectron2 is built with the packages of {sys.prefix}; missing there: {', '.join(missing)}. Run: {fix}"
        )


def run_pip(*arguments: str, pip_folder: Path | None = None) -> None:
    """Run the pip of this interpreter.

    Args:
        arguments: pip's own, e.g. "install".
        pip_folder: folder with another version of the package `pip` to use.

    Raises:
        InstallError: pip failed; holds the end of its output.
    """
    environment = dict(os.environ)
    if pip_folder is not None:
        environment["PYTHONPATH"] = str(pip_folder)
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        output = "\n".join((done.stdout + done.stderr).strip().splitlines()[-12:])
        raise InstallError(
            f"pip {' '.join(arguments)} failed:\n{output}\nAlternative, needs a C++ compiler: {UPSTREAM}"
        )


def download(folder: Path) -> Path:
    """Download the source archive by its name.

    Args:
        folder: empty folder to work in.

    Returns:
        Path of the archive.
    """
    requirements = folder / "requirements.txt"
    # pip runs the archive's setup.py to read its metadata; with a hash here it checks the file before that.
    requirements.write_text(f"{REQUIREMENT} --hash=sha256:{SHA256}\n", encoding="utf-8")
    arguments = ["download", "--no-deps", "--no-build-isolation", "--no-binary=:all:"]
    arguments += ["--requirement", str(requirements), "--dest", str(folder / "archive")]
    try:
        run_pip(*arguments)
    except InstallError as error:
        if REFUSAL not in str(error):
            raise
        logger.info("This pip refuses the archive; downloading it with %s", LENIENT_PIP)
        run_pip("install", "--no-deps", "--target", str(folder / "pip"), LENIENT_PIP)
        run_pip(*arguments, pip_folder=folder / "pip")
    return next((folder / "archive").iterdir())


def check_hash(archive: Path, expected: str = SHA256) -> None:
    """Refuse a file whose content is not the known one.

    Raises:
        InstallError: another SHA-256 than expected.
    """
    actual = hashlib.sha256(archive.read_bytes()).hexdigest()
    if actual != expected:
        raise InstallError(
            f"{archive} has SHA-256 {actual}, expected {expected}: the download is damaged or another file. "
            f"Try again, or use: {UPSTREAM}"
        )


def unpack_without_extension(archive: Path, folder: Path) -> Path:
    """Unpack the archive and make it installable as pure Python.

    Args:
        archive: source archive (.tar.gz) with a single top folder.
        folder: where to unpack it; created.

    Returns:
        The unpacked project.

    Raises:
        InstallError: setup.py is not the one this was written for.
    """
    shutil.unpack_archive(archive, folder)
    project = next(folder.iterdir())
    setup = project / "setup.py"
    text = setup.read_text(encoding="utf-8")
    for old, new in SETUP_EDITS.items():
        if text.count(old) != 1:
            raise InstallError(f"{setup} should contain {old!r} once. Use another Detectron2: {UPSTREAM}")
        text = text.replace(old, new)
    setup.write_text(text, encoding="utf-8")
    # setup.py looks for the model zoo's configs in the place where upstream's repository has them.
    (project / "detectron2" / "model_zoo" / "configs").rename(project / "configs")
    return project


def install() -> None:
    """Download, check, patch and install Detectron2 into this interpreter's environment.

    Raises:
        InstallError: one of these steps failed.
    """
    require_build_tools()
    with tempfile.TemporaryDirectory(prefix="detectron2-") as temporary:
        folder = Path(temporary)
        logger.info("Downloading %s", REQUIREMENT)
        archive = download(folder)
        check_hash(archive)
        project = unpack_without_extension(archive, folder / "project")
        logger.info("Installing it without compiled operators")
        run_pip("install", "--no-deps", "--no-build-isolation", "--no-cache-dir", str(project))
    importlib.invalidate_caches()
    if not is_installed():
        raise InstallError(f"pip reported success, yet `import detectron2` fails with {sys.executable}")


def main() -> int:
    """Command line entry; returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    if is_installed():
        logger.info("Detectron2 is installed already: %s", sys.modules["detectron2"].__file__)
        return 0
    try:
        install()
    except InstallError as error:
        logger.error("%s", error)
        return 1
    logger.info("Installed %s", sys.modules["detectron2"].__file__)
    return 0


if __name__ == "__main__":
    sys.exit(main())
