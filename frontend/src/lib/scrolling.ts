// Tables that scroll sideways can be reached and scrolled by keyboard; others are no stop on the way.

import { all, onContent } from "./page";

function update(): void {
  for (const wrap of all(".table-wrap, .code, .chart")) {
    const scrolls = wrap.scrollWidth > wrap.clientWidth + 1;
    if (scrolls && !wrap.hasAttribute("tabindex")) {
      wrap.tabIndex = 0;
      wrap.dataset.scrolls = "";
    } else if (!scrolls && wrap.dataset.scrolls !== undefined) {
      wrap.removeAttribute("tabindex");
      delete wrap.dataset.scrolls;
    }
  }
}

/** Watch what scrolls, as pages, parts of them and windows change. */
export function setUpScrolling(): void {
  onContent(update);
  addEventListener("resize", update);
  addEventListener("load", update);
  document.addEventListener("toggle", update, true);
}
