// Keyboard shortcuts, declared where they act: `data-key="g q"` on the link that they press.

import { all, element, onContent, pageJson, text } from "./page";

interface Shortcut {
  keys: string;
  label: string;
  act: (event: KeyboardEvent) => boolean;
}

const WAIT = 1000;
const HELP = '[data-shortcuts-help], [data-key-do="help"]';
const MODIFIERS = new Set(["Shift", "Control", "Alt", "Meta", "AltGraph", "CapsLock"]);
const codes: Record<string, string> = {
  Slash: "/",
  Period: ".",
  Comma: ",",
  Semicolon: ";",
  Quote: "'",
  BracketLeft: "[",
  BracketRight: "]",
  Minus: "-",
  Equal: "=",
};

const added: Shortcut[] = [];
let typed: { candidates: string[]; at: number } = { candidates: [], at: 0 };
let map: Record<string, string> | undefined;

/** The keys that a user pressed for what the page declares, as remapped in `#key-map`. */
export function mappedKeys(declared: string): string {
  map ??= pageJson<Record<string, string>>("key-map", {});
  return map[declared] ?? declared;
}

/** Add a shortcut that no element stands for. */
export function addShortcut(
  keys: string,
  label: string,
  act: (event: KeyboardEvent) => boolean,
): void {
  added.push({ keys, label, act });
}

function isTyping(event: KeyboardEvent): boolean {
  const target = event.composedPath()[0];
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || target instanceof HTMLTextAreaElement) return true;
  if (target instanceof HTMLSelectElement) return true;
  return (
    target instanceof HTMLInputElement &&
    !["checkbox", "radio", "button", "submit", "reset", "range", "file"].includes(target.type)
  );
}

/** What was pressed: by its sign, and by its place, for keyboards that are set to Hebrew. */
function pressed(event: KeyboardEvent): string[] {
  const signs = [event.key === " " ? "Space" : event.key];
  const letter = /^Key([A-Z])$/.exec(event.code)?.[1];
  const placed = letter
    ? event.shiftKey
      ? letter
      : letter.toLowerCase()
    : event.shiftKey && event.code === "Slash"
      ? "?"
      : codes[event.code];
  const latin = /^[a-z]$/i.test(event.key);
  if (placed && !latin && placed !== event.key) signs.push(placed);
  return signs;
}

function scope(): ParentNode {
  const open = all<HTMLDialogElement>("dialog[open]").filter((dialog) => dialog.matches(":modal"));
  return open.at(-1) ?? document;
}

function isUsable(target: HTMLElement): boolean {
  return (
    target.checkVisibility({ visibilityProperty: true }) &&
    !target.matches(":disabled, [aria-disabled='true']")
  );
}

function declaredShortcuts(root: ParentNode): Shortcut[] {
  return all("[data-key]", root)
    .filter(isUsable)
    .map((target) => ({
      keys: mappedKeys(target.dataset.key ?? ""),
      label: target.dataset.keyLabel ?? target.getAttribute("aria-label") ?? ownText(target),
      act: () => {
        if (target.dataset.keyDo === "focus") {
          target.focus();
          if (target instanceof HTMLInputElement) target.select();
        } else {
          target.click();
          // What is asked for next: the reason of a verdict.
          const next = target.dataset.keyThen;
          const field = next ? target.closest("form")?.querySelector<HTMLElement>(next) : null;
          field?.focus();
          if (field instanceof HTMLInputElement) field.select();
        }
        return true;
      },
    }));
}

function ownText(target: HTMLElement): string {
  const copy = target.cloneNode(true) as HTMLElement;
  all(".kbd, .count, .sr-only", copy).forEach((part) => part.remove());
  return copy.textContent?.trim().replace(/\s+/g, " ") ?? "";
}

function currentShortcuts(): Shortcut[] {
  const root = scope();
  const shared = root === document ? added.map((one) => ({ ...one, keys: mappedKeys(one.keys) })) : [];
  return [...declaredShortcuts(root), ...shared];
}

function onKey(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.altKey || event.isComposing) return;
  if (MODIFIERS.has(event.key) || document.documentElement.dataset.keys === "off") return;
  // With Ctrl or Command a key is no text, so `mod+enter` works where something is written too.
  const withModifier = event.ctrlKey || event.metaKey;
  if (!withModifier && isTyping(event)) return;
  const before = event.timeStamp - typed.at < WAIT ? typed.candidates : [];
  const signs = withModifier ? [`mod+${event.key.toLowerCase()}`] : pressed(event);
  const sequences = before.flatMap((start) => signs.map((sign) => `${start} ${sign}`));
  const shortcuts = currentShortcuts();
  for (const keys of [...sequences, ...signs]) {
    for (const shortcut of shortcuts) {
      if (shortcut.keys === keys && shortcut.act(event)) {
        typed = { candidates: [], at: 0 };
        event.preventDefault();
        return;
      }
    }
  }
  const starts = [...sequences, ...signs].filter((keys) =>
    shortcuts.some((shortcut) => shortcut.keys.startsWith(`${keys} `)),
  );
  typed = { candidates: starts, at: event.timeStamp };
}

const names: Record<string, string> = {
  ArrowDown: "↓",
  ArrowUp: "↑",
  ArrowLeft: "←",
  ArrowRight: "→",
  Enter: "↵",
  Escape: "Esc",
  enter: "↵",
  mod: /Mac|iPhone|iPad/.test(navigator.userAgent) ? "⌘" : "Ctrl",
};

/** Keys as they are printed on a keyboard, one part a key of a sequence. */
function keyNames(keys: string): HTMLElement[] {
  return keys
    .split(/[ +](?=.)/)
    .map((key) => element("kbd", "kbd", names[key] ?? key));
}

function showShortcuts(): boolean {
  const dialog = element("dialog", "dialog-wide");
  dialog.setAttribute("aria-labelledby", "shortcuts-title");
  const head = element("header");
  const title = element("h2", "", text("shortcuts"));
  title.id = "shortcuts-title";
  const close = element("button", "button button-quiet button-small", text("close"));
  close.type = "button";
  close.dataset.close = "";
  head.append(title, close);
  const body = element("div", "dialog-body");
  const list = element("dl", "shortcuts");
  const seen = new Set<string>();
  for (const { keys, label } of currentShortcuts()) {
    if (!label || seen.has(keys)) continue;
    seen.add(keys);
    const row = element("div");
    const description = element("dd");
    description.append(...keyNames(keys));
    row.append(element("dt", "", label), description);
    list.append(row);
  }
  body.append(seen.size ? list : element("p", "muted", text("no_shortcuts")));
  dialog.append(head, body);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return true;
}

/** Listen to keys, and say on each element which of them presses it. */
export function setUpShortcuts(): void {
  addShortcut("?", text("show_shortcuts"), showShortcuts);
  document.addEventListener("keydown", onKey);
  document.addEventListener("click", (event) => {
    if (event.target instanceof Element && event.target.closest(HELP)) {
      showShortcuts();
    }
  });
  onContent((root) => {
    if (document.documentElement.dataset.keys === "off") return;
    for (const target of all("[data-key]", root)) {
      const keys = mappedKeys(target.dataset.key ?? "");
      if (!/[ +]./.test(keys)) target.setAttribute("aria-keyshortcuts", keys);
      const hint = target.querySelector(".kbd:not([data-kbd])");
      if (hint) hint.textContent = keyNames(keys).map((part) => part.textContent).join(" ");
    }
    for (const hint of all("[data-kbd]", root)) hint.textContent = mappedKeys(hint.dataset.kbd ?? "");
  });
}
