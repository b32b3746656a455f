"""The viewer in a real browser, headless, over the DevTools protocol."""

import base64
import io
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from websockets.sync.client import connect

from opendactyl.control.viewer.app import ViewConfig, Viewer
from opendactyl.core.errors import InputError

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
SHIPPED = Path(__file__).parents[3] / "pretrained" / "spin"
MESSAGES = {"policy": "the policy's output is not finite", "hand": "cannot read the hand"}
# Not `jump`: it is shown for a third of a second only, then the estimates are accepted.
VISION_MESSAGES = {
    "drop": "gave no image",
    "black": "is black",
    "nan": "values that are not finite",
    "size": "gave uint8 of shape",
    "occlude": "shows a single colour",
    "freeze": "is frozen",
}
PATIENCE = 90
"""Time limit in seconds of each browser operation, for a loaded machine."""


class Page:
    """A page in a browser: evaluates scripts, takes screenshots, collects errors."""

    def __init__(self, folder, address):
        self._process = subprocess.Popen(
            [CHROMIUM, "--headless=new", "--no-sandbox", "--remote-debugging-port=0",
             "--use-gl=angle", "--use-angle=gl-egl", "--ignore-gpu-blocklist",
             "--window-size=900,600", "--no-first-run", "--disable-extensions",
             f"--user-data-dir={folder}", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.errors = []
        self._ids = itertools.count(1)
        port_file = folder / "DevToolsActivePort"
        wait(lambda: port_file.exists() and port_file.read_text().strip(), "the browser to start")
        port = port_file.read_text().split()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
            target = next(t for t in json.load(answer) if t["type"] == "page")
        self._socket = connect(target["webSocketDebuggerUrl"], max_size=None)
        for domain in ("Runtime", "Log", "Page"):
            self.call(f"{domain}.enable")
        self.call("Page.navigate", url=address)

    def call(self, method, **parameters):
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=PATIENCE))
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self._listen(message)

    def _listen(self, message):
        method, what = message["method"], message["params"]
        if method == "Runtime.exceptionThrown":
            self.errors.append(what["exceptionDetails"]["text"])
        elif method == "Runtime.consoleAPICalled" and what["type"] in ("error", "assert"):
            self.errors.append(" ".join(str(a.get("value", a)) for a in what["args"]))
        elif method == "Log.entryAdded" and what["entry"]["level"] == "error":
            self.errors.append(f"{what['entry']['text']} {what['entry'].get('url', '')}")

    def script(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"]
        return result.get("value")

    def text(self):
        return self.script("document.body.innerText") or ""

    def click(self, label):
        found = self.script(
            "(() => { const b = [...document.querySelectorAll('button, label, input')].find("
            f"e => (e.innerText || '').trim() === {json.dumps(label)});"
            " if (b) b.click(); return Boolean(b); })()"
        )
        assert found, f"no element to click has the label {label}"

    def picture(self):
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)

    def close(self):
        self._socket.close()
        self._process.terminate()
        self._process.wait(30)


def wait(condition, what):
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        if value := condition():
            return value
        time.sleep(0.2)
    raise AssertionError(f"waited {PATIENCE} s for {what}")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def server():
    """The viewer with a shipped bundle, whose policy keeps the hand moving."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "opendactyl.cli.main", "view", "--bundle", str(SHIPPED),
         "--port", str(port)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ.copy(),
    )  # fmt: skip
    assert process.stdout is not None
    lines = iter(process.stdout.readline, "")
    try:
        address = next((line.split()[1] for line in lines if line.startswith("open ")), None)
        assert address == f"http://127.0.0.1:{port}"
        yield address
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


@pytest.fixture
def page(server, tmp_path):
    if not CHROMIUM:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    opened = Page(tmp_path / "profile", server)
    yield opened
    opened.close()


def test_the_page_shows_a_moving_hand_and_responds_to_clicks(page):
    wait(lambda: "pose from vision" in page.text(), "the first figures")
    wait(lambda: page.picture()[:, :500].std() > 15, "the scene")
    for fault, message in VISION_MESSAGES.items():
        provoke(page, fault, message)
    scenes = [page.picture()[:, :500]]

    def moved():
        scenes.append(page.picture()[:, :500])
        return np.mean(np.abs(scenes[-1] - scenes[0]) > 40) > 0.002

    wait(moved, "the hand to move")
    page.click("sim")
    wait(lambda: "pose from sim" in page.text(), "the pose source to change")
    wait(lambda: "pose error 0.0°" in page.text(), "an error of zero")
    page.click("Pause")
    wait(lambda: "Continue" in page.text(), "the button to change")
    still = wait_for_stillness(page)
    time.sleep(0.5)
    assert np.array_equal(page.picture()[:, :500], still)
    page.click("Continue")
    page.click("Next episode")
    wait(lambda: "episode 1" in page.text() or "episode 2" in page.text(), "another episode")
    for fault, message in MESSAGES.items():
        provoke(page, fault, message)
    assert page.errors == []


def provoke(page, fault, message):
    """Activates a fault until the page shows its message, then deactivates it."""
    page.click(fault)
    wait(lambda: message in page.text(), f"the message of the fault {fault}")
    page.click(fault)
    wait(lambda: message not in page.text(), f"the end of the fault {fault}")


def wait_for_stillness(page):
    pictures = [page.picture()[:, :500]]

    def still():
        time.sleep(0.3)
        pictures.append(page.picture()[:, :500])
        # On a busy machine the last picture may arrive late.
        return len(pictures) > 5 and all(np.array_equal(pictures[-1], p) for p in pictures[-5:])

    wait(still, "the picture to stand still")
    return pictures[-1]


def test_an_address_of_another_machine_is_refused(bundle):
    with pytest.raises(InputError, match="cannot listen"):
        Viewer(ViewConfig(bundle=bundle, host="no.such.host.invalid"))


def test_bad_ports_are_refused():
    with pytest.raises(InputError, match="--port is 0"):
        ViewConfig(port=0)


def test_the_default_host_is_the_loopback_address():
    assert ViewConfig().host == "127.0.0.1"
