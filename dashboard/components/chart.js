// A Plotly chart that stays: one node, redrawn in place by `Plotly.react`.
//
// The reader's pan and zoom are kept here, not by Plotly's `uirevision`: that one gives way as soon as the axis
// range that comes in has changed, and a range that follows the market changes all the time.
const charts = new WeakMap();
const AXES = ["xaxis", "yaxis"];

const draw = (chart) => {
  if (chart.isPressed || !chart.node.isConnected) return;
  const { figure, config } = chart.data;
  // Plotly writes into what it is given; what came in belongs to Streamlit.
  const layout = structuredClone(figure.layout);
  if (chart.revision !== layout.uirevision) chart.isHeld = false;
  chart.revision = layout.uirevision;
  if (chart.isHeld) for (const axis of AXES) layout[axis].range = [...chart.node.layout[axis].range];
  chart.drawn = globalThis.Plotly.react(chart.node, structuredClone(figure.data), layout, config);
  if (!chart.isListening) listen(chart);
};

const listen = (chart) => {
  chart.isListening = true;
  chart.node.on("plotly_relayout", (change) => {
    if (Object.keys(change).some((key) => /^[xy]axis\.range/.test(key))) chart.isHeld = true;
  });
  chart.node.on("plotly_doubleclick", () => {
    chart.isHeld = false;
    draw(chart);
  });
  // A redraw would take the chart out of the hand that drags it.
  chart.node.addEventListener("pointerdown", () => (chart.isPressed = true), true);
  window.addEventListener("pointerup", chart.release);
  window.addEventListener("pointercancel", chart.release);
};

const fit = (chart) => (chart.node.offsetWidth ? globalThis.Plotly.Plots.resize(chart.node) : undefined);

const build = (parentElement) => {
  const node = document.createElement("div");
  node.className = "tapewatch-chart";
  node.setAttribute("role", "img");
  parentElement.append(node);
  const chart = { node, data: null, revision: null, isHeld: false, isPressed: false, isListening: false, drawn: Promise.resolve() };
  chart.release = () => {
    if (!chart.isPressed) return;
    chart.isPressed = false;
    // After Plotly's own handling of the end of a drag.
    setTimeout(() => draw(chart), 0);
  };
  // The window's size is not all that changes a column's width.
  chart.observer = new ResizeObserver(() => {
    if (chart.isListening) chart.drawn = chart.drawn.then(() => fit(chart));
  });
  chart.observer.observe(node);
  return chart;
};

const remove = (chart) => {
  chart.observer.disconnect();
  window.removeEventListener("pointerup", chart.release);
  window.removeEventListener("pointercancel", chart.release);
  chart.node.remove();
  // Plotly goes on drawing for a while, and would miss what `purge` takes away.
  if (chart.isListening) chart.drawn.finally(() => globalThis.Plotly.purge(chart.node));
};

export default function ({ parentElement, data }) {
  let chart = charts.get(parentElement);
  if (!chart || !chart.node.isConnected) {
    chart = build(parentElement);
    charts.set(parentElement, chart);
  }
  chart.data = data;
  chart.node.style.height = `${data.figure.layout.height}px`;
  chart.node.setAttribute("aria-label", data.label);
  if (globalThis.Plotly) draw(chart);
  else window.addEventListener("tapewatch-plotly", () => draw(chart), { once: true });
  return () => {
    remove(chart);
    charts.delete(parentElement);
  };
}
