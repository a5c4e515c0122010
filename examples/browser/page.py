"""A page that reads digits: a network trained here, run as WebAssembly by the browser.

Writes ``index.html`` and what it loads into a folder, to be served by any web server. With
``--serve`` it is one; with ``--check`` Chromium opens the page, and what it says is printed: the
scores must have all the bits that they have in Python. Needs scikit-learn for the images, and
``wasm-ld`` or the package ziglang. Run with ``python examples/browser/page.py [folder] [--check]``.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import json
import re
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import nets
from nets import nn, optim

BATCH, EPOCHS, SHOWN = 32, 12, 40
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def trained(images, labels):
    """A network that reads most of the images."""
    nets.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = optim.Adam(model.parameters(), lr=3e-3)

    @nets.trace
    def step(x, y):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x.astype("float32") / 16), y)
        loss.backward()
        optimizer.step()

    rng = np.random.default_rng(0)
    for _ in range(EPOCHS):
        order = rng.permutation(len(images))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            chosen = order[start : start + BATCH]
            step(images[chosen], labels[chosen])
    return model.eval()


def build(folder):
    """Write the page."""
    folder.mkdir(parents=True, exist_ok=True)
    images, labels = load_digits(return_X_y=True)
    images, order = images.astype("uint8"), np.random.default_rng(1).permutation(len(images))
    shown, others = order[:SHOWN], order[SHOWN:]
    model = trained(images[others], labels[others])

    @nets.trace
    def scores(image):
        return model(image.astype("float32") / 16)

    nets.export(
        folder / "digits",
        target="wasm32",
        formats=("wasm", "js"),
        scores=scores.lower(nets.spec("u8[64]")),
    )
    bits = [scores(images[i]).numpy().view("uint32").tolist() for i in shown]
    held_out = {"images": images[shown].tolist(), "labels": labels[shown].tolist(), "bits": bits}
    (folder / "held_out.json").write_text(json.dumps(held_out))
    shutil.copy(Path(__file__).with_name("index.html"), folder)


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files without a word."""

    def log_message(self, *_):
        pass


def server(folder, port):
    handler = functools.partial(Quiet, directory=folder)
    return http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)


def check(folder):
    """Open the page and print what it says."""
    browser = next(filter(shutil.which, BROWSERS), None)
    if browser is None:
        print("Chromium is not installed: nothing to open the page with")
        return
    serving = server(folder, 0)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as profile:
        options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
        options += ["--virtual-time-budget=20000", "--dump-dom"]
        page = f"http://127.0.0.1:{serving.server_address[1]}/index.html"
        command = [browser, *options, page]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    serving.shutdown()
    said = re.search(r'<p id="said">(.*?)</p>', done.stdout)
    print(said[1] if said else done.stdout)
    assert said is not None
    assert f"{SHOWN} have all the bits" in said[1]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", default="build/browser", type=Path)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--serve", action="store_true")
    given = parser.parse_args()
    build(given.folder)
    print(f"wrote {given.folder / 'index.html'}")
    if given.check:
        check(given.folder)
    if given.serve:
        serving = server(given.folder, 8000)
        print("http://127.0.0.1:8000/index.html")
        serving.serve_forever()
