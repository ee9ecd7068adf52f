// The vectors that all clients share: see clients/conformance/README.md.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { Breaker } from "../dist/breaker.js";
import { readAnswers, sendsBody } from "../dist/business.js";
import { readAnswer } from "../dist/delivery.js";
import { EventQueue } from "../dist/event_queue.js";
import {
  buildEvent,
  ContentError,
  EventError,
  ReplayWindow,
  SettingsError,
  verifyWebhook,
  WebhookError,
} from "../dist/index.js";
import { REPORTED_MS, ServerClock } from "../dist/server_clock.js";
import { EventStreamReader } from "../dist/sse.js";
import { StateCache } from "../dist/states.js";
import { judge, readOnFailure } from "../dist/verdicts.js";

const NEVER = "message content is never accepted";

function each(name, run) {
  const url = new URL(`../../conformance/${name}.jsonl`, import.meta.url);
  const lines = readFileSync(url, "utf8").split("\n").filter(Boolean);
  assert.ok(lines.length >= 8);
  for (const line of lines) {
    const row = JSON.parse(line);
    test(`${name}: ${row.name}`, () => run(row));
  }
}

each("events", (row) => {
  if (row.out) {
    assert.deepEqual({ ...buildEvent(row.in) }, row.out);
    return;
  }
  assert.throws(
    () => buildEvent(row.in),
    (error) => {
      assert.ok(error instanceof EventError);
      assert.equal(error.field, row.error.field);
      assert.equal(error instanceof ContentError, row.error.content);
      assert.equal(error.message.includes(NEVER), row.error.content);
      assert.ok(!error.message.includes("canary"));
      return true;
    },
  );
});

each("webhooks", async (row) => {
  const seen = new ReplayWindow();
  for (const delivery of row.deliveries) {
    let result;
    try {
      const read = await verifyWebhook(row.secrets, delivery.headers, delivery.body, {
        toleranceS: row.tolerance_s,
        seen,
        clock: () => delivery.now_s,
      });
      assert.deepEqual(read, JSON.parse(delivery.body));
      result = "ok";
    } catch (error) {
      assert.ok(error instanceof WebhookError, String(error));
      result = error.webhookCause;
    }
    assert.equal(result, delivery.result);
  }
});

function filled(row, monotonicMs) {
  const cache = new StateCache(monotonicMs);
  const reader = new EventStreamReader();
  if (row.pages) {
    cache.startSnapshot(row.pages[0].number);
    row.pages.forEach((page) => cache.addPage(page));
    cache.finishSnapshot();
  }
  for (const chunk of row.stream) {
    cache.heard();
    reader.feed(new TextEncoder().encode(chunk)).forEach((message) => cache.apply(message));
  }
  return cache;
}

each("states", (row) => {
  const cache = filled(row, () => 0);
  for (const check of row.checks) {
    const state = cache.state(check.account, check.server_ms);
    assert.equal(state.outcome, check.outcome);
    assert.equal(state.untilMs, check.until_ms);
    const held = cache.held(check.server_ms).some(({ account }) => account === check.account);
    assert.equal(held, check.outcome !== "allow");
  }
  assert.equal(cache.number, row.number);
  const last = row.checks.at(-1);
  cache.prune(last.server_ms);
  assert.equal(cache.state(last.account, last.server_ms).outcome, last.outcome);
});

each("needs_asking", (row) => {
  let now = 0;
  const cache = filled(row, () => now);
  now = row.quiet_s * 1000;
  for (const check of row.checks) {
    const asks = cache.needsAsking(check.account, check.opens_chat, check.server_ms);
    assert.equal(asks, check.asks);
  }
});

each("failures", (row) => {
  const answer = row.answer ?? { status: 0, body: "" };
  const { verdict, answered } = judge(
    answer.status,
    answer.body,
    row.events.map(buildEvent),
    readOnFailure(row.on_failure),
    row.mode === "shadow",
  );
  const snake = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  const found = Object.entries(verdict).map(([name, value]) => [snake(name), value]);
  const listed = found.filter(([name]) => name in row.verdict);
  assert.deepEqual(Object.fromEntries(listed), row.verdict);
  assert.equal(verdict.account, "a");
  assert.equal(answered ? "succeeded" : "failed", row.breaker);
});

each("batches", (row) => {
  const queue = new EventQueue({
    batchEvents: row.batch_events,
    batchBytes: row.batch_bytes,
    monotonicMs: () => 0,
  });
  for (const size of row.sizes) {
    assert.ok(queue.put({ type: "x".repeat(size - 11) }));
  }
  const counts = [];
  for (let batch = queue.take(); batch; batch = queue.take()) {
    assert.ok(`[${batch.lines.join(",")}]`.length <= row.batch_bytes);
    counts.push(batch.lines.length);
    queue.settle(batch);
  }
  assert.deepEqual(counts, row.batches);
  assert.deepEqual([queue.length, queue.bytes], [0, 0]);
});

each("answers", (row) => {
  const { causes: _, ...delivery } = readAnswer(row.status, row.body);
  const { name: _name, status: _status, body: _body, ...expected } = row;
  assert.deepEqual(delivery, expected);
});

each("breaker", (row) => {
  let now = 0;
  const breaker = new Breaker(() => now);
  for (const step of row.steps) {
    now = step.at_ms;
    if (step.do === "ask") {
      assert.equal(breaker.allows(), step.allowed);
    } else {
      breaker[step.do]();
    }
  }
});

each("clock", (row) => {
  const clock = new ServerClock();
  for (const sample of row.samples) {
    clock.observe(sample.date, sample.sent_ms, sample.received_ms);
  }
  assert.equal(clock.offsetMs, row.offset_ms);
  assert.equal(clock.eventMs(row.now_ms), row.event_ms);
  assert.equal(Math.abs(clock.offsetMs) > REPORTED_MS, row.reported);
});

for (const toleranceS of [Number.NaN, Infinity, -1, true, "300", null]) {
  test(`a tolerance of ${String(toleranceS)} is refused`, async () => {
    const headers = { "webhook-id": "m", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA" };
    const secret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    await assert.rejects(verifyWebhook(secret, headers, "{}", { toleranceS }), SettingsError);
  });
}

each("sends", (row) => {
  const count = row.count ?? row.sends.length;
  const made = Array.from({ length: count }, (_, n) => ({
    id: String(n),
    number: "n1",
    account: "a",
  }));
  const sends = row.sends ?? made;
  if (!row.asks) {
    assert.throws(() => sendsBody("shop", sends), SettingsError);
    return;
  }
  assert.deepEqual(sendsBody("shop", sends), { portfolio: "shop", sends });
  const read = readAnswers(row.answer, sends);
  const answers = read?.map(({ atMs, retryAtMs, ...more }) => ({
    ...more,
    at_ms: atMs,
    retry_at_ms: retryAtMs,
  }));
  assert.deepEqual(answers ?? null, row.answers);
});
