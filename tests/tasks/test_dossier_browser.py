"""The dossier in a real browser: no request, no console fault, fits the screen, prints."""

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.dossier import DossierFacts, render
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
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True)
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
        message = dict(json.loads(self.socket.recv(timeout=60)))
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
        made[language] = folder / f"{language}.html"
        made[language].write_text(render(facts, language), encoding="utf-8")
    return made


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_stands(
    tab: Tab, pages: dict[str, Path], language: str, theme: str, width: int
) -> None:
    tab.faults.clear()
    tab.look(theme, width)
    tab.open(pages[language])
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate(CONTRAST) >= 4.5
    assert tab.requests == [pages[language].as_uri()]
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
