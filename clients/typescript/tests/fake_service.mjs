// A service of a test's own, on the loopback, with the faults that a test asks for.
import { once } from "node:events";
import { createServer } from "node:http";

/** Keeps the log as the service does: an id once, an Idempotency-Key once. */
export class FakeService {
  log = [];
  requests = [];
  states = [];
  streams = new Set();
  published = [];
  number = 0;
  page = 10_000;
  skewMs = 0;
  key = "wb_key";
  verdict = { outcome: "allow", allowed: true };
  fault = () => false;
  #keys = new Map();
  #server = createServer((request, response) => this.#take(request, response));

  async start() {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    this.url = `http://127.0.0.1:${this.#server.address().port}`;
    return this;
  }

  async stop() {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  asked(path) {
    return this.requests.filter((each) => each.path.startsWith(path));
  }

  publish(state) {
    this.number = state.number;
    const lines = `event: state\nid: ${state.number}\ndata: ${JSON.stringify(state)}\n\n`;
    this.published.push([state.number, lines]);
    this.streams.forEach((stream) => stream.write(lines));
  }

  /** Takes events as the service does; returns the answer. */
  accept(request, body) {
    const key = request.headers["idempotency-key"];
    if (this.#keys.has(key) && this.#keys.get(key) !== body) {
      throw new Error("another body under the same key");
    }
    this.#keys.set(key, body);
    const events = JSON.parse(body);
    const seen = new Set(this.log.map((each) => each.id));
    const fresh = events.filter((each) => !seen.has(each.id));
    const refused = fresh.filter((each) => each.account === "refused");
    this.log.push(...fresh.filter((each) => each.account !== "refused"));
    return {
      accepted: events.length - refused.length,
      refused: refused.map(() => ({ index: 0, cause: "bad_value", field: "account" })),
      refused_total: refused.length,
      late: 0,
      duplicates: events.length - fresh.length,
    };
  }

  reply(response, status, members = {}, headers = {}) {
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(JSON.stringify(members));
  }

  async #take(request, response) {
    const parts = [];
    for await (const part of request) {
      parts.push(part);
    }
    const body = Buffer.concat(parts).toString();
    const { pathname, searchParams } = new URL(request.url, "http://service");
    this.requests.push({ path: request.url, headers: request.headers, body });
    response.setHeader("date", new Date(Date.now() + this.skewMs).toUTCString());
    if (pathname !== "/v1/states/stream" && this.fault(request, response, body)) {
      return;
    }
    if (request.headers.authorization !== `Bearer ${this.key}`) {
      this.reply(response, 401, { title: "Unauthorized" });
    } else if (pathname === "/v1/events") {
      const answer = this.accept(request, body);
      this.reply(response, answer.accepted ? 202 : 422, answer);
    } else if (pathname === "/v1/decide") {
      const read = JSON.parse(body);
      const { account } = Array.isArray(read) ? read[0] : read;
      this.reply(response, 200, { account, mode: searchParams.get("mode"), ...this.verdict });
    } else if (pathname === "/v1/states") {
      const since = Number(searchParams.get("since"));
      const found = this.states.filter((each) => each.number > since);
      const states = found.slice(0, this.page);
      const next = found.length > this.page ? states.at(-1).number : null;
      this.reply(response, 200, { states, next, number: this.number });
    } else if (pathname === "/v1/states/query") {
      const held = new Map(this.states.map((each) => [each.account, each]));
      const states = JSON.parse(body).accounts.map(
        (account) => held.get(account) ?? { account, outcome: "allow", until_ms: null, number: 0 },
      );
      this.reply(response, 200, { states });
    } else if (pathname === "/v1/states/stream") {
      const last = Number(request.headers["last-event-id"]);
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("retry: 200\n\n");
      this.published.filter(([n]) => n > last).forEach(([, lines]) => response.write(lines));
      this.streams.add(response);
      response.on("close", () => this.streams.delete(response));
    } else {
      this.reply(response, 404, { title: "Not found" });
    }
  }
}

/** Waits until something holds; throws where it does not. */
export async function waitUntil(holds, ms = 20_000) {
  const end = performance.now() + ms;
  while (performance.now() < end) {
    if (await holds()) {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error("what was waited for did not happen");
}
