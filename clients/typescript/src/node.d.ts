// The few parts of Node's modules that the spool uses; Deno and Bun have them too.
declare module "node:fs" {
  export function openSync(path: string, flags: string, mode?: number): number;
  export function closeSync(file: number): void;
  export function writeSync(file: number, content: Uint8Array): number;
  export function readFileSync(path: string): Uint8Array;
  export function writeFileSync(
    path: string,
    content: string | Uint8Array,
    options: { flag?: string; mode?: number },
  ): void;
  export function ftruncateSync(file: number, length: number): void;
  export function fsyncSync(file: number): void;
  export function fsync(file: number, done: (error: unknown) => void): void;
  export function renameSync(from: string, to: string): void;
  export function rmSync(path: string, options: { force: boolean }): void;
}

declare module "node:process" {
  const process: { pid: number; kill(pid: number, signal: number): boolean };
  export default process;
}
