"""Takes pictures of the dashboards over an hour of scripted calls.

python3 pictures.py REPLAYED_DIR DASHBOARDS_DIR OUT_DIR [NODE_RED]: `tests/pictures.sh` makes the first. The scores are those that `sotto replay`
made of the scripted calls, each several times over, with their times moved into the hour that ends now: the hour is simulated, the numbers of a
call are measured. Broker, browser and Node-RED are real.
"""

import base64
import json
import pathlib
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import websocket

replayed, dashboards, out = (pathlib.Path(argument).resolve() for argument in sys.argv[1:4])
node_red = sys.argv[4] if len(sys.argv) > 4 else None
random.seed(7)
HOUR_MS = 3_600_000
now_ms = int(time.time() * 1000)
work = pathlib.Path(tempfile.mkdtemp())
children = []


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(command, **more):
    children.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more))


def wait(what, look, patience=120):
    until = time.time() + patience
    while time.time() < until:
        try:
            found = look()
        except OSError:
            found = None
        if found:
            return found
        time.sleep(0.2)
    sys.exit(f"waited in vain: {what}")


mqtt, web, devtools, red = (free_port() for _ in range(4))
(work / "mosquitto.conf").write_text(f"listener {mqtt} 127.0.0.1\nlistener {web} 127.0.0.1\nprotocol websockets\nallow_anonymous true\n")


def publish(topic, body, retain=False):
    command = ["mosquitto_pub", "-V", "mqttv5", "-h", "127.0.0.1", "-p", str(mqtt), "-q", "1", "-t", topic, "-m", json.dumps(body)]
    subprocess.run(command + (["-r"] if retain else []), check=True)


def calls():
    """An hour of scores, two boxes' worth, oldest first."""
    scores = [json.loads(line)["payload"] for file in sorted(replayed.glob("*.jsonl")) for line in file.read_text().splitlines() if "/call/score" in line]
    if not scores:
        sys.exit(f"{replayed} holds no score")
    made = []
    for seq in range(1, 181):
        score = dict(random.choice(scores))
        ended = now_ms - int(HOUR_MS * (1 - seq / 181))
        node = random.choice(["rec-1", "rec-2"])
        score.update(call=f"{'4522f75e' if node == 'rec-1' else '07c1a9d3'}-{seq}", seq=seq, order=seq, node=node, ended_ms=ended, ts_ms=ended - score["call_duration_ms"],
                     team=random.choices(["billing", "support", "sales"], [5, 4, 2])[0], expires_ms=now_ms + 7 * 24 * HOUR_MS)
        # Some of every site's calls are not for scoring.
        if random.random() < 0.08:
            score = {key: value for key, value in score.items() if key in {"call", "seq", "order", "node", "site", "ended_ms", "ts_ms", "team", "expires_ms", "call_duration_ms",
                     "charter", "models", "outbox", "codec", "direction", "end_cause", "hold_count", "hold_ms", "late", "use", "v", "ring_ms"}}
            score.update(outcome="signalling_only", unavailable="talk_time_agent_ms:consent")
        made.append(score)
    return made


def box(node, scores, **more):
    """What a box says of itself at the end of that hour."""
    own = [score for score in scores if score["node"] == node]
    base = {"site": "harbor", "node": node, "ts_ms": now_ms}
    bare = sum(score["outcome"] != "scored" for score in own)
    coverage = {"calls_seen": len(own) + 2_340, "scored": len(own) - bare + 2_331, "signalling_only": bare, "open": 4}
    hour = {"hour_ms": now_ms // HOUR_MS * HOUR_MS, "hour_calls_seen": len(own) + 9, "hour_scored": len(own) - bare, "hour_signalling_only": bare, "hour_unanswered": 5, "hour_open": 4,
            "hour_reason_consent": bare}
    zeros = ["excluded", "interrupted", "not_sampled", "refused", "shed", "unanswered"]
    coverage |= {key: 0 for key in zeros} | hour | {f"hour_{key}": 0 for key in zeros if key != "unanswered"} | {"expired_unacked": 0}
    health = {"connection": 3, "backlog": 0, "backlog_age_s": 0, "expired_unacked": 0, "dead_letters": 0, "acked": len(own), "no_subscriber": 0, "invalid_rows": 0, "lost_calls": 0,
              "lost_scores": 0, "taken_over": 0, "clock_jumps": 0, "tap_age_s": 1, "calls_open": 4, "packets": 1_204_331, "packets_dropped": 0, "turns": 912, "turns_shed": 0,
              "certificate_days_left": 214, "charter_days_left": 96, "shed_level": 0} | more
    about = f"sotto/v1/harbor/{node}"
    publish(f"{about}/status", base | {"state": "online", "connection": 3}, True)
    publish(f"{about}/birth", base | {"connection": 3, "version_major": 0, "version_minor": 1, "version_patch": 0, "epoch": "00000000000000a1", "charter": "e3d301996770f96b",
                                      "schema": "0000000000000001", "contract": "0000000000000002"}, True)
    publish(f"{about}/health", base | health, True)
    publish(f"{about}/coverage", base | coverage, True)


class Browser:
    """Chromium, headless, by its own protocol."""

    def __init__(self):
        start(["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--remote-debugging-port={devtools}", "--remote-allow-origins=*",
               f"--user-data-dir={work / 'profile'}", "about:blank"])
        pages = wait("Chromium", lambda: json.load(urllib.request.urlopen(f"http://127.0.0.1:{devtools}/json")))
        self.socket = websocket.create_connection(next(page for page in pages if page["type"] == "page")["webSocketDebuggerUrl"], timeout=120)
        self.turn, self.errors = 0, []
        self.ask("Runtime.enable")
        self.ask("Log.enable")

    def ask(self, method, **parameters):
        self.turn += 1
        self.socket.send(json.dumps({"id": self.turn, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("method") == "Runtime.exceptionThrown":
                self.errors.append(answer["params"]["exceptionDetails"].get("exception", {}).get("description", "an exception"))
            if answer.get("id") == self.turn:
                return answer.get("result", {})

    def says(self, expression):
        return self.ask("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def open(self, url, width, height, dark=False):
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.ask("Page.navigate", url=url)

    def picture(self, name, whole=True):
        shot = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        (out / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))
        print(f"{name}.png", flush=True)


def live(browser, scores):
    url = f"{(dashboards / 'live/index.html').as_uri()}#url=ws://127.0.0.1:{web}&site=harbor"
    browser.open(url, 1280, 1500)
    wait("the page to connect", lambda: browser.says("document.getElementById('link').textContent") == "connected")
    browser.picture("live-empty")
    for score in scores:
        publish(f"sotto/v1/harbor/{score['node']}/call/score", score)
    wait("the last call", lambda: browser.says("calls.length") == len(scores))
    time.sleep(3)
    browser.picture("live")
    browser.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    browser.picture("live-dark")
    browser.ask("Emulation.setEmulatedMedia", features=[])
    browser.ask("Emulation.setDeviceMetricsOverride", width=390, height=2600, deviceScaleFactor=1, mobile=True)
    time.sleep(1)
    browser.picture("live-phone")
    browser.ask("Emulation.setDeviceMetricsOverride", width=1280, height=1700, deviceScaleFactor=1, mobile=False)
    box("rec-2", scores, backlog=1_204, backlog_age_s=1_260, taken_over=4, certificate_days_left=6, charter_days_left=12, dead_letters=2)
    publish("sotto/v1/harbor/rec-1/status", {"site": "harbor", "node": "rec-1", "ts_ms": now_ms, "state": "offline", "connection": 3}, True)
    publish("sotto/v1/harbor/rec-1/lost", {"site": "harbor", "node": "rec-1", "ts_ms": now_ms, "lost_from": "4522f75e-40", "lost_to": "4522f75e-44", "lost_calls": 0, "lost_scores": 3})
    time.sleep(3)
    browser.picture("live-alarms")
    if browser.errors:
        sys.exit(f"the page threw: {browser.errors}")


def flow(browser, scores):
    folder = work / "node-red"
    folder.mkdir()
    flows = json.loads((dashboards / "node-red/flows.json").read_text())
    for node in flows:
        if node["type"] == "mqtt-broker":
            node.update(broker="127.0.0.1", port=str(mqtt))
    (folder / "flows.json").write_text(json.dumps(flows))
    # What it asks and shows at a first start would be in the way.
    (folder / "settings.js").write_text("module.exports = { editorTheme: { tours: false }, telemetry: { enabled: false, updateNotification: false } };")
    start([node_red, "--userDir", str(folder), "--port", str(red), str(folder / "flows.json")])
    wait("Node-RED", lambda: urllib.request.urlopen(f"http://127.0.0.1:{red}/flows").status == 200)
    browser.open(f"http://127.0.0.1:{red}/", 1400, 760)
    wait("the flow", lambda: browser.says("document.querySelectorAll('.red-ui-flow-node').length") or 0)
    time.sleep(6)
    for score in scores[-60:]:
        publish(f"sotto/v1/harbor/{score['node']}/call/score", score)
    time.sleep(4)
    browser.picture("node-red", whole=False)
    statuses = browser.says("[...document.querySelectorAll('.red-ui-flow-node-status-label')].map(e => e.textContent).filter(Boolean).join(' | ')")
    print(f"Node-RED says: {statuses}", flush=True)


try:
    out.mkdir(parents=True, exist_ok=True)
    start(["/usr/sbin/mosquitto", "-c", str(work / "mosquitto.conf")])
    wait("mosquitto", lambda: socket.create_connection(("127.0.0.1", mqtt)).close() or True)
    hour = calls()
    for name in ["rec-1", "rec-2"]:
        box(name, hour)
    chromium = Browser()
    live(chromium, hour)
    if node_red:
        flow(chromium, hour)
finally:
    for child in children:
        child.kill()
        child.wait()
    shutil.rmtree(work, ignore_errors=True)
