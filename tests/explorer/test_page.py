"""The explorer's page in a real headless Chromium."""

import io
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import uvicorn
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from genae.api import fit_prior
from genae.explorer.addresses import create_app
from genae.explorer.service import Explorer
from genae.explorer.static import export_page
from genae.model import load
from genae.operations import Session
from genae.operations.map import CLASS_COLOURS
from genae.priors.gaussian import GaussianPrior

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium here: install Debian's package chromium"),
]


@pytest.fixture(scope="module")
def serving(explorer_of: Callable[..., Explorer]) -> Callable[[Path], AbstractContextManager[str]]:
    """``with serving(run) as address``."""
    return contextmanager(lambda run: _serving(explorer_of(run)))


def _serving(explorer: Explorer) -> Iterator[str]:
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(explorer), log_level="warning"))
    thread = threading.Thread(target=lambda: server.run(sockets=[listening]))
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    server.should_exit = True
    thread.join(20)


@pytest.fixture(scope="module")
def address(run: Path, serving: Callable[[Path], AbstractContextManager[str]]) -> Iterator[str]:
    with serving(run) as place:
        yield place


@pytest.fixture(scope="module")
def with_priors(explored: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained run (its prior N(0, I) loses nothing of a code) with one more of these, one that does lose, and one
    without an encoder."""
    run = Path(shutil.copytree(explored, tmp_path_factory.mktemp("priors") / "run"))
    fit_prior(run, "gaussian")
    fit_prior(run, "vae", images=2000)
    fit_prior(run, "mixture", components=2)
    return run


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The page with twelve pictures, four of them selected. Afterwards: no console error, no request to elsewhere."""
    wrong: list[str] = []
    opened = browser.new_page(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    opened.on("console", lambda message: wrong.append(message.text) if _is_wrong(message) else None)
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on(
        "request",
        lambda request: None if request.url.startswith((address, "data:", "blob:")) else wrong.append(request.url),
    )
    opened.goto(address)
    opened.wait_for_selector(".picture[aria-pressed=true] >> nth=3")
    yield opened
    assert opened.inner_text("#error") + opened.inner_text("#tray-error") == ""
    opened.close()
    assert wrong == []


def _is_wrong(message: ConsoleMessage) -> bool:
    # Chromium itself notes every refused request, also one that the page explains to the person.
    return message.type in ("error", "warning") and "status of 400" not in message.text


def drop(page: Page, name: str, content: bytes) -> None:
    transfer = page.evaluate_handle(
        """([name, bytes]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], name, {type: "image/png"}));
            return transfer;
        }""",
        [name, list(content)],
    )
    page.dispatch_event("#tray", "drop", {"dataTransfer": transfer})


def noise_file(side: int = 20) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def until(page: Page, condition: str, seconds: float = 30) -> None:
    """Wait for a JavaScript condition. (Playwright's own way to is refused by the page's security policy.)"""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(50)


def open_panel(page: Page, name: str) -> None:
    page.click(f"#tab-{name}")


def shown(page: Page, place: str) -> int:
    return int(page.get_attribute(place, "data-shown") or 0)


def wait_for_more(page: Page, place: str, than: int) -> None:
    until(page, f"Number(document.querySelector({place!r}).dataset.shown || 0) > {than}")


def test_a_dropped_picture_is_reconstructed(page: Page) -> None:
    drop(page, "mine.png", noise_file())
    page.wait_for_selector("[title='mine.png'][aria-pressed=true]")
    page.wait_for_selector("img[alt='mine.png through code']")
    assert page.locator("#panel img[alt^='squared error of']").count() == 5
    assert page.locator("#pictures li").count() == 13


def test_a_row_of_few_pictures_is_large_and_of_many_small(page: Page) -> None:
    sides: dict[int, float] = {}
    row = page.locator("#panel .row").first
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        row.locator("img").first.wait_for()
        box = row.locator("img").first.bounding_box()
        assert box
        sides[width] = round(box["width"])
    assert sides == {1280: 141, 390: 72}


def test_several_files_are_added_and_the_bad_one_is_named(page: Page, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(noise_file(20 + len(name) + ord(name[0])))
    (tmp_path / "bad.png").write_bytes(b"nothing")
    page.set_input_files("#files", [tmp_path / name for name in ("a.png", "bad.png", "b.png")])
    page.wait_for_selector("[title='b.png'][aria-pressed=true]")
    page.wait_for_selector("[title='a.png'][aria-pressed=true]")
    until(page, "document.getElementById('tray-error').textContent.startsWith('bad.png: this is not a picture')")
    page.click("#none")
    until(page, "document.getElementById('tray-error').textContent === ''")


def test_what_is_no_picture_is_said_in_one_sentence(page: Page) -> None:
    drop(page, "notes.txt", b"no picture at all")
    until(page, "document.getElementById('tray-error').textContent.includes('this is not a picture')")
    assert page.locator("#pictures li").count() == 12
    page.click("#none")  # the next thing that works takes the sentence away
    until(page, "document.getElementById('tray-error').textContent === ''")


@pytest.mark.parametrize("scrolled", [False, True])
def test_an_upload_error_is_in_sight_on_a_narrow_screen(scrolled: bool, page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_selector("img[alt$='through code']")
    if scrolled:
        page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    drop(page, "notes.txt", b"no picture at all")
    until(page, "document.getElementById('tray-error').textContent.startsWith('notes.txt: this is not a picture')")
    page.wait_for_timeout(300)
    box = page.evaluate(
        "(({top, bottom}) => [top, bottom])(document.getElementById('tray-error').getBoundingClientRect())"
    )
    assert 0 <= box[0] < box[1] <= 844
    page.click("#none")


@pytest.mark.parametrize("presses", [0, 4])
def test_the_tray_leaves_room_on_a_narrow_screen_and_hides_nothing_in_silence(presses: int, page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    for press in range(presses):
        page.click("#more")
        page.wait_for_selector(f"#pictures li >> nth={12 * (press + 2) - 1}")
    tray = page.locator("#tray").bounding_box()
    assert tray
    assert tray["height"] < 844 / 2
    hidden = (
        "[...document.querySelectorAll('#pictures li')].filter(item => item.getBoundingClientRect().bottom > "
        "document.getElementById('pictures').getBoundingClientRect().bottom + 1).length"
    )
    assert bool(page.evaluate(hidden)) == page.is_visible("#all") == bool(presses)
    if presses:
        assert page.inner_text("#all") == "Show all 60"
        page.click("#all")
        assert page.evaluate(hidden) == 0


def test_rows_that_would_repeat_the_code_are_named_once(
    with_priors: Path, browser: Browser, serving: Callable[[Path], AbstractContextManager[str]]
) -> None:
    with serving(with_priors) as place:
        page = browser.new_page()
        page.goto(place)
        page.wait_for_selector("img[alt$='through code'] >> nth=3")
        titles = page.locator("#panel h3").all_inner_texts()
        notes = page.locator("#panel .absent").all_inner_texts()
        page.focus("#panel .slider input")
        page.keyboard.press("ArrowLeft")
        until(page, "document.querySelector('#panel .absent')?.textContent.startsWith('With truncation')")
        page.close()
    assert titles == [
        "Pictures", "Through the code, and likewise through normal and gaussian", "Through the vae prior",
        "Where the first path fails",
    ]  # fmt: skip
    assert notes == [
        "Through normal and gaussian the pictures are the same, to less than a grey level: these priors lose nothing "
        "of a code.",
        "There is no row for mixture: it has no encoder that a picture could go through, and can only be sampled.",
    ]


def test_the_pad_is_dragged_and_walked(page: Page) -> None:
    open_panel(page, "interpolate")
    wait_for_more(page, "#pad", 0)
    box = page.locator("#pad").bounding_box()
    assert box
    corner = page.get_attribute("#pad img >> nth=0", "src")
    assert corner
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    before, start = shown(page, "#pad"), page.get_attribute("#blend", "src")
    page.mouse.move(box["x"] + 2, box["y"] + 2, steps=8)
    wait_for_more(page, "#pad", before)
    page.mouse.up()
    until(page, "Number.parseFloat(document.querySelector('.handle').style.left) < 2")
    page.wait_for_timeout(300)
    at_corner = page.get_attribute("#blend", "src")
    assert at_corner != start
    page.focus("#pad")
    before = shown(page, "#pad")
    page.keyboard.press("ArrowRight")
    wait_for_more(page, "#pad", before)
    assert page.get_attribute("#blend", "src") != at_corner
    assert page.locator("#panel .row img").count() == 27, "three ways of nine steps"


def test_a_slider_moves_pictures(page: Page) -> None:
    open_panel(page, "edit")
    page.select_option("#panel select >> nth=0", "3")
    page.click("#add-direction")
    page.wait_for_selector(".slider input")
    wait_for_more(page, "#edited", 0)
    before = page.get_attribute("#edited figure:nth-child(2) img >> nth=0", "src")
    count = shown(page, "#edited")
    page.focus(".slider input")
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    wait_for_more(page, "#edited", count)
    until(page, f"document.querySelector('#edited figure:nth-child(2) img').src !== {before!r}")
    assert page.inner_text(".slider output") == "1.00"
    captions = page.locator("#edited figcaption").all_inner_texts()
    assert "".join(captions[0].split()).startswith("reconstructionMSE0.")  # its lines may not be laid out yet
    assert captions[:2] == [captions[0], "edited"]


def test_pictures_of_a_class_are_carried_to_another(page: Page) -> None:
    open_panel(page, "transport")
    page.select_option("#panel select >> nth=0", "3")
    page.select_option("#panel select >> nth=1", "8")
    page.click("#add-source")
    page.wait_for_selector("[title='test image, 3'][aria-pressed=true] >> nth=5")
    page.wait_for_selector("img[alt='test image, 3 carried to 8'] >> nth=11")
    assert page.locator("#carried h3").all_inner_texts() == [
        "Reconstructions", "By the optimal map between Gaussians", "By the difference of the means",
    ]  # fmt: skip
    page.select_option("#panel select >> nth=2", "mean")
    until(page, "document.querySelectorAll('#carried h3').length === 2")
    before, count = page.get_attribute("#carried .row:last-child img >> nth=0", "src"), shown(page, "#carried")
    page.focus("#panel .slider input")
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    wait_for_more(page, "#carried", count)
    until(page, f"document.querySelector('#carried .row:last-child img').src !== {before!r}")
    page.click("[data-export=command]")
    page.wait_for_selector("#panel code")
    assert "--from 3 --to 8 --count 6 --by mean --strengths 0.5" in page.inner_text("#panel code")


def test_two_piles_make_a_direction(page: Page, run: Path) -> None:
    open_panel(page, "edit")
    page.click("#pile-with")
    page.click("#none")
    for place in (5, 6, 7):
        page.click(f"#pictures li:nth-child({place}) .picture")
    page.click("#pile-without")
    page.fill("input[type=text]", "my own")
    page.click("#save-direction")
    page.wait_for_selector(".slider:has-text('my own')")
    assert (run / "directions" / "my own.safetensors").exists()
    wait_for_more(page, "#edited", 0)
    open_panel(page, "sample")
    open_panel(page, "edit")
    assert page.locator(".slider:has-text('my own')").count() == 1, "a panel is found as it was left"


def test_samples_are_kept(page: Page) -> None:
    open_panel(page, "sample")
    page.click("#panel .grid .picture >> nth=2")
    page.wait_for_selector("[title='sample 2 of normal, seed 0'][aria-pressed=true]")
    page.click("text=Other samples")
    until(page, "document.getElementById('seed').value === '1'")


def test_samples_of_a_class_and_of_every_class(
    told: Path, browser: Browser, serving: Callable[[Path], AbstractContextManager[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(GaussianPrior, "is_guided", property(lambda self: bool(self.classes)))
    with serving(told) as place:
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.goto(f"{place}#sample")
        page.wait_for_selector("#samples img[alt='sample 3; press to keep it']")
        assert not page.is_visible("#given"), "the prior normal knows no classes"
        page.select_option("#panel select >> nth=0", "gaussian")
        assert page.locator("#given option").all_inner_texts() == ["any", "every class", *"0123456789"]
        assert not page.is_visible(".slider:has-text('guidance')")
        page.select_option("#given", "7")
        page.focus(".slider:has-text('guidance') input")
        for _ in range(10):
            page.keyboard.press("ArrowRight")
        page.wait_for_selector("#samples img[alt^='sample 23, class 7']")
        page.click("[data-export=command]")
        until(page, "document.querySelector('#panel code')?.textContent.includes('--guidance 2.0 --given 7')")
        page.click("#samples .picture >> nth=0")
        page.wait_for_selector("[title='sample 0 of gaussian, class 7, seed 0']")
        page.select_option("#given", "all")
        page.wait_for_selector("#samples section >> nth=9")
        assert page.locator("#samples h3").all_inner_texts() == list("0123456789")
        assert page.locator("#samples section >> nth=2 >> img").count() == 8
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        page.select_option("#panel select >> nth=0", "plain")
        page.wait_for_selector("#samples img[alt='sample 23; press to keep it']")
        assert not page.is_visible(".slider:has-text('guidance')")
        assert page.inner_text("#error") == ""
        page.close()


def test_everything_is_exported(page: Page, tmp_path: Path) -> None:
    for panel, kinds in (
        ("reconstruct", ("figure", "codes", "pictures")),
        ("sample", ("figure", "codes")),
        ("interpolate", ("figure", "animation", "codes")),
        ("transport", ("figure", "pictures")),
        ("map", ("figure", "codes")),
        ("anomaly", ("figure",)),
    ):
        open_panel(page, panel)
        page.wait_for_timeout(500)
        for kind in kinds:
            with page.expect_download() as download:
                page.click(f"[data-export={kind}]")
            path = tmp_path / f"{panel}-{download.value.suggested_filename}"
            download.value.save_as(path)
            if path.suffix in (".png", ".gif"):
                assert Image.open(path).width >= 8
            elif path.name.endswith("codes.npz"):
                assert np.load(path)["codes"].shape[1] == 8
        page.click("[data-export=command]")
        page.wait_for_selector("#panel code")
        assert page.inner_text("#panel code").startswith("genae ")


def test_the_map_shows_pictures_and_places(page: Page) -> None:
    open_panel(page, "map")
    page.wait_for_selector("#plot .scatterlayer .point", state="attached", timeout=60_000)
    box = page.locator("#plot .nsewdrag").bounding_box()
    assert box
    buttons = page.eval_on_selector_all(".modebar-btn", "all => all.map(button => button.dataset.title)")
    assert len(buttons) == 4, buttons
    assert not any("hare" in title or "loud" in title for title in buttons)
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    until(page, "document.getElementById('under').src.startsWith('data:image/png')")
    page.focus("#plot")
    before = page.get_attribute("#under", "src")
    for _ in range(6):
        page.keyboard.press("ArrowLeft")
    until(page, f"document.getElementById('under').src !== {before!r}")
    assert page.locator("#plot .shapelayer path").count() == 1, "a ring shows where the keys have led"
    left, top, right, low = (box["x"] + 5, box["y"] + 5, box["x"] + box["width"] - 5, box["y"] + box["height"] - 5)
    page.mouse.move(left, top)
    page.mouse.down()
    for x, y in ((right, top), (right, low), (left, low), (left, top + 5)):
        page.mouse.move(x, y, steps=5)
    page.mouse.up()
    page.wait_for_selector("text=/\\d+ pictures are inside the lasso/")
    page.click("text=Lasso to the pile “with”")
    open_panel(page, "edit")
    assert page.locator("#panel section >> nth=0 >> img").count() > 50


def test_what_a_panel_cannot_do_is_said_above_it(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genae.operations.atlas.find_spec", lambda name: None)
    page.set_viewport_size({"width": 390, "height": 844})
    open_panel(page, "map")
    page.select_option("#panel select >> nth=0", "umap")
    until(page, "document.getElementById('error').textContent.startsWith('UMAP is not installed')")
    top, panel = (page.locator(place).bounding_box() for place in ("#error", "#panel"))
    assert top
    assert panel
    assert 0 < top["y"] + top["height"] <= panel["y"] < 844
    page.select_option("#panel select >> nth=0", "pca")
    until(page, "document.getElementById('error').textContent === ''")


def test_classes_have_the_colours_of_the_server(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    # Others than in `map.png`, whose colours would be plotly's own by chance.
    monkeypatch.setattr("genae.operations.map.class_colour", lambda number: CLASS_COLOURS[-1 - number])
    open_panel(page, "map")
    page.wait_for_selector("#plot .scatterlayer .point", state="attached", timeout=60_000)
    legend = page.eval_on_selector_all(
        "#plot .legend .traces",
        """all => all.map(item => [
            item.textContent, getComputedStyle(item.querySelector('.legendsymbols path.scatterpts')).fill,
        ])""",
    )
    assert [name for name, _ in legend] == [str(number) for number in range(10)]
    for number, (_, colour) in enumerate(legend):
        assert (
            "#" + "".join(f"{int(part):02x}" for part in re.findall(r"\d+", colour)[:3]) == CLASS_COLOURS[-1 - number]
        )


def test_captions_do_not_collide(page: Page) -> None:
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 844})
        for panel in ("anomaly", "reconstruct", "edit"):
            open_panel(page, panel)
            page.wait_for_selector("#panel figcaption >> nth=3", timeout=60_000)
            boxes = page.eval_on_selector_all(
                "#panel figcaption div",
                """all => all.map(line => {
                    const range = document.createRange();
                    range.selectNodeContents(line);
                    const {left, right, top, bottom} = range.getBoundingClientRect();
                    return [left, right, top, bottom];
                })""",
            )
            for (_, right, top, bottom), (left, _, next_top, next_bottom) in pairwise(
                sorted(boxes, key=lambda b: (b[2], b[0]))
            ):
                same_line = min(bottom, next_bottom) - max(top, next_top) > 1
                assert not same_line or left - right >= 4, (panel, width)


def test_strange_pictures_are_marked(page: Page) -> None:
    page.click("#none")
    drop(page, "noise.png", noise_file())
    page.wait_for_selector("[title='noise.png'][aria-pressed=true]")
    open_panel(page, "anomaly")
    page.wait_for_selector(".bad:has-text('unusual: above the threshold')", timeout=60_000)
    page.click("#pictures li:nth-child(1) .picture")
    page.wait_for_selector(".verdict >> nth=1")
    verdicts = page.locator(".verdict").all_inner_texts()
    assert verdicts == ["unusual: above the threshold", "usual"], "in words, for every picture"
    assert page.locator("figcaption:has-text('nats')").count() == 0
    page.select_option("#likelihood", "normal")
    page.wait_for_selector("figcaption:has-text('nats') >> nth=1", timeout=60_000)
    page.click("[data-export=command]")
    page.wait_for_selector("#panel code")
    assert "--likelihood normal" in page.inner_text("#panel code")


def test_pictures_and_panel_outlive_a_reload(page: Page) -> None:
    drop(page, "mine.png", noise_file())
    page.wait_for_selector("[title='mine.png'][aria-pressed=true]")
    open_panel(page, "interpolate")
    page.reload()
    page.wait_for_selector("[title='mine.png'][aria-pressed=true]")
    assert page.get_attribute("#tab-interpolate", "aria-selected") == "true"
    assert page.locator("#pictures li").count() == 13


def test_the_keyboard_alone_is_enough(page: Page) -> None:
    page.focus("#tab-reconstruct")
    page.keyboard.press("ArrowRight")
    assert page.get_attribute("#tab-sample", "aria-selected") == "true"
    assert page.evaluate("document.activeElement.id") == "tab-sample"
    page.focus("#pictures li:nth-child(6) .picture")
    page.keyboard.press("Enter")
    page.wait_for_selector("#pictures li:nth-child(6) .picture[aria-pressed=true]")
    style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert style == "solid", "focus is visible, and stays where it was"


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light"), (390, "light")])
def test_every_panel_fits_and_has_text_alternatives(width: int, scheme: str, browser: Browser, address: str) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(address)
    page.wait_for_selector(".picture[aria-pressed=true] >> nth=3")
    for tab in page.locator("[role=tab]").all():
        tab.click()
        page.wait_for_timeout(700)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), tab.inner_text()
        assert page.evaluate("[...document.images].every(image => image.alt)"), tab.inner_text()
        named = "[...document.querySelectorAll('input, select')].every(e => e.labels.length || e.ariaLabel)"
        assert page.evaluate(named), tab.inner_text()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert dark == (scheme == "dark")
    page.close()


def test_the_exported_page_opens_without_a_server(run: Path, browser: Browser, tmp_path: Path) -> None:
    path = export_page(Session(load(run), run), tmp_path)
    page = browser.new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(path.as_uri())
    first = page.get_attribute("#blend", "src")
    page.focus("#pad")
    page.keyboard.press("ArrowDown")
    assert page.get_attribute("#blend", "src") != first
    assert page.evaluate("[...document.images].every(image => image.alt && image.complete && image.naturalWidth)")
    page.close()
    assert wrong == []
