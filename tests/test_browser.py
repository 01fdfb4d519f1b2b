"""The page in a real browser: it is shown, stays up to date, and says when nobody answers any more."""

import os
import re
import shutil
import subprocess
import time

import pytest
from rig import free_port
from test_reporting import FINE, FULL, status

from sersync_py.history import Sample
from sersync_py.overview import Seen
from sersync_py.settings import Page
from sersync_py.status import IN_STEP
from sersync_py.web import Server

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not here")


@pytest.fixture
def serve():
    """Serve what a function returns, call by call; return the address."""
    running = []

    def start(look):
        port = free_port()
        running.append(Server(Page("127.0.0.1", port), look))
        return f"http://127.0.0.1:{port}/"

    yield start
    for server in running:
        server.close()


def dom(address, folder, *arguments):
    """Return the page as the browser has it, and what it complained about."""
    done = subprocess.run(
        [CHROMIUM, *QUIET, f"--user-data-dir={folder}", "--enable-logging=stderr", "--v=0", "--dump-dom", *arguments,
         address],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, check=True,
        env={**os.environ, "LANGUAGE": "en"})
    complaints = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if "CONSOLE" in line]
    return done.stdout.decode("utf-8"), complaints


def headline(text):
    return re.search("<h1>(.*?)</h1>", text).group(1)


def test_the_page_brings_itself_up_to_date(serve, tmp_path):
    """Within its policy, which lets no script but its own run. The first look is fine, the next ones are not."""
    looks = []
    history = {(0, 0): (Sample(time.time() - 10, 0, 0.0, IN_STEP), Sample(time.time(), 5, 1.0, IN_STEP))}

    def look():
        looks.append(1)
        return Seen(status(FINE) if len(looks) == 1 else FULL, history)

    text, complaints = dom(serve(look), str(tmp_path), "--virtual-time-budget=7000")
    assert len(looks) > 1
    assert headline(text) == "1 of 2 remotes behind"
    assert re.search("<title>(.*?) - ", text).group(1) == "1 of 2 remotes behind"
    assert "unanswered" not in re.search("<body.*?>", text).group()
    assert complaints == []


def test_the_page_says_when_nobody_answers(serve, tmp_path):
    """It does not go on to show what was."""
    looks = []

    def look():
        looks.append(1)
        if len(looks) > 1:
            raise TimeoutError("no answer")
        return Seen(status(FINE), {})

    text, _ = dom(serve(look), str(tmp_path), "--virtual-time-budget=7000")
    assert "unanswered" in re.search("<body.*?>", text).group()
    assert re.search(r'class="stale".*?<time>[^<]*\d+:\d+:\d+', text)
