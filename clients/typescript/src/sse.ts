/** One message of a stream of server-sent events. */
export interface Message {
  event: string;
  data: string;
  id: string;
}

const LONGEST = 1 << 20;

/** Splits a stream into messages; a comment counts as a sign of life, no more. */
export class EventStreamReader {
  /** How long the service asks to wait before the next connection. */
  retryMs: number | null = null;

  #decoder = new TextDecoder();
  #rest = "";
  #event = "";
  #data: string[] = [];
  #id = "";

  /** Takes bytes, and returns the messages that they complete. */
  feed(received: Uint8Array): Message[] {
    const lines = (this.#rest + this.#decoder.decode(received, { stream: true })).split(
      /\r\n|\n|\r(?!$)/,
    );
    this.#rest = lines.pop() ?? "";
    if (this.#rest.length > LONGEST) {
      throw new Error("a line of the stream is too long");
    }
    return lines.flatMap((line) => this.#line(line));
  }

  #line(line: string): Message[] {
    if (!line) {
      const found = this.#data.length
        ? [{ event: this.#event || "message", data: this.#data.join("\n"), id: this.#id }]
        : [];
      this.#event = "";
      this.#data = [];
      return found;
    }
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") {
      this.#data.push(value);
    } else if (name === "event") {
      this.#event = value;
    } else if (name === "id" && !value.includes("\0")) {
      this.#id = value;
    } else if (name === "retry" && /^[0-9]+$/.test(value)) {
      this.retryMs = Number(value);
    }
    return [];
  }
}
