"""A whole recipe at tiny size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import train_net
from tiny import CONFIGS, TINY


def run_recipe(config: str, output: Path, *flags: str) -> dict[str, Any]:
    """tools/train_net.py in this process; returns results.json."""
    options = [flag for flag in flags if flag.startswith("--")]
    overrides = [*TINY, "OUTPUT_DIR", str(output), *(flag for flag in flags if flag not in options)]
    arguments = ["--config-file", str(CONFIGS / config), *options, *overrides]
    train_net.main(train_net.build_parser().parse_args(arguments))
    results: dict[str, Any] = json.loads((output / "results.json").read_text())
    return results
