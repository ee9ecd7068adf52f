// What every module needs of the page: its content as it comes, its texts, its token, its colours.

/** Call back for the page once it is there, and for each part that htmx puts into it later. */
export function onContent(callback: (root: ParentNode) => void): void {
  const start = (): void => callback(document);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
  document.addEventListener("htmx:load", (event) => {
    if (event.target instanceof Element && event.target !== document.body) {
      callback(event.target.parentNode ?? document);
    }
  });
}

/** The elements below a root that match, or all of the page where the root is gone. */
export function all<T extends Element = HTMLElement>(
  selector: string,
  root: ParentNode = document,
): T[] {
  return Array.from(root.querySelectorAll<T>(selector));
}

/** The closest element around an event's target that matches. */
export function closest<T extends Element = HTMLElement>(event: Event, selector: string): T | null {
  return event.target instanceof Element ? event.target.closest<T>(selector) : null;
}

/** What a `<script type="application/json" id="...">` of the page holds. */
export function pageJson<T>(id: string, missing: T): T {
  const text = document.getElementById(id)?.textContent;
  if (!text) return missing;
  try {
    return JSON.parse(text) as T;
  } catch {
    return missing;
  }
}

const english = {
  close: "Close",
  copied: "Copied",
  cannot_copy: "Copying is not allowed here",
  time: "Time",
  no_data: "Nothing to show for this period",
  load_failed: "Could not be loaded. Reload the page to try again.",
  request_failed: "The server did not accept that. Nothing was changed.",
  session_ended: "Your session has ended. Sign in again; this page keeps what you wrote.",
  offline: "The server cannot be reached. Nothing was changed.",
  shortcuts: "Keyboard shortcuts",
  no_shortcuts: "This page has no shortcuts.",
  next_row: "Next row",
  previous_row: "Previous row",
  open_row: "Open row",
  select_row: "Select row",
  show_shortcuts: "Show shortcuts",
  proofs_hold: "Checked by your browser: every entry leads to the root of the checkpoint.",
  proofs_fail: "An entry does not lead to the root of the checkpoint: it is not what was sealed.",
  proofs_cannot: "This browser checks nothing here: open the page over HTTPS, or run the command below.",
  zoom_in: "Zoom in",
  zoom_out: "Zoom out",
  zoom_reset: "Whole graph",
};
let texts: Partial<Record<keyof typeof english, string>> | undefined;

/** A text of the interface: as the page gives it in `#ui-text`, otherwise English. */
export function text(key: keyof typeof english): string {
  texts ??= pageJson<Partial<Record<keyof typeof english, string>>>("ui-text", {});
  return texts[key] ?? english[key];
}

/** The token that Django wants on every request that changes something. */
export function csrfToken(): string {
  return document.querySelector<HTMLMetaElement>('meta[name="csrf-token"]')?.content ?? "";
}

/** The page's language, for figures and dates. */
export function language(): string {
  return document.documentElement.lang || "en";
}

/** Make an element: its class and its text. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className = "",
  content = "",
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (content) made.textContent = content;
  return made;
}

/** JSON from an address of the same site. */
export async function fetchJson<T>(url: string): Promise<T> {
  const response = await fetch(url, {
    headers: { Accept: "application/json" },
    credentials: "same-origin",
  });
  if (!response.ok) throw new Error(`${response.status}`);
  return (await response.json()) as T;
}

let probe: HTMLElement | undefined;

/** A token of the design as a colour that a canvas takes, in the theme that is shown. */
export function tokenColor(name: string): string {
  if (!probe?.isConnected) {
    probe = element("span");
    probe.hidden = true;
    document.body.append(probe);
  }
  probe.style.color = name.startsWith("--") ? `var(${name})` : `var(--${name})`;
  return getComputedStyle(probe).color;
}

/** Call back whenever another theme is shown, as on paper. */
export function onTheme(callback: () => void): void {
  document.addEventListener("themechange", callback);
  matchMedia("print").addEventListener("change", callback);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", callback);
}
