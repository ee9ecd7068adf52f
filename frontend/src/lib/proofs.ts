// Checks in the browser that sealed entries lead to the root of the signed checkpoint (RFC 9162,
// section 2.1.3.2), with the browser's own SHA-256.

import { all, onContent, pageJson, text } from "./page";

interface Entry {
  position: number;
  line: string;
  path: string[];
}
interface Proofs {
  checkpoint: string;
  entries: Entry[];
}

function bytes(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

async function digest(prefix: number, ...parts: Uint8Array[]): Promise<Uint8Array> {
  const joined = new Uint8Array(1 + parts.reduce((sum, part) => sum + part.length, 0));
  joined[0] = prefix;
  let at = 1;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return new Uint8Array(await crypto.subtle.digest("SHA-256", joined));
}

/** The root to which an entry's path leads in a tree of a size; undefined for a wrong path. */
async function rootOf(entry: Entry, size: number): Promise<Uint8Array | undefined> {
  let node = entry.position;
  let last = size - 1;
  if (!(node >= 0 && node <= last)) return undefined;
  let root = await digest(0, new TextEncoder().encode(entry.line));
  for (const each of entry.path.map(bytes)) {
    if (last === 0) return undefined;
    if (node % 2 === 1 || node === last) {
      root = await digest(1, each, root);
      while (node % 2 === 0 && node !== 0) {
        node = Math.floor(node / 2);
        last = Math.floor(last / 2);
      }
    } else {
      root = await digest(1, root, each);
    }
    node = Math.floor(node / 2);
    last = Math.floor(last / 2);
  }
  return last === 0 ? root : undefined;
}

function same(one: Uint8Array | undefined, other: Uint8Array): boolean {
  return one?.length === other.length && one.every((value, at) => value === other[at]);
}

async function check(place: HTMLElement): Promise<void> {
  const { checkpoint, entries } = pageJson<Proofs>("proofs", { checkpoint: "", entries: [] });
  const said = place.querySelector<HTMLElement>("[data-proofs-said]");
  const [, size = "0", root = ""] = checkpoint.split("\n");
  if (!said) return;
  if (!globalThis.crypto?.subtle) {
    said.textContent = text("proofs_cannot");
    return;
  }
  let held = 0;
  for (const entry of entries) {
    const holds = same(await rootOf(entry, Number(size)), bytes(root));
    const cell = place.querySelector(`[data-position="${entry.position}"] [data-proof]`);
    if (cell) cell.textContent = holds ? "✓" : "✗";
    if (holds) held += 1;
  }
  const whole = held === entries.length && String(held) === place.dataset.proofs;
  said.textContent = text(whole ? "proofs_hold" : "proofs_fail");
  said.classList.toggle("tone-bad", !whole);
}

export function setUpProofs(): void {
  onContent((root) => {
    for (const place of all("[data-proofs]", root)) void check(place);
  });
}
