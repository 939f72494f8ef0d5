"""The HTML page as a person meets it: in a real browser, without network, in light and dark."""

import json
import re
import shutil
import subprocess
from html import unescape

import pytest
from PIL import Image

from .test_outputs import EVIL, rendered, sample
from .test_report import PASS
from .test_tests import suites

BROWSER = shutil.which("chromium-headless-shell") or shutil.which("chromium")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--window-size=1280,1400",
)  # fmt: skip
POLICY = re.compile(r"<meta http-equiv=\"Content-Security-Policy\"[^>]*>")

# What a person does and sees, in a copy of the page that lets a script in: the page itself forbids all of them.
VISIT = """
<script>
const seen = {};
const shown = (element) => getComputedStyle(element).display !== "none";
const rows = () => [...document.querySelectorAll("tbody tr")].filter(shown).map((row) => row.querySelector("th").textContent.trim());
const open = () => [...document.querySelectorAll(".evidence")].filter(shown);
addEventListener("load", async () => {
  seen.all = rows();
  seen.openAtFirst = open().length;
  document.getElementById("show-fail").click();
  seen.failed = rows();
  document.getElementById("show-pass").click();
  seen.passed = rows();
  document.getElementById("show-all").click();
  document.querySelector("a.cell.fail").click();
  await new Promise((done) => setTimeout(done, 100));
  seen.opened = open().map((section) => section.innerText);
  seen.symbols = [...document.querySelectorAll("a.cell")].map((cell) => cell.innerText.trim());
  seen.wide = document.documentElement.scrollWidth > innerWidth;
  seen.contrast = [...document.querySelectorAll(".cell, .badge")].map((element) => {
    const style = getComputedStyle(element);
    return [style.color, style.backgroundColor];
  });
  const told = document.createElement("pre");
  told.id = "seen";
  told.textContent = JSON.stringify(seen);
  document.body.append(told);
});
</script>
"""


def browse(folder, page, *flags):
    """Open a page and return the document as it stands after everything has run."""
    assert BROWSER, "these tests need a browser: apt-get install chromium-headless-shell"
    profile = f"--user-data-dir={folder / 'profile'}"
    command = [BROWSER, *FLAGS, profile, *flags, "--virtual-time-budget=2000", page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "report.html"
    path.write_text(rendered(sample())["report.html"], errors="replace")
    return path


def visit(folder, page):
    copy = folder / "visited.html"
    text, count = POLICY.subn(lambda _: VISIT, page.read_text())
    assert count == 1
    copy.write_text(text)
    found = re.search(r'<pre id="seen">(.*?)</pre>', browse(folder, copy, "--dump-dom"), re.DOTALL)
    return json.loads(unescape(found[1]))


@pytest.fixture
def visited(tmp_path, page):
    return visit(tmp_path, page)


def test_the_page_filters_and_one_click_shows_the_reason(visited):
    assert visited["all"] == ["old", "new", "odd", "far (optional)"]
    assert visited["failed"] == ["old", "far (optional)"]
    assert visited["passed"] == ["new", "far (optional)"]
    assert visited["openAtFirst"] == 0
    (evidence,) = visited["opened"]
    assert "Command exited 7 (expected 0) on this kernel." in evidence
    assert "bpf_loop, which this kernel does not have" in evidence
    assert "invalid func unknown#181" in evidence, "stderr is open at once"
    assert not visited["wide"]


def test_no_cell_tells_by_colour_alone(visited):
    assert all(re.match(r"[✓✗?⊘!]\s+(pass|fail|infra error|xfail|xpass)", text) for text in visited["symbols"])


def luminance(colour):
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def readable(seen):
    for text, ground in {tuple(pair) for pair in seen["contrast"]}:
        light, dark = sorted((luminance(text), luminance(ground)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground)  # WCAG 2.1, AA


def test_the_verdicts_can_be_read(visited):
    readable(visited)


def test_the_tests_inside_a_command_can_be_read(tmp_path):
    path = tmp_path / "report.html"
    path.write_text(rendered(suites(PASS))["report.html"], errors="replace")
    seen = visit(tmp_path, path)
    assert seen["all"] == ["old", "new", "loop", "late", "broken", "loads", "btf"]
    assert seen["failed"] == ["old", "loop", "late", "broken", "loads", "btf"], "the buttons are for kernels"
    assert not seen["wide"]
    readable(seen)


def test_what_a_guest_prints_runs_nowhere(tmp_path, page):
    evil = page.read_text().replace("</body>", '<script>document.title = "owned"</script></body>')
    copy = tmp_path / "evil.html"
    copy.write_text(evil)
    assert "<title>owned</title>" not in browse(tmp_path, copy, "--dump-dom"), "the page forbids scripts"
    assert "alert(1)" in EVIL


def colours(png):
    """The colours that cover at least a hundredth of a picture."""
    with Image.open(png) as picture:
        found = picture.convert("RGB").getcolors(1 << 24)
        return {colour for count, colour in found if count * 100 >= picture.width * picture.height}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_in_light_and_dark(tmp_path, page, scheme):
    picture = tmp_path / f"{scheme}.png"
    dark = ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
    browse(tmp_path, page, f"--screenshot={picture}", *dark)
    seen = colours(picture)
    grounds = {"light": ((255, 255, 255), (253, 226, 224)), "dark": ((20, 23, 26), (74, 23, 20))}
    assert grounds[scheme][0] in seen, "the page"
    assert grounds[scheme][1] in seen, "the cells that failed"
