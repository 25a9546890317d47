// A line of figures. Built once per mount, then patched: only texts that changed are written.
const parts = new WeakMap();

const element = (tag, className) => {
  const made = document.createElement(tag);
  made.className = className;
  return made;
};

const write = (node, text) => {
  if (node.textContent !== text) node.textContent = text;
};

const build = (parentElement) => {
  const root = element("div", "root");
  const built = {
    root,
    heading: element("span", "heading"),
    lead: element("span", "lead"),
    pill: element("span", "pill"),
    figures: element("div", "figures"),
    note: element("div", "note"),
    figureNodes: [],
  };
  root.append(built.heading, built.pill, built.lead, built.figures, built.note);
  // The state of the feed is read out when it changes; the figures, which change every second, are not.
  built.pill.setAttribute("role", "status");
  parentElement.append(root);
  return built;
};

const patchFigures = (built, figures) => {
  while (built.figureNodes.length < figures.length) {
    const figure = element("div", "figure");
    const label = element("span", "label");
    const value = element("span", "value");
    figure.append(label, value);
    built.figures.append(figure);
    built.figureNodes.push({ figure, label, value });
  }
  while (built.figureNodes.length > figures.length) built.figureNodes.pop().figure.remove();
  figures.forEach((figure, at) => {
    const node = built.figureNodes[at];
    write(node.label, figure.label);
    write(node.value, figure.value);
    node.value.className = `value ${figure.tone}`;
    node.figure.title = figure.title;
  });
  built.figures.hidden = figures.length === 0;
};

export default function ({ parentElement, data }) {
  let built = parts.get(parentElement);
  if (!built || !built.root.isConnected) {
    built = build(parentElement);
    parts.set(parentElement, built);
  }
  built.root.className = `root strip ${data.variant}${data.stale ? " is-stale" : ""}`;
  write(built.heading, data.heading);
  write(built.lead, data.lead);
  built.lead.className = `lead ${data.lead_tone}`;
  write(built.pill, data.pill);
  built.pill.className = `pill ${data.pill_tone}`;
  write(built.note, data.note);
  built.note.className = `note ${data.note_tone}`;
  patchFigures(built, data.figures);
}
