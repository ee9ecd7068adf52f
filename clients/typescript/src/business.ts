/** Sends of a business: the question whether they may go out, and the answers. */
import { SettingsError } from "./errors.js";

/** Sends of one question. */
const MOST_SENDS = 500;

/** A send of a business, before it goes out. */
export interface Send {
  /**
   * Its id within the portfolio. Who asks again with it gets the same answer for a day; a further
   * try is another send with another id.
   */
  readonly id: string;
  /** The account of the number that sends. */
  readonly number: string;
  /** The account of the person. */
  readonly account: string;
  /** The template by which it is made; absent: free text. */
  readonly template?: string;
}

/** Whether a send goes out. */
export interface SendAnswer {
  /** The id of the send. */
  readonly id: string;
  /** Whether it goes out, now or after it was held. */
  readonly allowed: boolean;
  /** accepted, held, or why it does not, such as limit or opted_out. */
  readonly outcome: string;
  /** The field's code of that, such as 131048; empty where it has none. */
  readonly code: string;
  /** When it was taken, in milliseconds of the service's time. */
  readonly atMs: number;
  /** From when it would not be refused for this; null: never by itself. */
  readonly retryAtMs: number | null;
  /** Of one that goes out: window, consent, or not_required. */
  readonly basis: string;
  /** What the outcome means; empty for accepted. */
  readonly meaning: string;
  /** What to do; empty for accepted. */
  readonly fix: string;
}

type Members = Readonly<Record<string, unknown>>;

/** Returns the body of a question; throws a SettingsError for no sends, or too many. */
export function sendsBody(portfolio: string, sends: readonly Send[]): object {
  if (sends.length < 1 || sends.length > MOST_SENDS) {
    throw new SettingsError(`give 1 to ${MOST_SENDS} sends`, "ask several times");
  }
  return {
    portfolio,
    sends: sends.map(({ id, number, account, template }) =>
      template === undefined ? { id, number, account } : { id, number, account, template },
    ),
  };
}

/** Returns the answers that a JSON value has for sends, in their order; null: it has none. */
export function readAnswers(value: unknown, sends: readonly Send[]): SendAnswer[] | null {
  if (!isObject(value)) {
    return null;
  }
  const answers = value["answers"];
  const outcomes = value["outcomes"] ?? [];
  if (!Array.isArray(answers) || !Array.isArray(outcomes) || answers.length !== sends.length) {
    return null;
  }
  const meanings = new Map(outcomes.filter(isObject).map((each) => [each["outcome"], each]));
  const found = answers.map((each) => readSendAnswer(each, meanings));
  return found.every((each, n): each is SendAnswer => each?.id === sends[n]?.id) ? found : null;
}

function readSendAnswer(value: unknown, meanings: Map<unknown, Members>): SendAnswer | null {
  if (!isObject(value)) {
    return null;
  }
  const { id, allowed, outcome } = value;
  if (typeof id !== "string" || typeof allowed !== "boolean" || typeof outcome !== "string") {
    return null;
  }
  const meaning = meanings.get(outcome);
  const retryAtMs = value["retry_at_ms"];
  return {
    id,
    allowed,
    outcome,
    code: text(value["code"]),
    atMs: typeof value["at_ms"] === "number" ? value["at_ms"] : 0,
    retryAtMs: typeof retryAtMs === "number" ? retryAtMs : null,
    basis: text(value["basis"]),
    meaning: text(meaning?.["meaning"]),
    fix: text(meaning?.["fix"]),
  };
}

function isObject(value: unknown): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
