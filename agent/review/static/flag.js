// A flag: the text is put off, with a note to whoever leads.

const $ = (id) => document.getElementById(id);

export class Flagging {
  /** `save(note)` keeps it. */
  constructor(save) {
    this.save = save;
    this.dialog = $("flagging");
    this.note = $("note");
    this.note.addEventListener("input", () => this.allow());
    this.note.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.isComposing) this.done();
    });
    $("flag-save").addEventListener("click", () => this.done());
    $("flag-cancel").addEventListener("click", () => this.dialog.close());
  }

  open() {
    this.note.value = "";
    this.allow();
    this.dialog.showModal();
    this.note.focus();
  }

  allow() {
    $("flag-save").disabled = !this.note.value.trim();
  }

  done() {
    if (!this.note.value.trim()) return;
    this.dialog.close();
    this.save(this.note.value.trim());
  }
}
