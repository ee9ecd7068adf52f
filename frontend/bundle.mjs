// Bundles src/ into the directory named on the command line: run by build.py, which finds Node.
//
// What is shipped never evaluates a string as code, whatever a page's headers say: the few places
// in libraries that could are replaced here, and a library that moves them fails the build.

import { copyFile, mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { createHash } from "node:crypto";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = path.dirname(fileURLToPath(import.meta.url));
const modules = path.join(here, "node_modules");
const out = path.resolve(process.argv[2]);

const scripts = ["console", "theme", "charts", "graph"];

const fonts = {
  "@fontsource-variable/inter/files/inter-latin-wght-normal.woff2": "inter-latin.woff2",
  "@fontsource-variable/heebo/files/heebo-hebrew-wght-normal.woff2": "heebo-hebrew.woff2",
};

const refuse = "(() => { throw new Error('code in strings is not run') })";

const replacements = [
  {
    filter: /htmx\.org[\\/]dist[\\/]htmx\.esm\.js$/,
    edits: [
      [/return eval\(str\)/g, `return ${refuse}(str)`, 1],
      [/(?:new )?\bFunction\((?=['c])/g, `${refuse}(`, 4],
    ],
  },
  {
    filter: /cytoscape[\\/]dist[\\/]cytoscape\.esm\.mjs$/,
    edits: [[/Function\('return this'\)\(\)/g, "globalThis", 1]],
  },
];

const noEvaluation = {
  name: "no-evaluation",
  setup(builder) {
    for (const { filter, edits } of replacements) {
      builder.onLoad({ filter }, async ({ path: file }) => {
        let contents = await readFile(file, "utf8");
        for (const [pattern, replacement, expected] of edits) {
          const found = contents.match(pattern)?.length ?? 0;
          if (found !== expected) {
            const errors = [{ text: `${pattern} found ${found} times, expected ${expected}` }];
            return { errors };
          }
          contents = contents.replace(pattern, replacement);
        }
        return { contents, loader: "js" };
      });
    }
  },
};

// The packages whose code is in the bundles, with the licence that each asks to be passed on.
async function licences(inputs) {
  const names = new Set(Object.keys(fonts).map((file) => file.split("/").slice(0, 2).join("/")));
  for (const input of inputs) {
    const match = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input);
    if (match) names.add(match[1]);
  }
  const parts = [];
  for (const name of [...names].sort()) {
    const folder = path.join(modules, name);
    const { version, license } = JSON.parse(
      await readFile(path.join(folder, "package.json"), "utf8"),
    );
    const file = (await readdir(folder)).find((entry) => /^licen[cs]e/i.test(entry));
    if (!file) throw new Error(`${name} has no licence file`);
    const text = (await readFile(path.join(folder, file), "utf8")).trim();
    parts.push(`${name} ${version} (${license})\n\n${text}\n`);
  }
  return parts.join(`\n${"-".repeat(72)}\n\n`);
}

const result = await build({
  absWorkingDir: here,
  entryPoints: [...scripts.map((name) => `src/${name}.ts`), "src/console.css"],
  outdir: out,
  bundle: true,
  minify: true,
  format: "iife",
  target: ["es2022"],
  charset: "utf8",
  legalComments: "none",
  external: ["*.woff2"],
  metafile: true,
  plugins: [noEvaluation],
  logLevel: "warning",
}).catch(() => process.exit(1)); // esbuild has said what and where

await mkdir(path.join(out, "fonts"), { recursive: true });
for (const [file, name] of Object.entries(fonts)) {
  await copyFile(path.join(modules, file), path.join(out, "fonts", name));
}
for (const name of ["icons.svg", "favicon.svg"]) {
  await copyFile(path.join(here, "src", name), path.join(out, name));
}
await writeFile(
  path.join(out, "third-party-licenses.txt"),
  await licences(Object.keys(result.metafile.inputs)),
);

// Fonts change seldom and are loaded by every page: their addresses carry a version, as those of
// scripts and styles do in the pages.
const sheet = path.join(out, "console.css");
let css = await readFile(sheet, "utf8");
for (const name of Object.values(fonts)) {
  const content = await readFile(path.join(out, "fonts", name));
  const version = createHash("sha256").update(content).digest("hex").slice(0, 8);
  if (!css.includes(`fonts/${name}`)) throw new Error(`${name} is not in console.css`);
  css = css.replaceAll(`fonts/${name}`, `fonts/${name}?v=${version}`);
}
await writeFile(sheet, css);

// The server sends what a browser takes, compressed once and for all. Fonts are compressed already.
const texts = (await readdir(out)).filter((name) => /\.(js|css|svg)$/.test(name));
for (const name of texts) {
  const content = await readFile(path.join(out, name));
  const quality = { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY };
  await writeFile(path.join(out, `${name}.br`), brotliCompressSync(content, { params: quality }));
  await writeFile(path.join(out, `${name}.gz`), gzipSync(content, { level: 9 }));
}
