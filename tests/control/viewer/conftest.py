"""The viewer in a real browser, headless, over the DevTools protocol."""

import base64
import contextlib
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

import numpy as np
import pytest
from PIL import Image
from websockets.sync.client import connect

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
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
        self.wait(lambda: port_file.exists() and port_file.read_text().strip(), "the browser")
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

    @staticmethod
    def wait(condition, what):
        """Returns the value of a condition as soon as it holds."""
        ends = time.monotonic() + PATIENCE
        while time.monotonic() < ends:
            if value := condition():
                return value
            time.sleep(0.2)
        raise AssertionError(f"waited {PATIENCE} s for {what}")

    def close(self):
        self._socket.close()
        self._process.terminate()
        self._process.wait(30)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def serve(bundle):
    """The address of a viewer, whose policy keeps the hand moving."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "opendactyl.cli.main", "view", "--bundle", str(bundle),
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
def open_page(tmp_path):
    """Opens the viewer of a bundle in the browser."""
    if not CHROMIUM:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    with contextlib.ExitStack() as opened:

        def open_page(bundle):
            page = Page(tmp_path / "profile", opened.enter_context(serve(bundle)))
            opened.callback(page.close)
            return page

        yield open_page
