"""Dossier and index in a real browser: no request, no fault, no barrier, fits, prints."""

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.dossier import (
    ChangeFact,
    DossierFacts,
    EventFact,
    IndexFacts,
    render,
    render_index,
)
from tasks.dossier.texts import LANGUAGES

client = pytest.importorskip("websockets.sync.client")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed here")

FACTS = Path(__file__).parent / "dossier_facts.yaml"
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-sync",
    "--remote-debugging-port=0",
)
CONTRAST = """
(() => {
  const parse = (c) => (c.match(/[\\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (e) => {
    for (let at = e; at; at = at.parentElement) {
      const c = parse(getComputedStyle(at).backgroundColor);
      if (c.length === 3 || c[3] === 1) return c;
    }
    return [255, 255, 255];
  };
  let worst = 21;
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || e.closest("script, style, title, desc")) continue;
    const style = getComputedStyle(e);
    const ink = light(parse(e.closest("svg") ? style.fill : style.color));
    const paper = light(behind(e));
    worst = Math.min(worst, (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05));
  }
  return worst;
})()
"""


AXE = resources.files("axe_core_python") / "axe.min.js"
BARRIERS = """
axe.run(document, {resultTypes: ["violations"]}).then((found) => found.violations.map(
  (one) => `${one.id} (${one.impact}): ${one.nodes.map((node) => node.html).join(" | ")}`))
"""
AXE_AT = (("light", 1280), ("dark", 360))
"""Each theme and each width once: axe takes seconds on a page with so many tables."""
START = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


def index() -> IndexFacts:
    """A line with a history: two versions, refused and rejected changes, a move by hand."""
    endings = ("promoted", "refused", "promoted", "rejected", "nothing_to_do", "open")
    changes = tuple(
        ChangeFact(
            change=f"support-chat-{at + 1:04d}",
            ending=ending,
            opened=START + timedelta(days=40 * at),
            closed=None if ending == "open" else START + timedelta(days=40 * at + 5),
            requester="Mia Chen",
            deciders=("Ana Ruiz", "健二 伊藤") if ending in ("promoted", "rejected") else (),
            layers_removed=(3, 3, 5, 5, 5, 6)[at],
            worst_kpi="sentiment.auc",
            worst_retention_low=0.961 - at / 100,
            saved_month=1240.0 + 300 * at,
            version=str(at // 2 + 1) if ending == "promoted" else "",
            page=f"support-chat-{at + 1:04d}/promotion.html" if ending == "promoted" else "",
        )
        for at, ending in enumerate(endings)
    )
    late = START + timedelta(days=150)
    events = (
        EventFact(kind="incident", at=late, version="2", reason="kept_in_use sentiment.auc"),
        EventFact(
            kind="rollback",
            at=late + timedelta(hours=2),
            version="1",
            requester="Mia Chen",
            deciders=("Ana Ruiz",),
            reason="Complaints about rude answers since Monday",
        ),
        EventFact(kind="replaced", at=late + timedelta(hours=2), version="2", reason=""),
    )
    return IndexFacts(
        line="support-chat",
        made=START + timedelta(days=210),
        original_layers=30,
        live_version="1",
        currency="USD",
        saved_month=1240.0,
        saved_so_far=7310.0,
        changes=changes,
        events=events,
    )


class Tab:
    """One page of the browser, driven by its own protocol; it remembers what went wrong."""

    def __init__(self, address: str) -> None:
        self.socket = client.connect(address, max_size=None)
        self.sent = 0
        self.requests: list[str] = []
        self.faults: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method and wait for its answer."""
        self.sent += 1
        self.socket.send(json.dumps({"id": self.sent, "method": method, "params": params}))
        while (message := self._next()).get("id") != self.sent:
            pass
        assert "error" not in message, message
        return dict(message["result"])

    def open(self, path: Path, fragment: str = "") -> None:
        """Load a file and wait until it stands."""
        for url in ("about:blank", f"{path.as_uri()}{fragment}"):
            self.requests.clear()
            self.send("Page.navigate", url=url)
            while self._next().get("method") != "Page.loadEventFired":
                pass

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page."""
        options = {"returnByValue": True, "awaitPromise": True}
        answer = self.send("Runtime.evaluate", expression=script, **options)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def look(self, theme: str, width: int) -> None:
        """Set the theme and the width of the window."""
        feature = {"name": "prefers-color-scheme", "value": theme}
        self.send("Emulation.setEmulatedMedia", features=[feature])
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=800,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def _next(self) -> dict[str, Any]:
        message = dict(json.loads(self.socket.recv(timeout=240)))
        if message.get("method") == "Network.requestWillBeSent":
            self.requests.append(message["params"]["request"]["url"])
        if message.get("method") in {"Runtime.exceptionThrown", "Log.entryAdded"}:
            self.faults.append(json.dumps(message["params"]))
        return message


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    home = tmp_path_factory.mktemp("chromium")
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={home}", "about:blank"]
    browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        tab = Tab(_address(home / "DevToolsActivePort"))
        yield tab
        tab.socket.close()
    finally:
        browser.terminate()
        browser.wait(timeout=30)


def _address(written: Path) -> str:
    """Where the browser's first page listens, once it does."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if written.exists() and len(lines := written.read_text().splitlines()) == 2:
            listing = f"http://127.0.0.1:{lines[0]}/json/list"
            with urllib.request.urlopen(listing, timeout=30) as answer:
                pages = [one for one in json.load(answer) if one["type"] == "page"]
            if pages:
                return str(pages[0]["webSocketDebuggerUrl"])
        time.sleep(0.1)
    raise TimeoutError("Chromium did not start within a minute")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    facts = DossierFacts.model_validate(yaml.safe_load(FACTS.read_text(encoding="utf-8")))
    folder = tmp_path_factory.mktemp("dossier")
    made = {}
    for language in LANGUAGES:
        whole = {"": render(facts, language), "index-": render_index(index(), language)}
        for name, html in whole.items():
            made[name + language] = folder / f"{name}{language}.html"
            made[name + language].write_text(html, encoding="utf-8")
    return made


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("page", ["", "index-"])
def test_the_page_stands(
    tab: Tab, pages: dict[str, Path], page: str, language: str, theme: str, width: int
) -> None:
    tab.faults.clear()
    tab.look(theme, width)
    tab.open(pages[page + language])
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate(CONTRAST) >= 4.5
    if (theme, width) in AXE_AT:
        tab.evaluate(f"{AXE.read_text(encoding='utf-8')}; null")
        assert tab.evaluate(BARRIERS) == []
    assert tab.requests == [pages[page + language].as_uri()]
    assert tab.faults == []


def test_copying_sorting_and_filtering_work(tab: Tab, pages: dict[str, Path]) -> None:
    tab.look("light", 1280)
    tab.open(pages["en"])
    assert tab.evaluate("document.querySelectorAll('.command button').length") == 4
    column = "document.querySelector('#kpis table').tHead.rows[0].cells[5]"
    tab.evaluate(f"{column}.querySelector('button').click()")
    first = "document.querySelector('#kpis tbody th').textContent"
    assert "token_perplexity" in tab.evaluate(first)
    assert tab.evaluate(f"{column}.getAttribute('aria-sort')") == "ascending"
    tab.evaluate(
        "const box = document.querySelector('.filter input'); box.value = 'acne';"
        "box.dispatchEvent(new Event('input'))"
    )
    seen = "[...document.querySelectorAll('#slices tbody tr')].filter((r) => !r.hidden).length"
    assert tab.evaluate(seen) == 1


def test_the_manager_prints_on_one_page(tab: Tab, pages: dict[str, Path]) -> None:
    for language in LANGUAGES:
        tab.open(pages[language], "#manager")
        printed = tab.send("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        pdf = base64.b64decode(printed["data"])
        assert pdf.count(b"/Type /Page\n") == 1


def test_the_whole_page_prints(tab: Tab, pages: dict[str, Path]) -> None:
    for path in pages.values():
        tab.open(path)
        printed = tab.send("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        pdf = base64.b64decode(printed["data"])
        assert pdf.startswith(b"%PDF")
        sheets = pdf.count(b"/Type /Page\n")
        assert (1 <= sheets <= 3) if "index" in path.name else (5 <= sheets <= 20)


def test_without_scripts_nothing_is_missing(tab: Tab, pages: dict[str, Path]) -> None:
    hidden = """
      [...document.querySelectorAll("section, table, figure, h2, h3, pre, .card")]
        .filter((e) => e.getClientRects().length === 0 && !e.closest("details:not([open])"))
        .map((e) => e.outerHTML.slice(0, 80))
    """
    tab.look("light", 1280)
    tab.send("Emulation.setScriptExecutionDisabled", value=True)
    try:
        for path in pages.values():
            tab.open(path)
            assert tab.evaluate(hidden) == []
            assert tab.evaluate("document.querySelectorAll('.command button').length") == 0
    finally:
        tab.send("Emulation.setScriptExecutionDisabled", value=False)
