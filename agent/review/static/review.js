// The review page: one item at a time from a few fetched ahead, answers through the outbox, keys for everything.

import { Bulk } from "./bulk.js";
import { Card, named } from "./card.js";
import { Done } from "./done.js";
import { Entry } from "./entry.js";
import { Finding } from "./finding.js";
import { Flagging } from "./flag.js";
import { Clock, figures } from "./figures.js";
import { Keys, Line } from "./keys.js";
import { Labels } from "./labels.js";
import { complain, given, notice, sayLast, sayUndone, showTrouble } from "./notes.js";
import { Quoting } from "./quoting.js";
import { Numbers } from "./number.js";
import { Spans } from "./spans.js";
import { Standing } from "./standing.js";
import { Outbox, Refusal, Wire } from "./wire.js";
import { Words } from "./words.js";
import { Writing } from "./writing.js";

const $ = (id) => document.getElementById(id);
const settings = JSON.parse($("settings").textContent);
const ENOUGH_AHEAD = 8;
const FETCH = 12;
const LOOK_AGAIN_MS = 5000;
const RENEW_MS = 120_000;
const WORDING = { spans: ["Nothing to mark", "span"], answer: ["No answer", "answer"] };

const wire = new Wire(settings);
const outbox = new Outbox(wire, { saved, refused, trouble });
const standing = new Standing(wire);
const words = new Words();
const card = new Card(wire, complain, painted);
const clock = new Clock();
const line = new Line();
const flagging = new Flagging((note) => shown !== null && !waiting && act("/api/skip", { note }));
const hint = (what) => complain(what ? new Refusal(0, what) : null);
const picking = { pick: save, accept, changed: sayAccept, isBusy: () => line.isBusy, hint };
const finding = new Finding(settings, refind);
const bulk = new Bulk(wire, finding, { ready: () => outbox.idle(), accepted: acceptedAtOnce });
const done = new Done(wire, { again: showAgain, takeBack });
const widgets = {
  answer: () => new Quoting(settings, picking),
  json: () => new Entry(),
  number: () => new Numbers(settings, picking),
  spans: () => new Spans(settings, picking),
  text: () => new Writing(picking),
};
const answer = (widgets[settings.widget] ?? (() => new Labels(settings, picking)))();

let ahead = []; // what is to come; ahead[0] is on the screen
let shown = null; // the item on the screen
let again = false; // going through what was skipped
let filling = null; // the fetch under way
let dry = false; // the last fetch brought nothing
let waiting = false; // a JSON answer is being checked
let unwanted = false; // what was fetched ahead is for others: another filter is on
let noneMeant = false; // Enter was pressed once on an empty set of labels
const handled = new Set(); // ids answered or skipped here, which a late fetch may still hold

// Items -----------------------------------------------------------------------------------------------------------

function fill() {
  filling ??= fetchAhead().finally(() => {
    filling = null;
  });
  return filling;
}

async function fetchAhead() {
  const passed = again ? handled.size : 0; // what was skipped twice still stands in the queue
  const { only } = finding;
  let got;
  let writes;
  try {
    if (unwanted) await wire.send("/api/let-go", {});
    unwanted = false;
    writes = wire.writes;
    got = await wire.items(FETCH + outbox.size + passed, again, only);
  } catch (refusal) {
    trouble(refusal);
    setTimeout(next, LOOK_AGAIN_MS);
    return;
  }
  if (!outbox.inTrouble) trouble(null);
  if (only !== finding.only) return fetchAhead(); // another filter was put on meanwhile
  finding.heard(got.matching);
  const have = new Set(ahead.map((item) => item.id));
  const fresh = got.items.filter((item) => !have.has(item.id) && !handled.has(item.id));
  ahead.push(...fresh);
  dry = fresh.length === 0;
  if (writes === wire.writes) heard(got.figures);
  next();
}

/** The server's figures. Once the people's minutes are used up, the item on the screen is the last. */
function heard(counted) {
  figures.heard(counted, outbox.acts);
  if (!figures.isOver) return;
  ahead = ahead.slice(0, shown === null ? 0 : 1);
  dry = true;
}

/** Show ahead[0]. `was` is what had been given before an undo, `problem` why the item is back. */
function next(was = null, problem = "") {
  if (ahead.length < ENOUGH_AHEAD && filling === null && !(dry && shown === null && !ahead.length)) fill();
  const item = ahead[0] ?? null;
  if (item !== null && item === shown) return;
  shown = item;
  noneMeant = false;
  complain(problem ? new Refusal(0, problem) : null);
  $("desk").classList.toggle("empty", item === null);
  if (item === null) {
    finish();
    return;
  }
  $("finished").hidden = true;
  answer.show(item, was);
  card.show(item);
  clock.start();
  if (document.activeElement !== $("filter")) $("reading").focus({ preventScroll: true });
  window.scrollTo({ top: 0 });
  sayAccept();
}

/** Nothing to show: say so, once it is sure. */
function finish() {
  const first = $("finished").hidden;
  const [title, why] = whyFinished();
  $("finished").hidden = !dry && $("trouble").hidden;
  $("finished-title").textContent = title;
  $("finished-words").textContent = why;
  $("again").hidden = figures.skipped === 0 || !dry || figures.isOver || finding.isOn;
  $("finished-clear").hidden = !dry || !finding.isOn;
  $("finished-undo").hidden = figures.newest === null && outbox.size === 0;
  if (first && dry) $("finished-title").focus({ preventScroll: true });
  if (dry && bulk.checking !== undefined) setTimeout(tellCheck); // the last answer is about to be on its way
}

/** What a check found, once all of it was answered and the server has it. */
function tellCheck() {
  if (shown === null && dry && outbox.size === 0) bulk.finished();
}

function whyFinished() {
  const { done, skipped } = figures;
  if (dry && bulk.checking !== undefined) {
    return ["Nothing more to check here", "Press a for what was found, c to leave the check."];
  }
  if (dry && finding.isOn) {
    return ["Nothing more matches", `Press c to clear the filter: ${figures.left.toLocaleString("en")} left without it.`];
  }
  if (!dry) return ["Waiting for the server", "What you answered is kept on this page meanwhile."];
  if (figures.isOver) {
    const way = "Raise budget.minutes in the job file and start the review again to go on.";
    return ["The minutes are used up", `${figures.minutesUsed}. All your answers are saved. ${way}`];
  }
  const title = done > 0 ? "Nothing left to review" : "Nothing waits for review";
  if (skipped > 0) return [title, `${skipped} skipped ${skipped === 1 ? "text is" : "texts are"} still open.`];
  return [
    title,
    done > 0
      ? "Run the job again and your labels count in its next round. New texts appear here by themselves."
      : "Texts that the machine is not sure of appear here by themselves while a job runs.",
  ];
}

setInterval(() => {
  if (shown !== null || outbox.size > 0 || document.visibilityState !== "visible") return;
  if (!again) handled.clear(); // another may have undone something
  fill();
}, LOOK_AGAIN_MS);

/** Another filter is on: what was fetched ahead is no longer wanted. */
function refind() {
  ahead = [];
  again = false;
  dry = false;
  handled.clear();
  for (const going of outbox.acts) handled.add(going.item.id);
  unwanted = true;
  fill(); // where a fetch is under way, what it brings is thrown away, and it begins anew
  next();
}

async function goThroughSkipped() {
  await filling;
  again = true;
  handled.clear();
  fill();
}

function painted() {
  words.mark();
  answer.painted?.();
}

// Answers ---------------------------------------------------------------------------------------------------------

const asList = (value) => (value === null || value === undefined ? null : [value].flat());

function save(value) {
  if (shown !== null && !waiting) act("/api/label", { value });
}

function skip() {
  if (shown === null || waiting) return;
  if (shown.instead === undefined) act("/api/skip", {});
  else keepAsItWas();
}

/** What was labelled before and is on the screen once more stays as it is. */
function keepAsItWas() {
  ahead.shift();
  next();
}

function flag() {
  if (shown !== null && !waiting && shown.instead === undefined) flagging.open();
}

function act(path, what) {
  const item = shown;
  const seen = { blind: item.blind, torn: item.torn };
  const body = { id: item.id, seconds: clock.lap(), seen, ...what };
  if (item.instead !== undefined) body.instead = item.instead;
  handled.add(item.id);
  const going = { path, body, item, keep: settings.widget === "json" && path === "/api/label" };
  if (path === "/api/label" && answer.said) going.said = answer.said();
  if (going.keep) wait(true); // the task on the server has to read it first
  else leave(going);
  outbox.add(going);
  figures.waiting(outbox.acts);
}

function wait(on) {
  waiting = on;
  if (answer.field) answer.field.readOnly = on;
}

/** Go on to the next item; say what was done with this one. */
function leave(going) {
  figures.lapped(going.body.seconds);
  ahead.shift();
  sayLast(going);
  next();
}

/** Enter: take the suggestion, or save what is on. */
function accept() {
  if (shown === null) return;
  if (settings.widget === "choice") {
    if (shown.suggestion) save(shown.suggestion.value);
    return;
  }
  if (answer.refuses?.()) return;
  if (answer.problem) {
    hint(answer.problem);
    return;
  }
  const value = answer.value();
  if (value === null) {
    hint(answer.missing());
    return;
  }
  const suggestedNone = shown.suggestion !== null && ["", "[]"].includes(String(shown.suggestion.value));
  if (answer.size?.() === 0 && !suggestedNone && !noneMeant) {
    noneMeant = true;
    sayAccept();
    return;
  }
  save(value);
}

function sayAccept() {
  const isAgain = shown?.instead !== undefined;
  $("skip-words").textContent = isAgain ? "Keep as it was" : "Skip";
  $("flag").hidden = isAgain;
  const button = $("accept");
  const saying = $("accept-words");
  if (settings.widget === "choice") {
    button.hidden = shown === null || !shown.suggestion;
    if (!button.hidden) saying.replaceChildren("Accept ", named(shown.suggestion.shown));
    return;
  }
  button.hidden = false;
  if (settings.widget === "json") {
    saying.textContent = "Save";
    $("accept-key").textContent = "Ctrl ↵";
    return;
  }
  if (settings.widget === "number") {
    const value = answer.value();
    const isTheirs = value !== null && value === shown?.suggestion?.value;
    saying.replaceChildren(...(value === null ? ["Save"] : [isTheirs ? "Accept " : "Save ", named(value)]));
    return;
  }
  if (settings.widget === "text") {
    saying.textContent = answer.isKept ? "Keep as it is" : "Save";
    $("accept-key").textContent = answer.isKept ? "k" : "Ctrl ↵";
    return;
  }
  const size = answer.size();
  if (size > 0) noneMeant = false;
  const [nothing, what] = WORDING[settings.widget] ?? ["None applies", "label"];
  const none = noneMeant ? "Really none? Save" : nothing;
  const some = settings.widget === "answer" ? "Save the answer" : `Save ${size} ${what}${size === 1 ? "" : "s"}`;
  saying.textContent = size === 0 ? none : some;
}

function saved(going, reply) {
  if (going.keep) {
    wait(false);
    leave(going);
  }
  heard(reply.figures);
  standing.acted();
  if (shown === null) fill();
}

/** The server did not take it: nobody's answer is lost, the item comes back or the reason is shown. */
function refused(going, refusal) {
  figures.heard(refusal.figures, outbox.acts);
  if (going.keep) wait(false);
  if (refusal.status === 409) {
    if (going.keep) leave(going);
    notice(going, refusal.message);
  } else if (going.keep) {
    handled.delete(going.item.id);
    complain(refusal); // the item is still here, with what was written
  } else {
    restore(going.item, asList(going.body.value), refusal.message);
  }
}

function restore(item, was, problem = "") {
  handled.delete(item.id);
  ahead = [item, ...ahead.filter((other) => other.id !== item.id)];
  shown = null; // show it even where it is on the screen already
  next(was, problem);
}

/** All that a check allowed was accepted, on the server. */
function acceptedAtOnce(count, counted) {
  figures.heard(counted, outbox.acts);
  sayUndone(`Accepted at once: ${count.toLocaleString("en")} texts. Undo takes all of it back.`);
  finding.put({});
}

// Undo ------------------------------------------------------------------------------------------------------------

async function undo() {
  if (waiting) return;
  const unsent = outbox.takeBack();
  if (unsent) {
    figures.waiting(outbox.acts);
    sayUndone(`Undone: ${given(unsent)}.`);
    restore(unsent.item, asList(unsent.body.value));
    return;
  }
  if (!(await outbox.idle())) {
    complain(new Refusal(0, "Nothing was undone: the server has to answer first."));
    return;
  }
  let reply;
  try {
    reply = await wire.send("/api/undo", { newest: figures.newest });
  } catch (refusal) {
    figures.heard(refusal.figures, outbox.acts);
    complain(new Refusal(refusal.status, `Undo: ${refusal.message}`));
    return;
  }
  complain(null);
  figures.heard(reply.figures, outbox.acts);
  sayUndone(reply.said);
  if (reply.item) restore(reply.item, asList(reply.was));
  else if (shown === null) fill(); // many may wait again
}

// What was done before ---------------------------------------------------------------------------------------------

function showDone() {
  if (!waiting) done.open(outbox.idle()); // what is on its way is listed too, where it can be delivered
}

/** Show something again. What was on the screen comes after it. */
function showAgain(item, was) {
  ahead = ahead.filter((other) => other.instead === undefined);
  restore(item, asList(was));
}

/** Take back one act of before. Throws a Refusal. */
async function takeBack(act) {
  let reply;
  try {
    reply = await wire.send("/api/undo", { act });
  } catch (refusal) {
    if (refusal.figures) figures.heard(refusal.figures, outbox.acts);
    throw refusal;
  }
  figures.heard(reply.figures, outbox.acts);
  sayUndone(reply.said);
  if (reply.item) showAgain(reply.item, reply.was);
}

// Trouble ---------------------------------------------------------------------------------------------------------

function trouble(refusal) {
  showTrouble(refusal, outbox.size);
  if (shown === null) finish();
}

function tryAgain() {
  outbox.tryNow();
  next();
}

window.addEventListener("beforeunload", (event) => {
  if (outbox.size > 0) event.preventDefault(); // answers that are not saved yet would be lost
});

window.addEventListener("pagehide", () => wire.letGo(ahead.map((item) => item.id)));

setInterval(() => {
  if (shown !== null && document.visibilityState === "visible") fill(); // what is here stays this person's
}, RENEW_MS);

// Keys and buttons ------------------------------------------------------------------------------------------------

const shortcuts = {
  s: skip,
  x: flag,
  b: showDone,
  c: () => finding.clear(),
  a: () => bulk.open(),
  [$("filter") ? "F" : "/"]: () => finding.open(),
  u: undo,
  f: () => card.toggle(),
  h: () => words.toggle(),
  g: () => $("guide")?.toggleAttribute("open"),
  "?": () => $("keys").showModal(),
  r: () => !$("again").hidden && !$("finished").hidden && goThroughSkipped(),
};

new Keys(
  { shortcuts, accept, undo, hasItem: () => shown !== null, savesWithControl: settings.widget !== "choice" },
  answer,
  line,
);
for (const [id, does] of Object.entries({
  accept,
  skip,
  flag,
  "open-done": showDone,
  "open-find": () => finding.open(),
  "finished-clear": () => finding.clear(),
  undo: () => line.stand(undo),
  "finished-undo": () => line.stand(undo),
  again: goThroughSkipped,
  help: shortcuts["?"],
  retry: tryAgain,
})) {
  // while an undo is on its way another item is about to come
  $(id).addEventListener("click", () => (line.isBusy && [accept, skip, flag, showDone].includes(does) ? undefined : does()));
}
if (window.matchMedia("(max-width: 72rem)").matches) $("guide")?.removeAttribute("open");

fill();
