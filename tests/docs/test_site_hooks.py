"""Links between documents, as files of the repository and as pages of the site."""

from __future__ import annotations

import importlib.util
from types import ModuleType, SimpleNamespace

import pytest
from documents import ROOT


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    pytest.importorskip("mkdocs")
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / "docs" / "site_hooks.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("page", "text", "expected"),
    [
        ("index.md", "[zoo](MODEL_ZOO.md#paper-scale)", "[zoo](model_zoo.md#paper-scale)"),
        ("index.md", "![](docs/miniscapes.png)", "![](miniscapes.png)"),
        ("index.md", "[SAC]: docs/references.md#sac", "[SAC]: references.md#sac"),
        ("index.md", "[data](datasets/README.md)", "[data](datasets.md)"),
        ("datasets.md", "[use](../docs/usage.md)", "[use](usage.md)"),
        ("usage.md", "[zoo](../MODEL_ZOO.md)", "[zoo](model_zoo.md)"),
        (
            "usage.md",
            "[a](architecture.md#stages) and [b](#installing)",
            "[a](architecture.md#stages) and [b](#installing)",
        ),
        ("usage.md", "[ema](../ptseg_d2/modeling/ema.py)", "[ema](api/ptseg_d2.modeling.md#ptseg_d2.modeling.ema)"),
        ("usage.md", "[losses](../ptseg_d2/losses/__init__.py)", "[losses](api/ptseg_d2.losses.md#ptseg_d2.losses)"),
        ("usage.md", "[configs](../configs/ablation) of", "configs of"),
        ("usage.md", "[gone](../nowhere.py)", "[gone](../nowhere.py)"),
        ("usage.md", "[elsewhere](https://a.b/c.md)", "[elsewhere](https://a.b/c.md)"),
    ],
)
def test_links_between_files_become_links_between_pages(hooks: ModuleType, page: str, text: str, expected: str) -> None:
    changed = hooks.on_page_markdown(
        text, page=SimpleNamespace(file=SimpleNamespace(src_uri=page)), config={}, files=[]
    )
    assert changed.splitlines()[0] == expected


def test_every_package_has_a_page_and_every_module_a_place_on_it(hooks: ModuleType) -> None:
    names = list(hooks.packages())
    assert names[0] == "ptseg_d2" and "ptseg_d2.modeling.teachers" in names
    assert "::: ptseg_d2.modeling.ema" in list(hooks.api_lines("ptseg_d2.modeling"))
