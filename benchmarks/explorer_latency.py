"""How long after a slider moves the new picture is shown in a browser, and whether the server's memory grows.

    python benchmarks/explorer_latency.py [--run RUN] [--moves 200] [--interactions 1000]

Without RUN, an untrained `aaae` with the paper's networks at 64 x 64 pixels (width 64) on `shapes`: what is drawn does
not matter here. `genae explore` runs in a process of its own. Needs Chromium (Debian's package chromium).
"""

import argparse
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

MOVE = """value => new Promise(done => {
    const place = document.querySelector("#edited");
    const before = Number(place.dataset.shown || 0);
    const started = performance.now();
    const watch = new MutationObserver(async () => {
        if (Number(place.dataset.shown || 0) <= before) return;
        watch.disconnect();
        await Promise.all([...place.querySelectorAll("img")].map(image => image.decode()));
        requestAnimationFrame(() => done(performance.now() - started));
    });
    watch.observe(place, {attributes: true});
    const slider = document.querySelector(".slider input");
    slider.value = value;
    slider.dispatchEvent(new Event("input"));
})"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run")
    parser.add_argument("--moves", type=int, default=200)
    parser.add_argument("--interactions", type=int, default=1000)
    arguments = parser.parse_args()
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        sys.exit("skipped: no Chromium here; install Debian's package chromium")
    with tempfile.TemporaryDirectory() as folder:
        run = arguments.run or _untrained(Path(folder))
        command = [sys.executable, "-m", "genae", "explore", str(run), "--port", "8799"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            address = re.search(r"http://\S+", server.stdout.readline())  # type: ignore[union-attr]
            with sync_playwright() as playwright:
                opened = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
                page = opened.new_page()
                page.goto(address[0] + "#edit")  # type: ignore[index]
                _measure(page, server.pid, arguments.moves, arguments.interactions)
                opened.close()
        finally:
            server.terminate()
            server.wait()


def _untrained(folder: Path) -> Path:
    flags = ["--data", "shapes", "--width", "64", "--images", "64", "--batch-size", "64", "--validate-every", "64"]
    subprocess.run(
        [sys.executable, "-m", "genae", "train", "aaae", *flags, "--run", folder / "run"],
        check=True,
        capture_output=True,
    )
    return folder / "run"


def _measure(page: Page, server: int, moves: int, interactions: int) -> None:
    page.wait_for_selector(".picture[aria-pressed=true] >> nth=3")
    for place in (4, 3, 2):  # one picture stays selected
        page.click(f"#pictures li:nth-child({place}) .picture")
    page.click("#add-direction")
    page.wait_for_selector(".slider input", timeout=600_000)
    page.wait_for_timeout(1000)
    times = [float(page.evaluate(MOVE, ((7 * i) % 120) / 20 - 3)) for i in range(moves)]
    ordered = sorted(times[10:])
    print(f"slider to new picture: median {statistics.median(ordered):.0f} ms, "
          f"95 % below {ordered[int(0.95 * len(ordered))]:.0f} ms, of {len(ordered)} moves")  # fmt: skip
    memory = [_megabytes(server)]
    for number in range(interactions):
        page.evaluate(MOVE, ((11 * number) % 120) / 20 - 3)
        if (number + 1) % (interactions // 4) == 0:
            memory.append(_megabytes(server))
    print(f"memory of the server over {interactions} more: " + ", ".join(f"{m:.0f}" for m in memory) + " MB")


def _megabytes(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]


if __name__ == "__main__":
    main()
