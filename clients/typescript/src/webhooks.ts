import { SettingsError, WebhookError } from "./errors.js";
import { type Members, readObject } from "./event_base.js";

const PREFIX = "whsec_";
const LONGEST_HEADER = 4096;
const MOST_SIGNATURES = 16;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/**
 * Remembers the ids of messages for as long as their timestamps are taken; bounded. A receiver
 * with several processes keeps the ids where all of them see them.
 */
export class ReplayWindow {
  #ids = new Map<string, number>();

  constructor(private readonly most = 100_000) {}

  /** Whether a message is seen for the first time; remembers it. */
  first(messageId: string, untilS: number, nowS: number): boolean {
    for (const [id, until] of this.#ids) {
      if (this.#ids.size <= this.most && until >= nowS) {
        break;
      }
      this.#ids.delete(id);
    }
    if ((this.#ids.get(messageId) ?? -1) >= nowS) {
      return false;
    }
    this.#ids.delete(messageId);
    this.#ids.set(messageId, untilS);
    return true;
  }

  /** Takes a message that could not be handled anew when it is sent again. */
  forget(messageId: string): void {
    this.#ids.delete(messageId);
  }
}

const SEEN = new ReplayWindow();

/** What else `verifyWebhook` can be given. */
export interface VerifyOptions {
  /** How far the timestamp may be from this machine's time, in seconds from 0 up. */
  toleranceS?: number;
  /** The window that refuses a message seen before; null: the caller does that. */
  seen?: ReplayWindow | null;
  /** Unix seconds. */
  clock?: () => number;
}

/**
 * Verifies a webhook message after Standard Webhooks, and returns its body. During a rotation give
 * both secrets. `body` is the request's body byte by byte, or its text. Throws a WebhookError where
 * the message is not to be trusted: answer 400; for its cause `replayed` answer 200.
 */
export async function verifyWebhook(
  secrets: string | readonly string[],
  headers: Headers | Readonly<Record<string, string | string[] | undefined>>,
  body: string | Uint8Array,
  options: VerifyOptions = {},
): Promise<Members> {
  const { toleranceS = 300, seen = SEEN, clock = () => Date.now() / 1000 } = options;
  const keys = (typeof secrets === "string" ? [secrets] : secrets).map(readKey);
  if (!keys.length) {
    throw new SettingsError("no webhook secret is given", "pass the webhook's secret");
  }
  // NaN would let every timestamp pass.
  if (!Number.isFinite(toleranceS) || toleranceS < 0) {
    const what = `toleranceS is no number of seconds: ${String(toleranceS)}`;
    throw new SettingsError(what, "give 300, or leave it out");
  }
  const { messageId, stamp, signatures } = readHeaders(headers);
  const atS = Number(stamp);
  const nowS = clock();
  if (Math.abs(nowS - atS) > toleranceS) {
    const fix = "synchronise the clocks";
    throw new WebhookError("timestamp", "the message is too old, or ahead of time", fix);
  }
  const content = typeof body === "string" ? new TextEncoder().encode(body) : body;
  const head = new TextEncoder().encode(`${messageId}.${stamp}.`);
  const signed = new Uint8Array(head.length + content.length);
  signed.set(head);
  signed.set(content, head.length);
  if (!(await anyFits(keys, signatures, signed))) {
    throw new WebhookError("signature", "no signature fits", "see which secret is configured");
  }
  const members = readObject(new TextDecoder().decode(content));
  if (!members) {
    throw new WebhookError("body", "the body is no JSON object");
  }
  if (seen && !seen.first(messageId, atS + toleranceS, nowS)) {
    throw new WebhookError("replayed", "the message was seen before", "answer 200");
  }
  return members;
}

/** Compares every pair, in constant time, so that the time says nothing about which one fits. */
async function anyFits(
  keys: Uint8Array<ArrayBuffer>[],
  signatures: Uint8Array<ArrayBuffer>[],
  signed: Uint8Array<ArrayBuffer>,
): Promise<boolean> {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const imported = await Promise.all(
    keys.map((key) => crypto.subtle.importKey("raw", key, algorithm, false, ["verify"])),
  );
  const fits = await Promise.all(
    imported.flatMap((key) =>
      signatures.map((signature) => crypto.subtle.verify("HMAC", key, signature, signed)),
    ),
  );
  return fits.includes(true);
}

function decode(text: string): Uint8Array<ArrayBuffer> | null {
  return BASE64.test(text) ? Uint8Array.from(atob(text), (each) => each.charCodeAt(0)) : null;
}

function readKey(secret: string): Uint8Array<ArrayBuffer> {
  const key = decode(secret.startsWith(PREFIX) ? secret.slice(PREFIX.length) : secret);
  if (!key || key.length < 16) {
    throw new SettingsError("a webhook secret is not readable", "give it whole: whsec_…");
  }
  return key;
}

function readHeaders(given: Headers | Readonly<Record<string, string | string[] | undefined>>): {
  messageId: string;
  stamp: string;
  signatures: Uint8Array<ArrayBuffer>[];
} {
  const found = new Map<string, string>();
  const entries = given instanceof Headers ? [...given.entries()] : Object.entries(given);
  for (const [name, value] of entries) {
    const lower = name.toLowerCase();
    if (!lower.startsWith("webhook-") || value === undefined) {
      continue;
    }
    if (found.has(lower) || typeof value !== "string") {
      throw new WebhookError("headers", "a header is there twice");
    }
    found.set(lower, value);
  }
  const [messageId = "", stamp = "", signature = ""] = [
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
  ].map((name) => found.get(name));
  if (!messageId || !stamp || !signature) {
    throw new WebhookError("headers", "webhook-id, -timestamp or -signature is missing");
  }
  if (Math.max(messageId.length, stamp.length, signature.length) > LONGEST_HEADER) {
    throw new WebhookError("headers", "a header is too long");
  }
  if (!/^[\x20-\x7e]+$/.test(messageId) || messageId.includes(".")) {
    throw new WebhookError("headers", "webhook-id is not readable");
  }
  if (!/^[0-9]{1,12}$/.test(stamp)) {
    throw new WebhookError("timestamp", "webhook-timestamp is no number of seconds");
  }
  const signatures = signature
    .split(/\s+/)
    .slice(0, MOST_SIGNATURES)
    .filter((part) => part.startsWith("v1,"))
    .map((part) => decode(part.slice(3)))
    .filter((each) => each !== null);
  return { messageId, stamp, signatures };
}
