"""Runs that are done once: a finished one is skipped, one that was finished otherwise is refused."""

from __future__ import annotations

import json
import logging
import os
import time
import uuid
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from ptseg_d2.atomic import write_atomically
from ptseg_d2.errors import RecipeError
from ptseg_d2.runs.done import DONE
from ptseg_d2.runs.lock import only_here
from ptseg_d2.runs.settings import check_same_settings, settings
from ptseg_d2.runs.upstream import built_on
from ptseg_d2.stages import StageRun

from detectron2.utils import comm

logger = logging.getLogger(__name__)

STARTED = "started.json"
"""Written when a training begins, with what `done.json` will say of its settings."""

StageWork = Callable[[StageRun], "dict[str, Any] | None"]
"""Does a run; what it returns is kept in `done.json`."""


def run_once(run: StageRun, work: StageWork) -> None:
    """Do a run unless its `done.json` says that it is finished with the same settings.

    Args:
        run: with its own OUTPUT_DIR.
        work: does it.

    Raises:
        RecipeError: the run was finished with other settings, or on runs that were made again since, or another
            command is at it.
    """
    if not is_finished(run):
        os.makedirs(run.folder, exist_ok=True)
        with only_here(run.folder) if comm.is_main_process() else nullcontext():
            comm.synchronize()
            if not is_finished(run):  # another command may have finished it a moment ago
                logger.info("Stage %s begins, in %s", run.title, run.folder)
                _do_and_record(run, work)
                return
    logger.info("%s is finished, see %s", run.title, run.folder)


def _do_and_record(run: StageRun, work: StageWork) -> None:
    upstream = built_on(run)
    start = time.perf_counter()
    facts = work(run) or {}
    comm.synchronize()
    if comm.is_main_process():
        seconds = time.perf_counter() - start
        identity = {"id": uuid.uuid4().hex, "built_on": upstream, "settings": settings(run)}
        write_atomically(run.folder / DONE, json.dumps({**facts, "seconds": seconds, **identity}, indent=1))
    comm.synchronize()


def note_start(run: StageRun, resume: bool) -> None:
    """Note the settings of a training and what it starts from, so that `resume` never continues one of others.

    Raises:
        RecipeError: an interrupted training is to be continued with other settings.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    started = run.folder / STARTED
    if resume and started.exists():
        check_record(run, started)
    if comm.is_main_process():
        if not resume:
            (run.folder / "last_checkpoint").unlink(missing_ok=True)
        write_atomically(started, json.dumps({"settings": settings(run), "built_on": built_on(run)}, indent=1))
    comm.synchronize()


def is_finished(run: StageRun) -> bool:
    """Whether the `done.json` of a run says that it is finished with the same settings.

    Raises:
        RecipeError: it was finished with other settings, or on runs that were made again since.
    """
    done = run.folder / DONE
    if not done.exists():
        return False
    check_record(run, done)
    return True


def check_record(run: StageRun, record: Path) -> None:
    """Compare a run, and the finished runs that it starts from, with one of its JSON files.

    Args:
        run: as it is asked for now.
        record: `done.json` or `started.json`; one without "built_on", of an older version, is compared in settings.

    Raises:
        RecipeError: they differ; names the keys, or the run that was made again since.
    """
    check_same_settings(run, record)
    upstream = built_on(run)
    then = json.loads(record.read_text(encoding="utf-8")).get("built_on", upstream)
    stale = [name for name in upstream if then.get(name) != upstream[name]]
    if stale:
        raise RecipeError(
            f"{record.parent} was built on an earlier run of {stale[0]}, which was made again since. "
            f"Delete {record.parent} to make it again as well."
        )
