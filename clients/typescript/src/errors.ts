/** The contract's sentence on a field that would carry content. */
export const NEVER = "message content is never accepted";

/** Base class of what this package throws deliberately; `fix` says what the reader can do. */
export class WavebreakClientError extends Error {
  readonly fix: string;

  constructor(what: string, fix = "") {
    super(fix ? `${what} — fix: ${fix}` : what);
    this.name = new.target.name;
    this.fix = fix;
  }
}

/** An event does not fit the schema; `field` is empty where it is the whole event. */
export class EventError extends WavebreakClientError {
  readonly field: string;

  constructor(what: string, field = "", fix = "") {
    super(field ? `field \`${field}\`: ${what}` : what, fix);
    this.field = field;
  }
}

/** An event was given a field that the schema does not have. */
export class UnknownFieldError extends EventError {}

/** An event was given a field that would carry message content. */
export class ContentError extends UnknownFieldError {}

/** A client was made with a setting that is missing or invalid. */
export class SettingsError extends WavebreakClientError {}

/** The spool file cannot be used: another process has it, or it cannot be written. */
export class SpoolError extends WavebreakClientError {}

/** The service did not answer a question that has no answer of its own for that case. */
export class ServiceError extends WavebreakClientError {
  readonly status: number;

  constructor(what: string, status = 0, fix = "") {
    super(what, fix);
    this.status = status;
  }
}

/** Why a webhook message is not to be trusted. */
export type WebhookCause = "headers" | "timestamp" | "signature" | "replayed" | "body";

/** A webhook message is not to be trusted. */
export class WebhookError extends WavebreakClientError {
  readonly webhookCause: WebhookCause;

  constructor(cause: WebhookCause, what: string, fix = "") {
    super(what, fix);
    this.webhookCause = cause;
  }
}
