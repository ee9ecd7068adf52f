// The palette: a few letters lead to a page, an account, a case, an operator or a rule. What is typed
// is sent in a form, never in an address.

import { all, closest, csrfToken, element, text } from "./page";

interface Place {
  kind: string;
  label: string;
  detail: string;
  url: string;
}

const WAIT = 120;

class Palette {
  private readonly dialog = element("dialog", "palette");
  private readonly field = element("input");
  private readonly list = element("ul", "palette-list");
  private asked = 0;
  private timer = 0;

  constructor(private readonly url: string) {
    this.dialog.setAttribute("aria-label", text("palette"));
    this.field.type = "search";
    this.field.maxLength = 128;
    this.field.placeholder = text("palette_hint");
    this.list.id = "palette-list";
    this.list.setAttribute("role", "listbox");
    this.list.setAttribute("aria-label", text("palette"));
    for (const [name, value] of [
      ["role", "combobox"],
      ["aria-label", text("palette_hint")],
      ["aria-controls", this.list.id],
      ["aria-expanded", "true"],
      ["aria-autocomplete", "list"],
      ["autocomplete", "off"],
    ] as const) {
      this.field.setAttribute(name, value);
    }
    this.dialog.append(this.field, this.list);
    this.dialog.addEventListener("close", () => this.dialog.remove());
    this.field.addEventListener("input", () => {
      window.clearTimeout(this.timer);
      this.timer = window.setTimeout(() => void this.ask(), WAIT);
    });
    this.field.addEventListener("keydown", (event) => this.onKey(event));
    document.body.append(this.dialog);
    this.dialog.showModal();
    this.field.focus();
    void this.ask();
  }

  private async ask(): Promise<void> {
    const number = ++this.asked;
    const response = await fetch(this.url, {
      method: "POST",
      credentials: "same-origin",
      headers: { "X-CSRFToken": csrfToken(), Accept: "application/json" },
      body: new URLSearchParams({ q: this.field.value }),
    }).catch(() => undefined);
    if (!response?.ok || number !== this.asked) return;
    this.show(((await response.json()) as { places: Place[] }).places);
  }

  private show(places: Place[]): void {
    const rows = places.map((place, index) => {
      const row = element("li", "palette-row");
      row.id = `palette-${index}`;
      row.setAttribute("role", "option");
      row.dataset.url = place.url;
      row.append(element("span", "badge", place.kind), element("span", "mono", place.label));
      if (place.detail) row.append(element("span", "muted small truncate", place.detail));
      row.addEventListener("click", () => this.go(row));
      return row;
    });
    const none = element("li", "muted", text("palette_none"));
    none.setAttribute("role", "option");
    none.setAttribute("aria-disabled", "true");
    this.list.replaceChildren(...(rows.length ? rows : [none]));
    this.choose(rows[0]);
  }

  private rows(): HTMLElement[] {
    return all("[data-url]", this.list);
  }

  private choose(row: HTMLElement | undefined): void {
    for (const other of this.rows()) other.setAttribute("aria-selected", String(other === row));
    if (row) this.field.setAttribute("aria-activedescendant", row.id);
    else this.field.removeAttribute("aria-activedescendant");
    row?.scrollIntoView({ block: "nearest" });
  }

  private go(row: HTMLElement | undefined): void {
    if (row?.dataset.url?.startsWith("/")) window.location.assign(row.dataset.url);
  }

  private onKey(event: KeyboardEvent): void {
    const rows = this.rows();
    const at = rows.findIndex((row) => row.getAttribute("aria-selected") === "true");
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step) this.choose(rows[Math.min(rows.length - 1, Math.max(0, at + step))]);
    else if (event.key === "Enter" && !event.isComposing) this.go(rows[at]);
    else return;
    event.preventDefault();
  }
}

/** Open the palette by its button, which Ctrl-K presses. */
export function setUpPalette(): void {
  document.addEventListener("click", (event) => {
    const button = closest(event, "[data-palette]");
    if (button && !document.querySelector("dialog.palette")) new Palette(button.dataset.palette ?? "");
  });
}
