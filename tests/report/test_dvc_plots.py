"""`dvc plots show` as a user meets it: real DVC, and a page that needs no network."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from components.report.plots import write_plots
from tests import evaluation_report_fixtures as fixtures
from tests.flows_fixtures import ROOT, run

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    """The page of a project that has the plots of this one, from a run that is made up."""
    project = tmp_path_factory.mktemp("plots")
    run(project, "dvc", "init", "--no-scm", "--quiet").check_returncode()
    for name in ("config", "plots"):
        copy = shutil.copytree if (ROOT / ".dvc" / name).is_dir() else shutil.copy
        copy(ROOT / ".dvc" / name, project / ".dvc" / name)
    plots = yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"]
    (project / "dvc.yaml").write_text(yaml.safe_dump({"plots": plots}))
    with (project / ".dvc/config").open("a") as config:
        config.write("[core]\n    no_scm = True\n")
    write_plots(fixtures.report(), project / "reports/plots")
    done = run(project, "dvc", "plots", "show")
    assert done.returncode == 0, done.stderr
    return project / "dvc_plots/index.html"


def test_the_page_takes_nothing_from_elsewhere(page):
    html = page.read_text()
    assert html.count("vegaEmbed('#") == 2 and "samples.png" in html
    assert not re.search(r"<script[^>]*\ssrc|<link", html)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here to open the page with")
def test_the_page_is_drawn_without_a_network(page, tmp_path):
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND"]
    options += [f"--user-data-dir={tmp_path}", "--virtual-time-budget=20000", "--dump-dom"]
    opened = subprocess.run([CHROMIUM, *options, page.as_uri()], capture_output=True, text=True, timeout=120)
    assert opened.stdout.count("<canvas") + opened.stdout.count('<svg class="marks"') == 2, opened.stdout[
        -500:
    ]
