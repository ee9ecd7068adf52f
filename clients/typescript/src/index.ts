/** Connect a messenger to Wavebreak: send metadata events, ask before acts, keep states. */
export type { Send, SendAnswer } from "./business.js";
export { Client, type Counts, type Health, type Log, type Settings } from "./client.js";
export {
  ContentError,
  EventError,
  ServiceError,
  SettingsError,
  SpoolError,
  UnknownFieldError,
  WavebreakClientError,
  WebhookError,
  type WebhookCause,
} from "./errors.js";
export { buildEvent, type Members } from "./event_base.js";
export type { Spool } from "./event_queue.js";
export type * from "./events.js";
export type { Outcome, State } from "./states.js";
export type { OnFailure, Verdict } from "./verdicts.js";
export { ReplayWindow, verifyWebhook, type VerifyOptions } from "./webhooks.js";
