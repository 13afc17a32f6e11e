// All that fits the filter is accepted at once, after a sample of it was checked one by one: the dialog that says what
// it takes, what was found, and what may be done now.

const $ = (id) => document.getElementById(id);
const count = (number) => number.toLocaleString("en");
const texts = (number) => `${count(number)} text${number === 1 ? "" : "s"}`;
/** In percent with one decimal, never rounded to less. */
const percent = (share) => `${Math.ceil(1000 * share - 1e-9) / 10}\u00a0%`;

export class Bulk {
  /** `page` has ready(), which resolves to whether all answers were delivered, and accepted(count, figures). */
  constructor(wire, finding, page) {
    Object.assign(this, { wire, finding, page });
    this.dialog = $("bulk");
    this.does = null; // what Enter and the first button do
    this.told = null; // the check that was told of last
    $("accept-all").addEventListener("click", () => this.open());
    $("bulk-do").addEventListener("click", () => this.does?.());
    $("bulk-close").addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.repeat || event.isComposing || event.target.closest("button")) return;
      event.preventDefault();
      this.does?.();
    });
  }

  get checking() {
    return this.finding.only.bulk;
  }

  /** `a`: what it would take to accept what matches, or where the check is. */
  async open() {
    if (!this.finding.isOn || this.dialog.open) return;
    this.show("Accept all that match", ["One moment."]);
    const { checking } = this;
    await this.ask(async () => {
      if (!(await this.page.ready())) throw new Error("The server has to answer first.");
      const found = checking === undefined ? await this.wire.bulk(this.finding.only) : await this.wire.bulkCheck(checking);
      if (found.bulk === undefined) this.propose(found);
      else if (checking === undefined && found.left > 0) this.goOn(found);
      else this.say(found);
    });
  }

  /** Nothing of the sample is left to show: say what was found, once. */
  async finished() {
    if (this.dialog.open || this.told === this.checking) return;
    this.told = this.checking;
    await this.open();
  }

  propose({ population, sample, limit, alpha }) {
    const shown = `If none is wrong, that shows with ${percent(1 - alpha)} confidence that fewer than ${percent(limit)} of all are.`;
    const others = sample < population ? "the rest can then be accepted at once" : "too few for less: nothing is left to accept";
    const first = `First check ${count(sample)} of them, drawn by chance, one by one as usual; ${others}.`;
    const said = [`${texts(population)} that match can be accepted as the machine labelled them.`, first, shown];
    this.show("Accept all that match", said, `Check ${count(sample)}`, () => this.begin());
  }

  goOn(found) {
    const said = [`You began to check this: ${count(found.left)} of ${count(found.sample)} are left.`];
    this.show("Accept all that match", said, "Go on", () => this.enter(found));
  }

  /** What the check says so far, and what may be done now. */
  say(found) {
    const { population, sample, left, limit, rest, more } = found;
    const wrong = found.wrong + found.skipped;
    if (left > 0) {
      this.show("The check is not over", [`${count(left)} of ${count(sample)} are left, before you or before others.`]);
      return;
    }
    const skipped = found.skipped > 0 ? `, the ${count(found.skipped)} that were put off counted` : "";
    const most = `at most ${percent(found.at_most)} of these ${count(population)} are, with ${percent(1 - found.alpha)} confidence.`;
    const said = [`${count(wrong)} of ${count(sample)} wrong${skipped}: ${most}`];
    if (found.accepted !== null) {
      this.show("Accepted", [...said, `${texts(found.accepted)} were accepted. Undo takes that back.`]);
    } else if (found.verdict === "accept" && rest > 0) {
      said.push(`The other ${count(rest)} were not looked at. They keep the machine's label, accepted by you.`);
      this.show("The check is passed", said, `Accept the other ${count(rest)}`, () => this.accept(found));
    } else if (found.verdict === "accept") {
      this.show("The check is passed", [...said, "Nothing is left to accept."]);
    } else if (found.verdict === "reject") {
      said.push(`More than ${percent(limit)} are wrong, so nothing is accepted. A narrower filter may do, or label on.`);
      this.show("The check is not passed", said);
    } else if (more > 0 && rest > 0) {
      said.push(`${percent(limit)} is not ruled out yet. ${count(more)} more would do, if all of them are right.`);
      this.show("Not sure yet", said, `Check ${count(more)} more`, () => this.more(found));
    } else {
      this.show("The check is not passed", [...said, "Nothing more can be drawn that would decide it."]);
    }
  }

  begin() {
    return this.ask(async () => this.enter(await this.wire.send("/api/bulk", { only: this.finding.only })));
  }

  more({ bulk }) {
    return this.ask(async () => this.enter(await this.wire.send("/api/bulk/more", { bulk })));
  }

  /** Have the page show what is to be checked. */
  enter(found) {
    this.dialog.close();
    this.told = null;
    const asked = Object.keys(found.asked).length > 0 && this.checking === undefined ? this.finding.only : null;
    this.finding.check(found, asked);
  }

  accept({ bulk }) {
    return this.ask(async () => {
      const done = await this.wire.send("/api/bulk/accept", { bulk, seconds: 0 }, ACCEPT_MS);
      this.dialog.close();
      this.page.accepted(done.accepted, done.figures);
    });
  }

  /** Ask the server for something; its refusal is said in the dialog. */
  async ask(what) {
    this.does = null;
    $("bulk-do").disabled = true;
    try {
      await what();
    } catch (refusal) {
      $("bulk-do").hidden = true;
      $("bulk-words").replaceChildren();
      $("bulk-problem").hidden = false;
      $("bulk-problem").textContent = refusal.message;
    }
  }

  show(title, words, button = "", does = null) {
    this.does = does;
    $("bulk-title").textContent = title;
    $("bulk-words").replaceChildren(
      ...words.map((said) => Object.assign(document.createElement("p"), { textContent: said })),
    );
    $("bulk-problem").hidden = true;
    $("bulk-do").hidden = !button;
    $("bulk-do").disabled = false;
    $("bulk-do-words").textContent = button;
    if (!this.dialog.open) this.dialog.showModal();
    $("bulk-title").focus();
  }
}

const ACCEPT_MS = 120_000; // of 50,000 texts
