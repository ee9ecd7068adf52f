import {
  closeSync,
  fsync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import process from "node:process";
import { SpoolError } from "./errors.js";
import { type Members, readObject } from "./event_base.js";
import type { Spool } from "./event_queue.js";

const PERSONAL = ["phone", "ip", "device"];
const COMPACT_BYTES = 1 << 20;

/** What else `fileSpool` can be given. */
export interface SpoolOptions {
  /** What the file may grow to; 256 MiB. An event beyond that is kept in memory only. */
  maxBytes?: number;
  /** Also write `phone`, `ip` and `device`. */
  identifiers?: boolean;
}

/**
 * Opens a journal of events that are not delivered yet: JSON Lines, bounded, one writer. A line is
 * written when its event is handed over, which a killed process survives; each batch is synced, which
 * makes it survive a power cut. A last line that is torn is left out. Its directory must exist.
 */
export function fileSpool(path: string, options: SpoolOptions = {}): Spool {
  return new FileSpool(path, options.maxBytes ?? 256 << 20, options.identifiers ?? false);
}

class FileSpool implements Spool {
  readonly leftOver: readonly string[];
  failures = 0;
  #file = -1;
  #size = 0;
  #dirty = false;
  /** One entry for each event that is not delivered; empty where it is not on disk. */
  #waiting: string[];

  constructor(
    private readonly path: string,
    private readonly maxBytes: number,
    private readonly identifiers: boolean,
  ) {
    lock(`${path}.lock`);
    try {
      this.#file = openSync(path, "a", 0o600);
      this.leftOver = readJournal(readFileSync(path));
    } catch {
      rmSync(`${path}.lock`, { force: true });
      throw new SpoolError(
        "the spool file cannot be opened",
        "create its directory, and let this user write to it",
      );
    }
    this.#waiting = [...this.leftOver];
    this.#compact();
  }

  get inMemoryOnly(): number {
    return this.#waiting.filter((line) => !line).length;
  }

  append(event: Members): boolean {
    const kept = this.identifiers
      ? event
      : Object.fromEntries(Object.entries(event).filter(([name]) => !PERSONAL.includes(name)));
    const line = JSON.stringify(kept);
    const written = this.#write(line, this.maxBytes);
    this.#waiting.push(written ? line : "");
    return written;
  }

  delivered(count: number): void {
    const onDisk = this.#waiting.splice(0, count).filter((line) => line).length;
    if (onDisk && !this.#waiting.length) {
      this.#truncate();
    } else if (onDisk) {
      this.#write(JSON.stringify({ delivered: onDisk }), Number.POSITIVE_INFINITY);
      if (this.#size > COMPACT_BYTES) {
        const live = this.#waiting.reduce((sum, line) => sum + line.length + 1, 0);
        if (this.#size > COMPACT_BYTES + 2 * live) {
          this.#compact();
        }
      }
    }
  }

  async sync(): Promise<void> {
    if (!this.#dirty || this.#file < 0) {
      return;
    }
    this.#dirty = false;
    await new Promise<void>((resolve) =>
      fsync(this.#file, (error) => {
        this.failures += error ? 1 : 0;
        resolve();
      }),
    );
  }

  async close(): Promise<void> {
    await this.sync();
    if (this.#file >= 0) {
      closeSync(this.#file);
      this.#file = -1;
      rmSync(`${this.path}.lock`, { force: true });
    }
  }

  #write(line: string, maxBytes: number): boolean {
    const content = new TextEncoder().encode(`${line}\n`);
    if (this.#file < 0 || this.#size + content.length > maxBytes) {
      return false;
    }
    try {
      if (writeSync(this.#file, content) < content.length) {
        throw new Error("torn");
      }
    } catch {
      // A full disk: the torn line goes, the events go on from memory.
      this.failures += 1;
      try {
        ftruncateSync(this.#file, this.#size);
      } catch {
        this.failures += 1;
      }
      return false;
    }
    this.#size += content.length;
    this.#dirty = true;
    return true;
  }

  #truncate(): void {
    try {
      ftruncateSync(this.#file, 0);
      this.#size = 0;
      this.#dirty = true;
    } catch {
      this.failures += 1;
    }
  }

  /** Writes the file anew with what is not delivered, in place of the old one. */
  #compact(): void {
    const lines = this.#waiting.filter((line) => line).map((line) => `${line}\n`);
    const content = new TextEncoder().encode(lines.join(""));
    const temporary = `${this.path}.new`;
    try {
      writeFileSync(temporary, content, { mode: 0o600 });
      const made = openSync(temporary, "a", 0o600);
      fsyncSync(made);
      renameSync(temporary, this.path);
      closeSync(this.#file);
      this.#file = made;
      this.#size = content.length;
    } catch {
      this.failures += 1;
    }
  }
}

/** Takes the lock file of a spool; one that a process left which is gone is taken over. */
function lock(path: string): void {
  for (const last of [false, true]) {
    try {
      writeFileSync(path, `${process.pid}\n`, { flag: "wx", mode: 0o600 });
      return;
    } catch (error) {
      if ((error as { code?: string }).code !== "EEXIST") {
        throw new SpoolError(
          "the spool file cannot be opened",
          "create its directory, and let this user write to it",
        );
      }
      if (last || isRunning(path)) {
        throw new SpoolError(
          "another process uses the spool file",
          "give each process a file of its own",
        );
      }
      rmSync(path, { force: true });
    }
  }
}

function isRunning(path: string): boolean {
  try {
    const pid = Number(new TextDecoder().decode(readFileSync(path)));
    return pid > 0 && process.kill(pid, 0);
  } catch (error) {
    return (error as { code?: string }).code === "EPERM";
  }
}

/** Returns the lines of the events that a journal's content says are not delivered. */
export function readJournal(content: Uint8Array): string[] {
  const waiting: string[] = [];
  let head = 0;
  for (const line of new TextDecoder().decode(content).split("\n").slice(0, -1)) {
    const read = readObject(line);
    if (read && "type" in read) {
      waiting.push(line);
    } else if (typeof read?.["delivered"] === "number") {
      head = Math.min(waiting.length, head + read["delivered"]);
    }
  }
  return waiting.slice(head);
}
