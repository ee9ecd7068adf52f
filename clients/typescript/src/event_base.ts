import { ContentError, EventError, NEVER, UnknownFieldError } from "./errors.js";
import { type Event, RULES } from "./events.js";

/** The limits of one field. */
export interface Rule {
  kind: "text" | "integer" | "flag" | "choice" | "time";
  required?: boolean;
  low?: number;
  high?: number;
  pattern?: string;
  values?: readonly string[];
}

/** The limits of one type. */
export interface TypeRules {
  fields: Readonly<Record<string, Rule>>;
  exactlyOne?: readonly string[];
  alternatives?: readonly Readonly<Record<string, readonly unknown[]>>[];
}

/** A JSON object. */
export type Members = Readonly<Record<string, unknown>>;

const CONTENT = new Set(
  `body text content contents caption captions url urls uri href link links file files filename
  filenames filepath attachment attachments subject title payload html markdown plaintext fulltext
  bodytext textbody messagebody messagetext messagecontent messages quote snippet preview transcript
  msg raw`.split(/\s+/),
);
const WORD = /[A-Z]?[a-z]+|[A-Z]+(?![a-z])/g;
const RFC_3339 =
  /^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$/;
const ENCODER = new TextEncoder();

/** Whether a field's name says that it would carry message content. */
export function isContent(name: string): boolean {
  return [name, ...(name.match(WORD) ?? [])].some((word) => CONTENT.has(word.toLowerCase()));
}

/** Bytes of a text in UTF-8. */
export function byteLength(text: string): number {
  return ENCODER.encode(text).length;
}

/**
 * Returns the event that an object describes, checked and frozen; absent and null fields are left
 * out. Throws an EventError that names the field and the limit, never the value.
 */
export function buildEvent(given: Event | Members): Event {
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw new EventError("an event is no object", "", "give one with a type and an account");
  }
  const fields = given as Members;
  const type = fields["type"];
  const rules = typeof type === "string" && Object.hasOwn(RULES, type) ? RULES[type] : undefined;
  if (!rules) {
    throw new EventError("no such type", "type", `use one of ${Object.keys(RULES).join(", ")}`);
  }
  checkNames(String(type), rules, fields);
  const built: Record<string, unknown> = { type };
  for (const [name, rule] of Object.entries(rules.fields)) {
    const value = fields[name] ?? null;
    if (value !== null) {
      checkValue(name, value, rule);
      built[name] = value;
    } else if (rule.required) {
      throw new EventError("is missing", name, "give it");
    }
  }
  checkTogether(rules, built);
  return Object.freeze(built) as unknown as Event;
}

function checkNames(type: string, rules: TypeRules, fields: Members): void {
  for (const name of Object.keys(fields)) {
    if (name === "type" || Object.hasOwn(rules.fields, name)) {
      continue;
    }
    const shown = name.length <= 64 && !/\p{C}/u.test(name) ? name : "…";
    if (isContent(name) || name === "message") {
      throw new ContentError(NEVER, shown, "leave the field out");
    }
    const known = Object.keys(rules.fields).join(", ");
    throw new UnknownFieldError(`${type} has no such field`, shown, `use only ${known}`);
  }
}

function checkTogether(rules: TypeRules, built: Members): void {
  const { exactlyOne, alternatives } = rules;
  if (exactlyOne && exactlyOne.filter((name) => name in built).length !== 1) {
    throw new EventError(`exactly one of ${exactlyOne.join(" and ")} is needed`, "", "give one");
  }
  const fits = (each: Readonly<Record<string, readonly unknown[]>>) =>
    Object.entries(each).every(([name, allowed]) => allowed.includes(built[name] ?? null));
  if (alternatives && !alternatives.some(fits)) {
    const names = [...new Set(alternatives.flatMap(Object.keys))].join(", ");
    throw new EventError(`${names} do not fit together`, "", "see the event schema");
  }
}

function checkValue(name: string, value: unknown, rule: Rule): void {
  switch (rule.kind) {
    case "text":
      return checkText(name, value, rule);
    case "integer":
      return checkInteger(name, value, rule);
    case "flag":
      if (typeof value !== "boolean") {
        throw new EventError("must be true or false", name, "give a boolean");
      }
      return;
    case "choice":
      if (typeof value !== "string" || !rule.values?.includes(value)) {
        throw new EventError(`must be one of ${rule.values?.join(", ")}`, name, "give one");
      }
      return;
    case "time":
      if (typeof value !== "string") {
        return checkInteger(name, value, rule);
      }
      if (!RFC_3339.test(value)) {
        throw new EventError("must be RFC 3339 with an offset", name, "append Z or an offset");
      }
  }
}

function checkText(name: string, value: unknown, rule: Rule): void {
  if (typeof value !== "string") {
    throw new EventError("must be text", name, "give a string");
  }
  if (/\p{Surrogate}/u.test(value)) {
    throw new EventError("is no valid Unicode", name, "decode it as UTF-8");
  }
  const size = byteLength(value);
  const [low, high] = [rule.low ?? 0, rule.high ?? 0];
  if (size < low || size > high) {
    const fix = "shorten it, for example by a keyed hash";
    throw new EventError(`must have ${low} to ${high} bytes`, name, fix);
  }
  if (rule.pattern && !new RegExp(rule.pattern).test(value)) {
    throw new EventError(`does not match ${rule.pattern}`, name, "see the event schema");
  }
}

function checkInteger(name: string, value: unknown, rule: Rule): void {
  if (!Number.isSafeInteger(value)) {
    throw new EventError("must be an integer", name, "give a whole number");
  }
  const [low, high] = [rule.low ?? 0, rule.high ?? 0];
  if ((value as number) < low || (value as number) > high) {
    throw new EventError(`must be from ${low} to ${high}`, name, "check its unit");
  }
}

/** Returns a random id. */
export function randomId(): string {
  return crypto.randomUUID().replaceAll("-", "");
}

/** Returns the JSON object in a text, or nothing where it is none. */
export function readObject(text: string): Members | null {
  try {
    const read: unknown = JSON.parse(text);
    return typeof read === "object" && read !== null && !Array.isArray(read)
      ? (read as Members)
      : null;
  } catch {
    return null;
  }
}
