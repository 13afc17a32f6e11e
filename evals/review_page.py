"""How fast the review page is for the person at it, in a real browser, with 100,000 texts in the queue.

    python -m evals.review_page [--quick]

The server is `labelwright review` in a process of its own over a SQLite store, the browser is chromium, once as wide
as a desktop (1280) and once as a phone (390). Fifty texts are labelled by keyboard alone, at a person's pace and as
fast as the page shows them. Every time is from a key to the next item being painted, taken in the page: the event's
own time, and a task after the frame that was asked for once the page had changed. A queue of 2,000 texts stands
beside it, so that what the size costs can be told. Then the queue, and all that was labelled, are exported as each
format by `labelwright queue export`, and the process's most memory is held against that for a tenth of the texts.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from playwright.sync_api import Browser, Page, ViewportSize

from agent.job import Job
from agent.records import Label, MicroDollars, Pick, Route, Source, TextId
from agent.review.exchange import Kind
from agent.store import RouteRow, Store
from evals.outcome import Outcome, is_quick
from tests.review.browsers import CHROMIUM, DESKTOP, PHONE, chromium

NAMES = ("business", "politics", "sport", "tech")
RARE = 997  # one in so many texts holds the rare word
KEY_MS, EXPORT_S = 100.0, 10.0
MEMORY, MEMORY_MB = 1.5, 300.0
PACE_MS = 400.0  # a quick person
WAIT_S = 30.0


@dataclass(frozen=True)
class Size:
    """How many texts wait, beside how many, and how many are labelled and how often the rest is done."""

    texts: int = 100_000
    beside: int = 2_000
    labels: int = 50
    times: int = 10
    loads: int = 5


QUICK = Size(texts=10_000, beside=2_000, labels=12, times=3, loads=2)

# the command, which says in the end how much it held: what a parent is told of its child counts the parent's own, too
COMMAND = """
import atexit, runpy, sys, time
def tell():
    held = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print(time.process_time(), held, file=sys.stderr)
atexit.register(tell)
runpy.run_module("agent", run_name="__main__")
"""

WATCH = """
const seen = {since: null, done: null, isDone: null, first: null, going: 0};
window.watched = seen;
const plain = window.fetch;
window.fetch = (...asked) => {
  seen.going += 1;
  return plain(...asked).finally(() => { seen.going -= 1; });
};
const paint = (then) => requestAnimationFrame(() => {
  const channel = new MessageChannel();
  channel.port1.onmessage = () => then(performance.now());
  channel.port2.postMessage(0);
});
const look = () => {
  if (seen.first === null && document.querySelector("#text")?.textContent) {
    seen.first = NaN;
    paint((at) => { seen.first = at; });
  }
  if (seen.isDone === null || seen.since === null || !seen.isDone()) return;
  seen.isDone = null;
  paint((at) => { seen.done = at - seen.since; });
};
new MutationObserver(look).observe(document, {subtree: true, childList: true, characterData: true, attributes: true});
document.addEventListener("keydown", (event) => {
  if (seen.isDone !== null && seen.since === null && event.key === seen.key) seen.since = event.timeStamp;
}, true);
window.arm = (key, what) => {
  const before = document.querySelector("#text").textContent;
  Object.assign(seen, {since: null, done: null, key, isDone: {
    next: () => { const now = document.querySelector("#text").textContent; return now !== "" && now !== before; },
    listed: () => document.querySelector("#done-list li") !== null,
    counted: () => / match$/.test(document.querySelector("#filtered-count").textContent),
    said: () => document.querySelector("#text").textContent !== "" && !document.querySelector("#done-panel").open,
  }[what]});
};
"""


def begin(folder: Path, texts: int) -> Path:
    """A job in a folder of its own, with so many texts that wait."""
    folder.mkdir(parents=True)
    settings = {
        "name": "page",
        "task": {"kind": "classification", "labels": {n: f"texts about {n}" for n in NAMES}},
        "data": {"pool": "pool.csv"},
        "oracle": {
            "name": "local",
            "base_url": "http://127.0.0.1:1/v1",
            "model": "small",
            "price": {"input": 1, "output": 1},
        },
        "budget": {"dollars": 1},
        "store": f"sqlite:///{folder / 'labelwright.db'}",
    }
    (folder / "pool.csv").write_text("text\none text\n", encoding="utf-8")
    file = folder / "job.yaml"
    file.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    job, rng = Job.load(file), np.random.default_rng(7)
    sure = np.round(rng.uniform(0.3, 0.99, texts), 4).tolist()
    said = rng.choice(NAMES, texts).tolist()
    with Store.open(str(settings["store"])) as store:
        store.open_job(job.name, job.settings(), job.fingerprint(), MicroDollars(1_000_000))
        for start in range(0, texts, 10_000):
            numbers = range(start, min(start + 10_000, texts))
            ids = [TextId(f"text {n:06d}") for n in numbers]
            words = {i: _words(n) for i, n in zip(ids, numbers, strict=True)}
            store.add_picks(
                job.name, 0, [Pick(i, n, "unsure", 1.0, 0.5, {}) for i, n in zip(ids, numbers, strict=True)], words
            )
            labels = [
                Label(i, said[n], Source.ORACLE, "local/small", _chances(said[n], sure[n]), sure[n])
                for i, n in zip(ids, numbers, strict=True)
            ]
            given = store.add_labels(job.name, labels)
            routes = [
                RouteRow(i, g, Route.PERSON, f"confidence {x.confidence:.2f} is below 0.99", x.confidence)
                for i, g, x in zip(ids, given, labels, strict=True)
            ]
            store.add_routes(job.name, 0, routes)
    return file


def _words(number: int) -> str:
    rare = " A zeppelin was seen." if number % RARE == 0 else ""
    return f"Text {number}: the market and the match were both sold, it is said.{rare} " + "More of it follows. " * 25


def _chances(name: str, sure: float) -> dict[str, float]:
    rest = (1 - sure) / (len(NAMES) - 1)
    return {n: sure if n == name else rest for n in NAMES}


# The page ----------------------------------------------------------------------------------------------------------


@contextmanager
def served(file: Path) -> Iterator[str]:
    """`labelwright review` for one person, and its address."""
    command = [sys.executable, "-m", "agent", "review", str(file), "--person", "ada", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        try:
            if found is None:
                raise RuntimeError("the review did not start")
            yield found[0]
        finally:
            process.send_signal(signal.SIGINT)
            process.stdout.read()


def until(page: Page, holds: str) -> None:
    """Wait until something holds in the page, asked from outside: its own policy lets nothing be run in it."""
    deadline = time.monotonic() + WAIT_S
    while not page.evaluate(holds):
        if time.monotonic() > deadline:
            seen = page.evaluate("[document.body.innerText.slice(0, 2000), JSON.stringify(watched)]")
            raise RuntimeError(f"the page was waited for in vain: {holds}; it shows {seen}")
        page.wait_for_timeout(5)


class Person:
    """Somebody at the page, who presses keys."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def ms(self, key: str, what: str = "next", *, shown: str = "") -> float:
        """Milliseconds from a key to what comes of it being painted. `shown` is what to press as it is said to the
        browser, where that is not the key's own name."""
        self.page.evaluate("([key, what]) => arm(key, what)", [key, what])
        self.page.keyboard.press(shown or key)
        until(self.page, "watched.done !== null")
        return float(self.page.evaluate("watched.done"))

    def is_idle(self) -> None:
        """Wait until nothing is on its way to the server."""
        until(self.page, "watched.going === 0")
        self.page.wait_for_timeout(50)  # what it heard may lead to another question
        until(self.page, "watched.going === 0")


def load_ms(browser: Browser, url: str, window: ViewportSize) -> float:
    """Milliseconds from the address to the first item being painted."""
    context = browser.new_context(viewport=window)
    page = _opened(context.new_page(), url)
    found = float(page.evaluate("watched.first"))
    page.close()
    context.close()
    return found


def _opened(page: Page, url: str) -> Page:
    page.add_init_script(f"(() => {{{WATCH}}})()")
    page.goto(url)
    until(page, "watched.first > 0")
    return page


def at_the_page(browser: Browser, url: str, window: ViewportSize, size: Size) -> dict[str, list[float]]:
    """What each key took, in milliseconds."""
    found: dict[str, list[float]] = {"page load to the first item": []}
    for _ in range(size.loads):
        found["page load to the first item"].append(load_ms(browser, url, window))
    context = browser.new_context(viewport=window)
    person = Person(_opened(context.new_page(), url))
    keys = [str(1 + n % len(NAMES)) for n in range(size.labels)]
    found["label to the next item, at a person's pace"] = []
    for key in keys:
        person.page.wait_for_timeout(PACE_MS)
        found["label to the next item, at a person's pace"].append(person.ms(key))
    person.is_idle()
    found["label to the next item, without a pause"] = [person.ms(key) for key in keys]
    person.is_idle()
    found["skip"] = [person.ms("s") for _ in range(size.times)]
    person.is_idle()
    found["undo"] = [person.ms("u") for _ in range(size.times)]
    person.is_idle()
    for name, asked in (("a common word", "match"), ("a rare word", "zeppelin"), ("no such word", "qqqq")):
        found[f"filter by {name}"] = []
        for _ in range(size.times):
            person.page.keyboard.press("/")
            person.page.keyboard.type(asked)
            found[f"filter by {name}"].append(person.ms("Enter", "counted"))
            person.page.keyboard.press("c")
            until(person.page, "document.querySelector('#text').textContent !== ''")
            person.is_idle()
    found["list what was done"], found["go back to one of it"] = [], []
    for _ in range(size.times):
        found["list what was done"].append(person.ms("b", "listed"))
        found["go back to one of it"].append(person.ms("Enter"))
        person.page.keyboard.press("s")  # keep it as it was
        person.is_idle()
    person.page.close()
    context.close()
    return found


def measure_page(outcome: Outcome, browser: Browser, what: str, file: Path, size: Size) -> None:
    """Both windows at one queue."""
    with served(file) as url:
        for name, window in (("desktop", DESKTOP), ("phone", PHONE)):
            found = at_the_page(browser, url, ViewportSize(width=window["width"], height=window["height"]), size)
            for key, times in found.items():
                is_label = key.startswith("label")
                p95 = float(np.percentile(times, 95))
                middle = f"ms, 95 % of {len(times)}; half of them {np.median(times):.0f}"
                outcome.add(
                    f"{what}, {name}: {key}",
                    round(p95, 1),
                    middle,
                    target=f"< {KEY_MS:g}" if is_label else "",
                    holds=p95 < KEY_MS if is_label else None,
                )
    with Store.open(f"sqlite:///{file.with_name('labelwright.db')}") as store:
        kept = store.queued("page", ["ada"])["ada"].labelled
    wanted = 2 * 2 * size.labels
    outcome.add(f"{what}: labels that the store holds", kept, f"of {wanted}", target="all", holds=kept == wanted)


# Exports -----------------------------------------------------------------------------------------------------------


def export(file: Path, kind: Kind, everything: bool) -> tuple[float, float, float]:
    """Seconds of one export, those of a processor, and the most memory that its process held, in MB."""
    to = file.with_name(f"out-{kind}-{everything}")
    words = ["queue", "export", str(file), "--format", kind.value, "--output", str(to)]
    command = [sys.executable, "-c", COMMAND, *words, *(["--all"] if everything else [])]
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - began
    *_, busy, _, held, _ = done.stderr.split()
    return seconds, float(busy), int(held) / 1024


def measure_exports(outcome: Outcome, files: dict[int, Path], *, quick: bool) -> None:
    """Every format of the largest store, and of the one that it is held against."""
    few, many = sorted(files)
    for kind in Kind:
        for everything in (False,) if quick else (False, True):
            what = f"export as {kind}" + (", all labelled" if everything else ", the queue")
            _, _, small = export(files[few], kind, everything)
            seconds, busy, large = export(files[many], kind, everything)
            limit = f"< {EXPORT_S:g}"
            outcome.add(f"{many:,} texts: {what}", round(seconds, 2), "s", target=limit, holds=seconds < EXPORT_S)
            outcome.add(
                f"{many:,} texts: {what}: a processor's time", round(busy, 2), "s, whatever else it has to do"
            )
            flat = large < MEMORY * small or large < MEMORY_MB
            outcome.add(
                f"{many:,} texts: {what}: most memory",
                round(large),
                f"MB; {small:.0f} for {few:,} texts",
                target=f"< {MEMORY:g} times, or < {MEMORY_MB:g} MB",
                holds=flat,
            )


def main() -> int:
    outcome, size = Outcome("review_page", quick=is_quick()), QUICK if is_quick() else Size()
    with tempfile.TemporaryDirectory() as folder:
        places = Path(folder)
        files = {n: begin(places / str(n), n) for n in (size.beside, size.texts // 10, size.texts)}
        if CHROMIUM.exists():
            with chromium() as browser:
                for n in (size.beside, size.texts):
                    measure_page(outcome, browser, f"{n:,} texts", files[n], size)
        else:
            outcome.add("the page", "not measured", f"no browser at {CHROMIUM}")
        measure_exports(outcome, {n: files[n] for n in (size.texts // 10, size.texts)}, quick=is_quick())
    return outcome.finish()


if __name__ == "__main__":
    sys.exit(main())
