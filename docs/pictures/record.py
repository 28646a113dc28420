"""Record the README's animated picture: ``genae explore RUN`` in another terminal, then

    python docs/pictures/record.py http://127.0.0.1:8765/ [ATTRIBUTE]

Drags the pad of the interpolation panel, then the slider of an attribute (by default the first). Needs Chromium.
"""

import io
import math
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

SIZE = (860, 850)


def main() -> None:
    """Drag, take pictures, write explorer.gif."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]})
        page.goto(sys.argv[1] + "#interpolate")
        page.wait_for_selector(".picture[aria-pressed=true] >> nth=3")
        page.click("#none")
        for place in (5, 6, 8, 10):
            page.click(f"#pictures li:nth-child({place}) .picture")
        page.mouse.move(0, 0)
        page.evaluate("window.scrollTo(0, 0)")
        page.wait_for_timeout(1500)
        frames = _drag(page) + _edit(page, sys.argv[2] if len(sys.argv) > 2 else None)
        browser.close()
    palette = [frame.quantize(64, dither=Image.Dither.NONE) for frame in frames]
    path = Path(__file__).with_name("explorer.gif")
    palette[0].save(path, save_all=True, append_images=palette[1:], duration=120, loop=0, optimize=True)
    print(path, f"{path.stat().st_size / 1e6:.2f} MB, {len(frames)} frames")


def _drag(page: Page) -> list[Image.Image]:
    box = page.locator("#pad").bounding_box()
    assert box
    frames = []
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    for step in range(28):
        angle = 2 * math.pi * step / 28
        radius = 0.4 * math.sin(math.pi * step / 28) ** 0.5
        page.mouse.move(
            box["x"] + box["width"] * (0.5 + radius * math.cos(angle)),
            box["y"] + box["height"] * (0.5 + radius * math.sin(angle)),
        )
        frames.append(_frame(page))
    page.mouse.up()
    return frames


def _edit(page: Page, attribute: str | None) -> list[Image.Image]:
    page.click("#tab-edit")
    if attribute:
        page.select_option("#panel select >> nth=0", attribute)
    page.click("#add-direction")
    page.wait_for_selector(".slider input", timeout=600_000)
    frames = []
    for step in range(20):
        value = 2 * math.sin(2 * math.pi * step / 20)
        page.evaluate(
            """value => { const slider = document.querySelector(".slider input"); slider.value = value;
            slider.dispatchEvent(new Event("input")); }""",
            value,
        )
        frames.append(_frame(page))
    return frames


def _frame(page: Page) -> Image.Image:
    page.wait_for_timeout(250)
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB").resize((SIZE[0] * 3 // 4, SIZE[1] * 3 // 4))


if __name__ == "__main__":
    main()
