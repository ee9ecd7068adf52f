// The policy editor and its comparison of two versions. A form still sends the textarea.
//
// CodeMirror writes its styles into a style element, unless it lives in a shadow root, where it
// uses constructed style sheets, which `style-src 'self'` allows. So each editor has one.

import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import {
  HighlightStyle,
  StreamLanguage,
  bracketMatching,
  foldGutter,
  indentOnInput,
  syntaxHighlighting,
} from "@codemirror/language";
import { toml } from "@codemirror/legacy-modes/mode/toml";
import { type Diagnostic, lintGutter, lintKeymap, linter } from "@codemirror/lint";
import { MergeView, unifiedMergeView } from "@codemirror/merge";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { EditorState, type Extension } from "@codemirror/state";
import {
  EditorView,
  drawSelection,
  highlightActiveLine,
  highlightActiveLineGutter,
  highlightSpecialChars,
  keymap,
  lineNumbers,
} from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { all, csrfToken, element, onContent } from "./lib/page";

/** What the server answers for a text: what is wrong on which line. */
interface Problem {
  line: number;
  column?: number;
  severity?: "error" | "warning" | "info";
  message: string;
}

const colors = HighlightStyle.define([
  { tag: tags.comment, color: "var(--text-muted)", fontStyle: "italic" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--allow-text)" },
  { tag: [tags.number, tags.bool, tags.atom], color: "var(--challenge-text)" },
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: "var(--info-text)" },
  { tag: [tags.keyword, tags.heading, tags.typeName], color: "var(--accent-text)", fontWeight: "600" },
]);

const theme = EditorView.theme({
  "&": { backgroundColor: "var(--surface)", color: "var(--text)", fontSize: "0.8125rem" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.6", maxHeight: "70vh" },
  ".cm-content": { caretColor: "var(--accent)", paddingBlock: "0.5rem" },
  ".cm-cursor": { borderInlineStartColor: "var(--accent)", borderInlineStartWidth: "2px" },
  ".cm-gutters": {
    backgroundColor: "var(--surface-sunken)",
    color: "var(--text-muted)",
    borderColor: "var(--border)",
  },
  ".cm-activeLine": { backgroundColor: "color-mix(in srgb, var(--accent) 7%, transparent)" },
  ".cm-activeLineGutter": { backgroundColor: "color-mix(in srgb, var(--accent) 14%, transparent)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    backgroundColor: "color-mix(in srgb, var(--accent) 26%, transparent)",
  },
  ".cm-selectionMatch": { backgroundColor: "var(--limit-soft)" },
  ".cm-panels": {
    backgroundColor: "var(--surface-raised)",
    color: "var(--text)",
    borderColor: "var(--border)",
    fontFamily: "var(--font)",
  },
  ".cm-textfield, .cm-button": {
    backgroundColor: "var(--surface)",
    backgroundImage: "none",
    color: "var(--text)",
    border: "1px solid var(--border-strong)",
    borderRadius: "4px",
    fontSize: "0.8125rem",
    padding: "0.2rem 0.5rem",
  },
  ".cm-tooltip": {
    backgroundColor: "var(--surface-raised)",
    color: "var(--text)",
    border: "1px solid var(--border)",
    borderRadius: "6px",
    boxShadow: "var(--shadow-2)",
    fontFamily: "var(--font)",
  },
  ".cm-changedLine": { backgroundColor: "color-mix(in srgb, var(--allow) 12%, transparent) !important" },
  ".cm-changedText": {
    background: "color-mix(in srgb, var(--allow) 20%, transparent) !important",
    borderRadius: "2px",
  },
  "&.cm-merge-a .cm-changedLine, .cm-deletedChunk": {
    backgroundColor: "color-mix(in srgb, var(--suspend) 12%, transparent) !important",
  },
  "&.cm-merge-a .cm-changedText, .cm-deletedChunk .cm-deletedText": {
    background: "color-mix(in srgb, var(--suspend) 20%, transparent) !important",
    borderRadius: "2px",
  },
  ".cm-collapsedLines": {
    background: "var(--surface-sunken)",
    color: "var(--text-muted)",
    fontFamily: "var(--font)",
  },
  // The package's own sign is in few fonts.
  ".cm-collapsedLines:before, .cm-collapsedLines:after": { content: '"⋯"' },
});

function labelOf(area: HTMLTextAreaElement): string {
  return area.getAttribute("aria-label") ?? area.labels?.[0]?.textContent?.trim() ?? area.name;
}

function isFixed(area: HTMLTextAreaElement): boolean {
  return area.readOnly || area.disabled;
}

function extensions(area: HTMLTextAreaElement): Extension[] {
  const described = area.getAttribute("aria-describedby");
  const list: Extension[] = [
    lineNumbers(),
    highlightSpecialChars(),
    drawSelection(),
    bracketMatching(),
    highlightSelectionMatches(),
    search({ top: true }),
    StreamLanguage.define(toml),
    syntaxHighlighting(colors),
    theme,
    EditorView.lineWrapping,
    EditorView.contentAttributes.of({
      "aria-label": labelOf(area),
      // What is editable takes the focus anyway; tools that look for a way to scroll by keyboard ask for this.
      tabindex: "0",
      spellcheck: "false",
      ...(described ? { "aria-describedby": described } : {}),
    }),
  ];
  if (isFixed(area)) {
    list.push(EditorState.readOnly.of(true), keymap.of(searchKeymap));
    return list;
  }
  // Tab indents only after Escape did not just release it: CodeMirror's own way out of the editor.
  const keys = [...searchKeymap, ...historyKeymap, ...lintKeymap, ...defaultKeymap];
  list.push(
    history(),
    foldGutter(),
    indentOnInput(),
    highlightActiveLine(),
    highlightActiveLineGutter(),
    keymap.of(area.dataset.editorTab === "indent" ? [...keys, indentWithTab] : keys),
    EditorView.updateListener.of((update) => {
      if (!update.docChanged) return;
      area.value = update.state.doc.toString();
      area.dispatchEvent(new Event("input", { bubbles: true }));
    }),
  );
  const check = area.dataset.editorCheck;
  if (check) list.push(lintGutter(), linter((view) => problems(view, check, area.name), { delay: 600 }));
  return list;
}

async function problems(view: EditorView, url: string, name: string): Promise<Diagnostic[]> {
  const doc = view.state.doc;
  const response = await fetch(url, {
    method: "POST",
    credentials: "same-origin",
    headers: { "X-CSRFToken": csrfToken(), Accept: "application/json" },
    body: new URLSearchParams({ [name || "text"]: doc.toString() }),
  }).catch(() => undefined);
  if (!response?.ok) return [];
  const found = (await response.json()) as Problem[];
  return found.map(({ line, column, severity, message }) => {
    const at = doc.line(Math.min(Math.max(1, line), doc.lines));
    const from = Math.min(at.to, at.from + Math.max(0, (column ?? 1) - 1));
    return { from, to: at.to, severity: severity ?? "error", message };
  });
}

/** A shadow root to put an editor into, before an element. */
function host(before: Element): ShadowRoot {
  const place = element("div", "editor");
  before.before(place);
  return place.attachShadow({ mode: "open", delegatesFocus: true });
}

function edit(area: HTMLTextAreaElement): void {
  const root = host(area);
  const view = new EditorView({
    state: EditorState.create({ doc: area.value, extensions: extensions(area) }),
    root,
    parent: root,
  });
  area.dataset.editorReady = "";
  for (const label of area.labels ?? []) label.addEventListener("click", () => view.focus());
  area.form?.addEventListener("reset", () => {
    window.setTimeout(() => {
      view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: area.value } });
    });
  });
}

function merge(place: HTMLElement): void {
  const [old, current] = all<HTMLTextAreaElement>("textarea", place);
  if (!old || !current) return;
  const root = host(old);
  const collapseUnchanged = { margin: 3, minSize: 6 };
  if (place.clientWidth < 800 || place.dataset.merge === "unified") {
    new EditorView({
      state: EditorState.create({
        doc: current.value,
        extensions: [
          extensions(current),
          unifiedMergeView({ original: old.value, mergeControls: false, collapseUnchanged }),
        ],
      }),
      root,
      parent: root,
    });
  } else {
    old.readOnly = true;
    const view = new MergeView({
      a: { doc: old.value, extensions: extensions(old) },
      b: { doc: current.value, extensions: extensions(current) },
      collapseUnchanged,
      root,
      parent: root,
    });
    view.a.dom.parentElement?.setAttribute("data-side", "a");
  }
  for (const area of [old, current]) {
    area.dataset.editorReady = "";
    area.labels?.forEach((label) => label.classList.add("sr-only"));
  }
}

const known = new WeakSet<Element>();
onContent((root) => {
  for (const place of all("[data-merge]", root)) {
    if (known.has(place)) continue;
    known.add(place);
    merge(place);
  }
  for (const area of all<HTMLTextAreaElement>("textarea[data-editor]", root)) {
    if (known.has(area) || area.closest("[data-merge]")) continue;
    known.add(area);
    edit(area);
  }
});
