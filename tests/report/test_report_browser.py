"""The report in a browser: it shows, it needs nothing from outside, and its tables sort."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ptseg_d2.recipe.configs import load_config, load_recipe
from ptseg_d2.report.report import write_report

import pytest
from fake_run import ODD_ID, FakeRows, write_run
from tiny import CONFIGS, TINY

webdriver = pytest.importorskip("selenium.webdriver")
if not (shutil.which("chromium") and shutil.which("chromedriver")):
    pytest.skip("needs chromium and chromedriver", allow_module_level=True)

OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1250,1000"),
)
PQ = 1  # column
MIOU = 8


@pytest.fixture(scope="module")
def page(drawn_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a fake run."""
    root = tmp_path_factory.mktemp("report")
    overrides = [*TINY, "OUTPUT_DIR", str(root)]
    cfg = load_config(CONFIGS / "selftrain_icm.yaml", overrides)
    stages = load_recipe(CONFIGS / "selftrain_icm.yaml", overrides)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DETECTRON2_DATASETS", str(drawn_world))
        write_run(cfg, stages)
        return write_report(cfg, FakeRows(cfg, stages), root / "report.html")


@pytest.fixture
def browser(page: Path, tmp_path: Path) -> Iterator[Any]:
    """A Chromium that shows the page."""
    options = webdriver.ChromeOptions()
    for option in (*OPTIONS, f"--user-data-dir={tmp_path}"):
        options.add_argument(option)
    options.binary_location = shutil.which("chromium")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    driver.get(page.as_uri())
    yield driver
    driver.quit()


def score_table(browser: Any) -> Any:
    return browser.find_element("css selector", "#section-2 table")


def column(table: Any, number: int) -> list[str]:
    """Values of a column by which the rows can be sorted, from top to bottom."""
    rows = table.find_elements("css selector", "tbody:not(.fixed) tr")
    return [row.find_elements("css selector", "th, td")[number].get_attribute("data-value") for row in rows]


def test_every_picture_shows_and_nothing_is_asked_from_outside(browser: Any) -> None:
    script = "return [...document.images].map(i => [i.complete && i.naturalWidth > 0, i.src.slice(0, 5), i.alt])"
    images = browser.execute_script(script)
    assert len(images) > 30
    assert all(shows and source == "data:" and alt for shows, source, alt in images)
    asked = browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name.slice(0, 5))")
    assert set(asked) <= {"data:"}
    assert browser.get_log("browser") == []
    assert browser.execute_script("return document.querySelectorAll('b').length") == 0  # of the odd image id
    assert ODD_ID in browser.find_element("id", "section-7").text


def test_a_phone_scrolls_only_tables_and_charts_sideways(browser: Any) -> None:
    size = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390


def test_a_click_sorts_by_number_and_another_the_other_way(browser: Any) -> None:
    table = score_table(browser)
    assert column(table, PQ) == ["9.5", "", "", "12.25", "100.0", ""]  # in the usual order of the rows
    header = table.find_elements("css selector", "thead th")[PQ]
    assert header.get_attribute("aria-sort") is None
    header.find_element("tag name", "button").click()
    assert column(table, PQ) == ["9.5", "12.25", "100.0", "", "", ""]
    assert header.get_attribute("aria-sort") == "ascending"
    header.find_element("tag name", "button").click()
    assert column(table, PQ) == ["100.0", "12.25", "9.5", "", "", ""]
    assert header.get_attribute("aria-sort") == "descending"
    fixed = table.find_elements("css selector", "tbody.fixed tr")
    assert [row.text.split("\n")[0][:9] for row in fixed] == ["reference", "thesis, b", "thesis, s", "thesis, s"]


def test_another_column_begins_ascending_and_the_keyboard_works(browser: Any) -> None:
    table = score_table(browser)
    headers = table.find_elements("css selector", "thead th")
    headers[PQ].find_element("tag name", "button").click()
    headers[MIOU].find_element("tag name", "button").send_keys("\ue007")  # Enter
    assert headers[PQ].get_attribute("aria-sort") is None
    assert headers[MIOU].get_attribute("aria-sort") == "ascending"
    assert column(table, MIOU) == ["23.0", "25.0", "32.0", "", "", ""]
    headers[0].find_element("tag name", "button").send_keys(" ")
    assert column(table, 0) == sorted(column(table, 0))
