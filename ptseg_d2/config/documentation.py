"""docs/configuration.md from the comments of this package.

    python -m ptseg_d2.config.documentation docs/configuration.md

A docstring of a function in which keys are added says something about several of them and stands above their table.
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Sequence
from pathlib import Path

from ptseg_d2.config.comments import Key, Section, read_section

PACKAGE = "ptseg_d2.config"
FOLDER = Path(__file__).parent
INTRODUCTION = """\
# Configuration

<!-- Made by python -m ptseg_d2.config.documentation docs/configuration.md from the comments in ptseg_d2/config. -->

A config file holds what differs from the defaults below and from Detectron2's own
([its list](https://detectron2.readthedocs.io/en/latest/modules/config.html)). `_BASE_` names a file, relative to this
one, whose keys hold unless the file itself sets them.

`KEY VALUE` pairs at the end of a command override keys in every stage of the recipe. With the name of a stage and a
colon in front, a pair reaches that stage alone. With `RECIPE.NEEDS_DIR` on a folder of finished stages, one key is
swept without training these again:

```
python tools/train_net.py --config-file configs/selftrain_icm.yaml RECIPE.NEEDS_DIR output/miniscapes \\
    OUTPUT_DIR output/consistency_0.1 instance_selftrain:INSTANCE.CONSISTENCY_WEIGHT 0.1
```

`DATASETS`, `WORLD`, `SEED`, `MODEL.DEVICE`, `OUTPUT_DIR` and what is below `RECIPE` are the same in all stages and
cannot be aimed at one, but for where a stage starts (`RECIPE.INIT_FROM`, `RECIPE.MASKS_FROM` and the like).

A stage that is finished is not run again, and one that was finished with other settings is refused. What is below
`EVAL` is no setting of a stage: thresholds, morphology, pictures, report, intervals and diagnosis by labels may be
others each time that a run is evaluated (`--eval-only`).
"""


def sections() -> list[Section]:
    """Of all modules, in the order in which `add_ptseg_config` calls them."""
    package = ast.parse((FOLDER / "__init__.py").read_text(encoding="utf-8"))
    module_of = {
        alias.name: node.module.removeprefix(f"{PACKAGE}.")
        for node in ast.walk(package)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(PACKAGE)
        for alias in node.names
    }
    (adds,) = (node for node in package.body if isinstance(node, ast.FunctionDef) and node.name == "add_ptseg_config")
    calls = [node.func.id for node in ast.walk(adds) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    files = [FOLDER / f"{module_of[name]}.py" for name in calls if name in module_of]
    found = [read_section(file.read_text(encoding="utf-8")) for file in files]
    return [section for section in found if section.keys]


def page() -> str:
    """The whole document."""
    return "\n".join([INTRODUCTION, *(line for section in sections() for line in _lines(section))]).rstrip() + "\n"


def _lines(section: Section) -> list[str]:
    lines = [f"## {section.title}\n"]
    nodes = list(dict.fromkeys(key.node for key in section.keys))
    for node in nodes:
        lines += [f"### {node}\n"] if len(nodes) > 1 else []
        lines += [f"{remark}\n" for remark in section.remarks.get(node, [])]
        lines += ["| key | default | unit or range | meaning |", "|---|---|---|---|"]
        lines += [_row(key) for key in section.keys if key.node == node]
        lines += [""]
    return lines


def _row(key: Key) -> str:
    cells = (f"`{key.name}`", f"`{key.default!r}`", key.unit, key.meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the document."""
    parser = argparse.ArgumentParser(prog=f"python -m {PACKAGE}.documentation", description="Write the list of keys.")
    parser.add_argument("output", help="docs/configuration.md")
    Path(parser.parse_args(arguments).output).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
