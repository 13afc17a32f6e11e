// The answer of a task that is neither one choice nor several: a field for JSON, checked by the task on the server.

export class Entry {
  constructor() {
    this.field = document.getElementById("entry");
  }

  show(item, was = null) {
    this.field.value = was?.[0] ?? item.suggestion?.shown ?? "";
  }

  value() {
    return this.field.value;
  }

  /** A key pressed outside of any field. True where it was ours. */
  key(event) {
    if (event.key !== "e") return false;
    this.field.focus();
    return true;
  }
}
