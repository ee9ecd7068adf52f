// The client against a service with faults: the queue, attempts, states, health, the spool.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";

import { Client, EventError, ServiceError, SettingsError, SpoolError } from "../dist/index.js";
import { fileSpool, readJournal } from "../dist/spool.js";
import { FakeService, waitUntil } from "./fake_service.mjs";

const MESSAGE = {
  type: "message.sent",
  account: "@mallory:example.org",
  peer: "@bob:example.org",
  size: 212,
};
const REGISTRATION = { type: "account.registered", account: "@mallory:example.org" };
const NOBODY = "http://127.0.0.1:9";

let service;
let said;
const clients = [];

beforeEach(async () => {
  service = await new FakeService().start();
  said = [];
});

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close(0)));
  await service.stop();
});

function connect(settings = {}) {
  const log = (level, text) => said.push([level, text]);
  const client = new Client({ url: service.url, key: service.key, log, ...settings });
  clients.push(client);
  return client;
}

function status(code, path = "/v1/decide", headers = {}) {
  return (request, response) => {
    if (!request.url.startsWith(path)) {
      return false;
    }
    service.reply(response, code, { title: "so" }, headers);
    return true;
  };
}

test("events are delivered once, with id and time", async () => {
  const client = connect();
  assert.ok(client.tell(MESSAGE, { ...MESSAGE, id: "mine", ts: 7 }));
  assert.ok(await client.flush(20_000));
  assert.equal(service.log.length, 2);
  assert.match(service.log[0].id, /^[0-9a-f]{32}$/);
  assert.ok(Math.abs(service.log[0].ts - Date.now()) < 60_000);
  assert.deepEqual([service.log[1].id, service.log[1].ts], ["mine", 7]);
  assert.equal(client.health().counts.accepted, 2);
});

test("the log has each event once, whatever fails", async () => {
  let state = 22;
  const draw = (below) => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return Math.floor(state / 65536) % below;
  };
  service.fault = (request, response, body) => {
    switch (draw(10)) {
      case 0:
        request.socket.destroy();
        return true;
      case 1:
        service.reply(response, 503, {}, { "retry-after": "0" });
        return true;
      case 2:
        service.accept(request, body);
        request.socket.destroy();
        return true;
      case 3:
        service.accept(request, body);
        response.writeHead(202, { "content-length": "100" });
        response.write('{"acc', () => request.socket.destroy());
        return true;
      case 4:
        service.accept(request, body);
        return false;
      default:
        return false;
    }
  };
  const client = connect({ batchEvents: 50, batchMs: 1, followStates: false });
  const names = Array.from({ length: 1000 }, (_, index) => `a${index}`);
  for (const account of names) {
    assert.ok(client.tell({ type: "message.sent", account, peer: "b" }));
  }
  assert.ok(await client.flush(60_000));
  assert.deepEqual(
    service.log.map((each) => each.account),
    names,
  );
  assert.ok(client.health().counts.retries > 2);
});

test("tell refuses all events where one is wrong", () => {
  const client = connect();
  assert.throws(() => client.tell(MESSAGE, { type: "message.sent", account: "a" }), EventError);
  assert.throws(() => client.tell({ ...MESSAGE, body: "hi" }), /never accepted/);
  assert.equal(client.health().queued, 0);
});

test("a full queue drops the newest and counts", async () => {
  const client = connect({ url: NOBODY, maxEvents: 10, followStates: false });
  const taken = Array.from({ length: 15 }, () => client.tell(MESSAGE));
  assert.deepEqual(taken, [...Array(10).fill(true), ...Array(5).fill(false)]);
  assert.equal(client.health().counts.dropped_full, 5);
  assert.equal(await client.close(50), false);
  assert.equal(client.health().counts.dropped_at_close, 10);
  assert.equal(client.tell(MESSAGE), false);
});

test("refused events are lost alone, and a spoiled batch is split", async () => {
  service.fault = (_request, response, body) => {
    if (body.includes('"spoiler"')) {
      service.reply(response, 400, { title: "Bad request" });
      return true;
    }
    return false;
  };
  const client = connect();
  for (const account of ["a", "refused", "spoiler", "b", "c"]) {
    client.tell({ type: "message.sent", account, peer: "p" });
  }
  assert.ok(await client.flush(20_000));
  assert.deepEqual(
    service.log.map((each) => each.account),
    ["a", "b", "c"],
  );
  const { refused, dropped_rejected: rejected } = client.health().counts;
  assert.deepEqual([refused, rejected], [1, 1]);
});

test("an attempt returns the verdict and its events", async () => {
  service.verdict = {
    outcome: "limit",
    allowed: false,
    until: 90_000,
    retry_after_ms: 60_000,
    refused: [1],
    notice: { en: "New chats are limited." },
  };
  const client = connect();
  const verdict = await client.attempt(
    ["b", "c"].map((peer) => ({ type: "group.member_added", account: "a", group: "g", peer })),
  );
  assert.deepEqual(
    [verdict.allowed, verdict.refused, verdict.untilMs, verdict.mode],
    [false, [1], 90_000, "attempt"],
  );
  assert.equal(new Set(verdict.events.map((event) => event.id)).size, 2);
  assert.equal(service.asked("/v1/decide")[0].path, "/v1/decide?mode=attempt");
  await assert.rejects(client.attempt([]), EventError);
  await assert.rejects(client.attempt([MESSAGE, { ...MESSAGE, account: "b" }]), EventError);
});

test("shadow asks and allows", async () => {
  service.verdict = { outcome: "ban", allowed: false };
  const verdict = await connect({ mode: "shadow" }).attempt(MESSAGE);
  assert.deepEqual([verdict.outcome, verdict.allowed], ["ban", true]);
  assert.equal(service.asked("/v1/decide")[0].path, "/v1/decide?mode=ask");
});

test("an attempt without an answer ends by the table", async () => {
  service.fault = (request) => request.url.startsWith("/v1/decide");
  const client = connect({ timeoutMs: 100 });
  const message = await client.attempt(MESSAGE);
  const registration = await client.attempt(REGISTRATION);
  assert.deepEqual([message.allowed, message.mode], [true, "on_failure"]);
  assert.deepEqual([registration.allowed, registration.outcome], [false, "limit"]);
});

test("the breaker opens after three failures, and closes", async () => {
  service.fault = status(503);
  const client = connect();
  for (let n = 0; n < 5; n += 1) {
    assert.ok((await client.attempt(MESSAGE)).allowed);
  }
  assert.equal(service.asked("/v1/decide").length, 3);
  assert.equal(client.health().breaker, "open");
  service.fault = () => false;
  await waitUntil(async () => (await client.attempt(MESSAGE)).mode === "attempt");
  assert.equal(client.health().breaker, "closed");
});

test("a refused key never closes an act, and is said once", async () => {
  const client = connect({ key: "wrong" });
  for (let n = 0; n < 5; n += 1) {
    assert.ok((await client.attempt(REGISTRATION)).allowed);
  }
  assert.ok(client.health().unauthorized);
  assert.equal(said.filter(([level]) => level === "error").length, 1);
});

test("nothing that is said names an account", async () => {
  const client = connect();
  client.tell(MESSAGE, { ...MESSAGE, account: "refused" });
  service.fault = status(422);
  await client.attempt(MESSAGE);
  await client.flush(20_000);
  const shown = said.map(([, text]) => text).join("\n");
  assert.match(shown, /refused 1 event/);
  assert.doesNotMatch(shown, /mallory|bob/);
});

test("states follow snapshot and stream, and resume", async () => {
  service.states = Array.from({ length: 25 }, (_, n) => ({
    account: `bad${n}`,
    outcome: "ban",
    until_ms: null,
    number: n + 1,
  }));
  service.number = 25;
  service.page = 10;
  const client = connect();
  assert.ok(client.needsAsking("calm", false));
  await waitUntil(() => client.health().statesFresh && service.streams.size);
  assert.equal(client.state("bad24").outcome, "ban");
  assert.equal(client.states().length, 25);
  assert.ok(!client.needsAsking("calm", false));
  assert.ok(client.needsAsking("calm", true));
  service.publish({ account: "bad7", outcome: "allow", until_ms: null, number: 26 });
  await waitUntil(() => !client.needsAsking("bad7", false));
  service.streams.forEach((stream) => stream.destroy());
  await waitUntil(() => !service.streams.size);
  service.publish({ account: "late", outcome: "suspend", until_ms: null, number: 27 });
  await waitUntil(() => client.state("late").outcome === "suspend");
  const resumed = service.asked("/v1/states/stream").map((each) => each.headers["last-event-id"]);
  assert.deepEqual(resumed.slice(0, 2), ["25", "26"]);
  assert.equal(service.asked("/v1/states?").length, 3);
  const found = await client.fetchStates(["bad1", "calm"]);
  assert.deepEqual(
    found.map((state) => state.outcome),
    ["ban", "allow"],
  );
});

test("a service without states makes every act asked", async () => {
  service.fault = status(404, "/v1/states");
  const client = connect();
  client.state("a");
  await waitUntil(() => said.length);
  assert.ok(client.needsAsking("calm", false));
  assert.match(client.health().problems.join(), /not current/);
  await assert.rejects(client.fetchStates(["a"]), ServiceError);
});

test("a skewed clock is corrected and reported", async () => {
  service.skewMs = 120_000;
  const client = connect();
  await client.attempt(MESSAGE);
  client.tell(MESSAGE);
  assert.ok(await client.flush(20_000));
  assert.ok(Math.abs(service.log[0].ts - Date.now() - 120_000) < 30_000);
  assert.match(client.health().problems.join(), /behind/);
});

test("a wrong setting is refused", () => {
  for (const settings of [
    { url: "wavebreak" },
    { url: "ftp://host" },
    { key: "" },
    { key: "two words" },
    { mode: "loud" },
    { timeoutMs: 0 },
    { onFailure: { messaging: "closed" } },
    { onFailure: { registration: "ajar" } },
  ]) {
    assert.throws(() => new Client({ url: NOBODY, key: "key", ...settings }), SettingsError);
  }
});

test("the spool survives a kill, and has one owner", async () => {
  const folder = mkdtempSync(join(tmpdir(), "wavebreak-"));
  const path = join(folder, "spool.jsonl");
  const program = `
    import { Client } from ${JSON.stringify(new URL("../dist/index.js", import.meta.url).href)};
    import { fileSpool } from ${JSON.stringify(new URL("../dist/spool.js", import.meta.url).href)};
    const client = new Client({
      url: "${NOBODY}", key: "k", spool: fileSpool(${JSON.stringify(path)}), followStates: false,
      log() {},
    });
    for (let n = 0; n < 700; n += 1) {
      client.tell({ type: "session.started", account: "a" + n, ip: "198.51.100.7" });
    }
    console.log("ready");
    setInterval(() => {}, 1000);
  `;
  const file = join(folder, "child.mjs");
  writeFileSync(file, program);
  const child = spawn(process.execPath, [...(globalThis.Deno ? ["run", "-A"] : []), file]);
  await once(child.stdout, "data");
  assert.throws(() => fileSpool(path), SpoolError);
  child.kill("SIGKILL");
  await once(child, "exit");
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.ok(!readFileSync(path, "utf8").includes("198.51.100.7"));
  appendFileSync(path, '{"type":"message.se');
  const client = connect({ spool: fileSpool(path), followStates: false });
  client.tell({ type: "session.started", account: "last" });
  assert.ok(await client.flush(30_000));
  assert.deepEqual(
    service.log.map((each) => each.account),
    [...Array.from({ length: 700 }, (_, n) => `a${n}`), "last"],
  );
  assert.equal(readFileSync(path, "utf8"), "");
  await client.close();
  assert.throws(() => fileSpool(join(folder, "absent", "spool.jsonl")), SpoolError);
  rmSync(folder, { recursive: true });
});

test("a journal is read to its last whole line", () => {
  const journal = '{"type":"a"}\n{"type":"b"}\n{"delivered":1}\n{"type":"c"}\nnoise\n{"ty';
  const found = readJournal(new TextEncoder().encode(journal));
  assert.deepEqual(found, ['{"type":"b"}', '{"type":"c"}']);
});
