"""Renders a report in headless Chromium at two widths and checks it.

Usage: render.py REPORT.html FOLDER: no script or resource may fail, every
image must load, the headings must be there, and nothing may be wider than
the window. Leaves screenshots in the folder. Speaks the DevTools protocol
over Chromium's own pipe.
"""

import base64
import json
import os
import pathlib
import subprocess
import sys
import tempfile

WIDTHS = {"phone": 380, "desk": 1100}
HEADINGS = [
    "Diagram", "Summary", "Operations", "Plan", "Parameters", "Input", "Probe",
    "Training", "Images", "Filters", "Feature maps",
]
MEASURE = """(() => ({
    state: document.readyState,
    headings: [...document.querySelectorAll('h2')].map(h => h.textContent),
    images: document.images.length,
    broken: [...document.images].filter(i => !(i.complete && i.naturalWidth > 0)).length,
    text: document.body.innerText,
    width: document.documentElement.scrollWidth,
    height: document.documentElement.scrollHeight,
}))()"""


class Browser:
    """A Chromium that is told what to do over file descriptors 3 and 4."""

    def __init__(self, profile):
        orders, self.orders = os.pipe()
        self.answers, answers = os.pipe()

        def place():
            # Out of the way first: either may be 3 or 4 already.
            high_orders, high_answers = os.dup2(orders, 100), os.dup2(answers, 101)
            os.dup2(high_orders, 3)
            os.dup2(high_answers, 4)

        self.process = subprocess.Popen(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu",
             "--disable-dev-shm-usage", f"--user-data-dir={profile}",
             "--remote-debugging-pipe", "about:blank"],
            preexec_fn=place, close_fds=False, stderr=subprocess.DEVNULL)
        os.close(orders)
        os.close(answers)
        self.session = None
        self.events = []
        self.unread = b""
        self.last = 0

    def read(self):
        while b"\0" not in self.unread:
            more = os.read(self.answers, 1 << 20)
            if not more:
                sys.exit("Chromium has gone")
            self.unread += more
        message, self.unread = self.unread.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, **parameters):
        self.last += 1
        order = {"id": self.last, "method": method, "params": parameters}
        if self.session:
            order["sessionId"] = self.session
        os.write(self.orders, json.dumps(order).encode() + b"\0")
        while True:
            message = self.read()
            if message.get("id") == self.last:
                if "error" in message:
                    sys.exit(f"{method}: {message['error']}")
                return message["result"]
            self.events.append(message)

    def wait_for(self, event):
        while not any(seen.get("method") == event for seen in self.events):
            self.events.append(self.read())

    def open_page(self):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ["Page", "Runtime", "Log", "Network"]:
            self.call(f"{domain}.enable")


def complaints(browser):
    """What went wrong while the page was loaded, and what it fetched."""
    for event in browser.events:
        method, found = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            yield found["exceptionDetails"]["text"]
        elif method == "Log.entryAdded" and found["entry"]["level"] == "error":
            yield found["entry"]["text"]
        elif method == "Network.requestWillBeSent":
            url = found["request"]["url"]
            if not url.startswith(("data:", "file:")):
                yield f"the page asks for {url}"


def check(browser, name, width, report, folder):
    browser.events.clear()
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=800,
                 deviceScaleFactor=1, mobile=width < 600)
    browser.call("Page.navigate", url=report.resolve().as_uri())
    browser.wait_for("Page.loadEventFired")
    found = browser.call("Runtime.evaluate", expression=MEASURE, returnByValue=True)
    page = found["result"]["value"]
    wrong = list(complaints(browser))
    if page["state"] != "complete":
        wrong.append(f"the page is {page['state']}")
    if page["broken"] or page["images"] < 5:
        wrong.append(f"{page['broken']} of {page['images']} images did not load")
    wrong += [f"no {heading}" for heading in HEADINGS if heading not in page["headings"]]
    wrong += [f"no text {text!r}" for text in ["block1_conv1", "trainable", "chance"]
              if text not in page["text"]]
    if page["width"] > width:
        wrong.append(f"the page is {page['width']} pixels wide")
    shot = browser.call("Page.captureScreenshot", captureBeyondViewport=True, clip={
        "x": 0, "y": 0, "width": width, "height": page["height"], "scale": 1})
    (folder / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))
    print(f"{name}: {page['images']} images, {width} x {page['height']} pixels")
    return [f"{name}: {what}" for what in wrong]


def main():
    report, folder = map(pathlib.Path, sys.argv[1:])
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(profile)
        try:
            browser.open_page()
            wrong = [line for name, width in WIDTHS.items()
                     for line in check(browser, name, width, report, folder)]
        finally:
            browser.process.terminate()
            browser.process.wait()
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
