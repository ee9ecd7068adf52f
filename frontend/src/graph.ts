// Linked accounts as a graph. The same links stand in a table beside it, made by the server.

import cytoscape from "cytoscape";
import { all, element, fetchJson, onContent, onTheme, text, tokenColor } from "./lib/page";

interface Node {
  id: string;
  label: string;
  outcome?: string;
  size?: number;
  kind?: string;
  detail?: string;
  url?: string;
}
interface Edge {
  source: string;
  target: string;
  weight?: number;
  label?: string;
  detail?: string;
}
interface Data {
  nodes: Node[];
  edges: Edge[];
}

// The same shapes as the pills have: an outcome is told apart without its colour.
const SHAPES: Record<string, cytoscape.Css.NodeShape> = {
  allow: "ellipse",
  observe: "ellipse",
  request: "ellipse",
  challenge: "diamond",
  limit: "triangle",
  restrict: "rectangle",
  suspend: "octagon",
  ban: "polygon",
};

/** Outcomes that refuse nothing: drawn hollow, and in one colour. */
const CALM = ["observe", "request"];

const CROSS =
  "-0.6 -1 0 -0.4 0.6 -1 1 -0.6 0.4 0 1 0.6 0.6 1 0 0.4 -0.6 1 -1 0.6 -0.4 0 -1 -0.6";

/** Cytoscape would add a style element, which the page's policy forbids; the rule is in the CSS. */
function preventStyleElement(): void {
  const id = "__________cytoscape_stylesheet";
  if (document.getElementById(id)) return;
  const stand = element("meta");
  stand.id = id;
  document.head.append(stand);
}

function style(): cytoscape.StylesheetJson {
  const surface = tokenColor("surface-sunken");
  const outcomes = Object.entries(SHAPES).map(([outcome, shape]) => {
    const calm = CALM.includes(outcome);
    return {
      selector: `node[outcome = "${outcome}"]`,
      style: {
        shape,
        ...(shape === "polygon" ? { "shape-polygon-points": CROSS } : {}),
        "background-color": calm ? surface : tokenColor(outcome),
        "border-color": tokenColor(calm ? "observe" : outcome),
        "border-width": calm ? 3 : 1,
      },
    };
  });
  return [
    {
      selector: "node",
      style: {
        width: "data(size)",
        height: "data(size)",
        label: "data(label)",
        "background-color": tokenColor("border-strong"),
        color: tokenColor("text"),
        "font-family": getComputedStyle(document.body).fontFamily,
        "font-size": 10,
        "min-zoomed-font-size": 6,
        "text-margin-y": 4,
        "text-valign": "bottom",
        "text-outline-color": surface,
        "text-outline-width": 2,
      },
    },
    ...outcomes,
    {
      selector: 'node[kind = "hub"]',
      style: {
        "background-opacity": 0,
        "border-style": "dashed",
        "border-width": 2,
        "border-color": tokenColor("border-strong"),
      },
    },
    {
      selector: "edge",
      style: {
        width: "mapData(weight, 0, 12, 1, 5)",
        "line-color": tokenColor("border-strong"),
        "line-opacity": 0.55,
        "curve-style": "haystack",
      },
    },
    {
      selector: ":selected",
      style: {
        "overlay-color": tokenColor("accent"),
        "overlay-opacity": 0.2,
        "overlay-padding": 5,
        "line-color": tokenColor("accent"),
        "line-opacity": 1,
      },
    },
    { selector: ".faded", style: { opacity: 0.18 } },
  ] as cytoscape.StylesheetJson;
}

/** Start on a circle, in the order of the data: the same graph is drawn the same way each time. */
function elements(data: Data): cytoscape.ElementDefinition[] {
  const radius = 40 * Math.sqrt(data.nodes.length) + 60;
  const nodes = data.nodes.map((node, index) => {
    const angle = (2 * Math.PI * index) / data.nodes.length;
    return {
      group: "nodes" as const,
      data: { ...node, size: 14 + 6 * Math.sqrt(Math.max(0, node.size ?? 1)) },
      position: { x: radius * Math.cos(angle), y: radius * Math.sin(angle) },
    };
  });
  const edges = data.edges.map((edge, index) => ({
    group: "edges" as const,
    data: { ...edge, id: `edge-${index}`, weight: edge.weight ?? 1 },
  }));
  return [...nodes, ...edges];
}

function controls(graph: cytoscape.Core, place: HTMLElement): void {
  const bar = element("div", "graph-controls");
  const add = (sign: string, label: string, act: () => void): void => {
    const button = element("button", "button button-small button-icon", sign);
    button.type = "button";
    button.setAttribute("aria-label", label);
    button.title = label;
    button.addEventListener("click", act);
    bar.append(button);
  };
  const zoom = (factor: number): void => {
    const center = { x: graph.width() / 2, y: graph.height() / 2 };
    graph.zoom({ level: graph.zoom() * factor, renderedPosition: center });
  };
  add("+", text("zoom_in"), () => zoom(1.3));
  add("−", text("zoom_out"), () => zoom(1 / 1.3));
  add("⤢", text("zoom_reset"), () => graph.fit(undefined, 30));
  place.append(bar);
}

function describe(target: cytoscape.SingularElementReturnValue, detail: HTMLElement | null): void {
  if (!detail) return;
  const data = target.data() as Partial<Node & Edge>;
  const parts: Node["label"][] = [];
  if (target.isEdge()) {
    const edge = target as cytoscape.EdgeSingular;
    parts.push(`${String(edge.source().data("label"))} – ${String(edge.target().data("label"))}`);
  }
  if (data.label) parts.push(data.label);
  const title = element("strong", "", parts[0] ?? "");
  detail.replaceChildren(title);
  for (const line of [...parts.slice(1), data.detail ?? ""]) {
    if (line) detail.append(element("p", "muted", line));
  }
  if (data.url?.startsWith("/")) {
    const link = element("a", "", data.url);
    link.href = data.url;
    link.textContent = detail.dataset.openLabel ?? text("open_row");
    detail.append(link);
  }
}

function draw(place: HTMLElement, data: Data): void {
  if (!data.nodes.length) {
    place.replaceChildren(element("p", "chart-empty", text("no_data")));
    return;
  }
  preventStyleElement();
  const canvas = element("div", "w-full");
  canvas.setAttribute("aria-hidden", "true");
  canvas.style.blockSize = "100%";
  place.replaceChildren(canvas);
  const graph = cytoscape({
    container: canvas,
    elements: elements(data),
    style: style(),
    layout: {
      name: "cose",
      animate: false,
      randomize: false,
      padding: 30,
      // Names lie below their nodes: room for both, so that none covers another.
      nodeDimensionsIncludeLabels: true,
      nodeOverlap: 16,
      nodeRepulsion: () => 6_000,
      idealEdgeLength: () => 60,
      // As wide as the frame is: else the names grow small where it is fitted.
      boundingBox: { x1: 0, y1: 0, w: Math.max(canvas.clientWidth, 300), h: Math.max(canvas.clientHeight, 240) },
      numIter: data.nodes.length > 400 ? 300 : 1000,
    },
    minZoom: 0.1,
    // A graph of three or four accounts would else fill the frame, its labels one upon another.
    maxZoom: data.nodes.length < 12 ? 1.5 : 4,
    pixelRatio: "auto",
  });
  const detail =
    place.parentElement?.querySelector<HTMLElement>("[data-graph-detail]") ??
    document.querySelector<HTMLElement>("[data-graph-detail]");
  detail?.setAttribute("aria-live", "polite");
  graph.on("select", "node, edge", (event) => {
    const target = event.target as cytoscape.SingularElementReturnValue;
    const near = target.isNode()
      ? (target as cytoscape.NodeSingular).closedNeighborhood()
      : (target as cytoscape.EdgeSingular).connectedNodes().union(target);
    graph.elements().difference(near).addClass("faded");
    near.removeClass("faded");
    describe(target, detail);
  });
  graph.on("unselect", () => graph.elements().removeClass("faded"));
  controls(graph, place);
  onTheme(() => graph.style(style()));
  new ResizeObserver(() => graph.resize()).observe(place);
}

async function load(place: HTMLElement): Promise<void> {
  const inline = place.querySelector('script[type="application/json"]');
  try {
    draw(
      place,
      inline
        ? (JSON.parse(inline.textContent ?? "") as Data)
        : await fetchJson<Data>(place.dataset.src ?? ""),
    );
  } catch {
    place.replaceChildren(element("p", "chart-empty", text("load_failed")));
  }
}

const known = new WeakSet<Element>();
onContent((root) => {
  for (const place of all("[data-graph]", root)) {
    if (known.has(place)) continue;
    known.add(place);
    place.classList.add("graph");
    void load(place);
  }
});
