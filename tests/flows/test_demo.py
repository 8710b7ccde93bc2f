"""The page to play with: which captioners it shows, and what a browser that has no network sees of it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

from components.errors import UserError
from components.registry.versions import CHALLENGER, CHAMPION, log_captioner
from components.tracking.store import connect
from flows.caption import BRIDGE
from flows.demo import captioners, demo, training_pictures
from tests.flows_fixtures import ROOT, environment
from tests.parameters import TINY
from tests.tracking_fixtures import enter_project, pictures, tiny_captioner

NAME = TINY["register"]["name"]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A project without a registry, with the two captioners that come along."""
    folder = enter_project(tmp_path / "project", monkeypatch)
    (folder / "params.yaml").write_text(yaml.safe_dump(TINY))
    for seed, name in enumerate(("mlp", "transformer")):
        model = tiny_captioner(seed)
        model.generation_config.update(max_new_tokens=12)
        model.save_pretrained(folder / BRIDGE.parent / name)
    return folder


def test_without_a_registry_those_that_come_with_the_project_are_shown(project):
    assert list(captioners([])) == ["mlp", "transformer"]
    assert not (project / "mlruns").exists() and training_pictures() is None
    assert list(captioners(["pretrained/captioner/mlp"])) == ["pretrained/captioner/mlp"]
    shutil.rmtree(BRIDGE.parent)
    with pytest.raises(UserError, match="No model is registered, and none lies in pretrained/captioner"):
        captioners([])


def test_champion_and_challenger_are_shown_where_they_are(project):
    store = connect()
    assert list(captioners([])) == ["mlp", "transformer"], "a registry without them is none"
    for seed, alias in enumerate((CHALLENGER, CHAMPION)):
        run = store.client.create_run(store.experiment_id).info.run_id
        version = log_captioner(tiny_captioner(seed), run, card="# A", example=pictures(1)[0], tags={})
        store.client.set_registered_model_alias(NAME, alias, version)
    assert list(captioners([])) == ["champion (version 2)", "challenger (version 1)"]


def test_a_missing_gradio_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(UserError, match=r"needs Gradio: pip install .*'\.\[demo\]'"):
        demo()


def test_files_without_a_caption_cost_no_other_its_own(tmp_path):
    pytest.importorskip("gradio", reason="needs pip install -e '.[demo]'")
    from flows.demo_page import answers

    still, clip, broken = (tmp_path / name for name in ("still.png", "clip.gif", "broken.jpg"))
    frames = pictures(9)
    frames[0].save(still)
    frames[0].save(clip, save_all=True, append_images=frames[1:])
    broken.write_bytes(b"\xff\xd8\xff\xe0 and no more")
    models = {"one": tiny_captioner(0), "two": tiny_captioner(1)}
    paths, settings = [str(clip), str(broken), str(still)], {"beams": 2, "length_penalty": 1.0, "tokens": 3}
    found, bad = answers(models, paths, own=False, frames=4, **settings)
    assert [(each.name, len(each.answers["two"].frames)) for each in found] == [
        ("clip.gif", 4),
        ("still.png", 1),
    ]
    expected = models["one"].caption(frames[0], num_beams=2, length_penalty=1.0, max_new_tokens=3)
    assert [found[1].answers["one"].caption] == expected
    assert len(bad) == 1 and bad[0].startswith("broken.jpg (")
    found, bad = answers(models, paths, own=True, frames=4, **settings)
    assert len(found[0].answers["one"].frames) == models["one"].config.num_frames == 1
    found, bad = answers(models, [str(clip)], own=False, frames=8, **settings)
    assert not found and re.search(r"clip.gif \(.*8 frames.*Give fewer frames", bad[0])


@pytest.fixture
def served(project):
    """The address of the page, served by the program."""
    pytest.importorskip("gradio", reason="needs pip install -e '.[demo]'")
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.demo"],
        cwd=project,
        env=environment(project) | {"PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        lines = iter(process.stdout.readline, "")
        yield next(found[0] for line in lines if (found := re.search(r"http://127\.0\.0\.1:\d+/", line)))
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture
def tab(served):
    """A page of Chromium of a phone's width; the hosts that it asks for anything are in `tab.hosts`."""
    browsers = pytest.importorskip("playwright.sync_api", reason="needs pip install -e '.[dev]'")
    if CHROMIUM is None:
        pytest.skip("needs a Chromium")
    with browsers.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.hosts, page.failures = set(), []
        page.on("request", lambda request: page.hosts.add(re.match(r"\w+:(//[^/]+)?", request.url)[0]))
        page.on("pageerror", lambda error: page.failures.append(error))
        page.on("response", lambda answer: answer.status < 400 or page.failures.append(answer.url))
        page.goto(served)
        yield page
        assert page.hosts <= {served.rstrip("/"), "data:", "blob:" + served.rstrip("/"), "blob:"}, page.hosts
        assert not page.failures
        browser.close()


@pytest.mark.slow
def test_a_browser_uploads_clicks_words_and_hears_of_what_cannot_be_read(tab, tmp_path):
    first, second, broken = (tmp_path / name for name in ("first.png", "second.png", "broken.png"))
    for picture, path in zip(pictures(2), (first, second), strict=True):
        picture.resize((64, 48), Image.Resampling.NEAREST).save(path)
    broken.write_text("no picture")
    upload = tab.locator("input[type=file]").first
    upload.set_input_files([first, broken, second])

    said = tab.get_by_role("region", name="mlp", exact=True)
    said.wait_for()
    assert tab.get_by_role("region", name="transformer", exact=True).count() == 1
    alert = tab.get_by_role("alert").inner_text()
    assert alert == "Cannot be captioned: broken.png (not a picture of a known format)."
    assert "Probability of the whole caption" in said.inner_text() and "%" in said.inner_text()
    assert tab.evaluate("document.documentElement.scrollWidth") == 390, "nothing sticks out on a phone"

    word = said.get_by_role("button").first
    word.focus()
    tab.keyboard.press("Enter")  # no mouse is needed
    looked = tab.get_by_role("img", name="Where “").first
    looked.wait_for()
    assert word.get_attribute("aria-pressed") == "true"
    assert looked.get_attribute("alt") == f"Where “{word.inner_text().split()[0]}” looked"

    before = said.locator(".words").inner_text()
    tab.get_by_role("group", name="Your pictures").get_by_role("button").nth(1).click()
    looked.wait_for(state="detached")  # it was of the other picture
    second_said = said.locator(".words").inner_text()

    tab.get_by_role("button", name="As JSON").click()
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.get_by_role("button", name="Copy").click()
    copied = json.loads(tab.evaluate("navigator.clipboard.readText()"))
    assert [entry["image"] for entry in copied] == ["first.png", "second.png"]
    for entry, shown in zip(copied, (before, second_said), strict=True):
        words = [word["word"] for word in entry["mlp"]["words"]]
        assert words == entry["mlp"]["caption"].split() == shown.split("\n")[::2]

    tab.get_by_role("button", name="Decoding").click()
    tab.get_by_label("As chosen on validation").uncheck()
    tokens = tab.get_by_role("spinbutton", name="Tokens, at most")
    tokens.fill("1")
    tokens.press("Tab")
    one = re.compile(r"^\S+\n\S+( \S+)? %\n*$")
    tab.wait_for_function("document.querySelectorAll('.said .words > *').length == 2")
    assert one.match(said.locator(".words").inner_text())
