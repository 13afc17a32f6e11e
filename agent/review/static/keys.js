// Which key does what, and what waits for what.

/** Undo asks the server first. What is pressed meanwhile is meant for the item that comes back: it stands in line. */
export class Line {
  constructor() {
    this.last = Promise.resolve();
    this.length = 0;
  }

  get isBusy() {
    return this.length > 0;
  }

  stand(does) {
    this.length += 1;
    this.last = this.last
      .then(does)
      .catch(reportError)
      .finally(() => {
        this.length -= 1;
      });
  }
}

const isInDialog = () => document.querySelector("dialog[open]") !== null;

export class Keys {
  /** `page` has shortcuts (by key), accept(), undo(), hasItem() and whether Ctrl-Enter saves. */
  constructor(page, answer, line) {
    Object.assign(this, { page, answer, line });
    this.help = document.getElementById("keys");
    document.addEventListener("keydown", (event) => this.hear(event));
  }

  hear(event) {
    if (event.isComposing) return;
    const field = event.target.closest?.("input, textarea");
    if (isInDialog()) {
      if (event.key === "?" && this.help.open) this.help.close();
    } else if (event.ctrlKey || event.metaKey) {
      this.withControl(event, field);
    } else if (event.altKey) {
      // the browser's own
    } else if (field) {
      this.inField(event, field);
    } else if ((event.key === "Enter" || event.key === " ") && event.target.closest?.("button, a, summary")) {
      // presses what has the focus
    } else if (event.key === "u" || this.line.isBusy) {
      event.preventDefault();
      this.line.stand(() => isInDialog() || this.plain(event));
    } else if (this.plain(event)) {
      event.preventDefault();
    }
  }

  /** A key outside of any field. True, or a promise, where it was ours. */
  plain(event) {
    const shortcut = this.page.shortcuts[event.key];
    if (shortcut) return event.repeat && event.key !== "u" ? true : (shortcut() ?? true);
    if (!this.page.hasItem()) return false;
    if (event.key !== "Enter") return this.answer.key(event);
    if (!event.repeat) this.page.accept();
    return true;
  }

  withControl(event, field) {
    if (event.key.toLowerCase() === "z" && !event.shiftKey && !event.altKey && !field?.value) {
      event.preventDefault();
      this.line.stand(this.page.undo);
    } else if (event.key === "Enter" && this.page.savesWithControl && !this.line.isBusy) {
      event.preventDefault();
      if (!event.repeat) this.page.accept();
    }
  }

  inField(event, field) {
    if (field === this.answer.filter) {
      if (this.line.isBusy || this.answer.filterKey(event)) event.preventDefault();
    } else if (this.answer.owns?.(field)) {
      if (this.line.isBusy || this.answer.fieldKey(event, field)) event.preventDefault();
    } else if (event.key === "Escape") {
      document.getElementById("reading").focus({ preventScroll: true });
    }
  }
}
