// A table that is patched in place: rows keep their nodes, the reader's sorting and scroll position stay.
const mounted = new WeakMap();
const SVG = "http://www.w3.org/2000/svg";

const element = (tag, className = "") => {
  const made = document.createElement(tag);
  if (className) made.className = className;
  return made;
};

const write = (node, text) => {
  if (node.textContent !== text) node.textContent = text;
};

const setClass = (node, className) => {
  if (node.className !== className) node.className = className;
};

const build = (parentElement) => {
  const root = element("div", "root grid");
  const head = element("div", "head");
  const caption = element("span", "caption");
  const side = element("span", "side");
  const scroll = element("div", "scroll");
  const table = element("table");
  const headRow = element("tr");
  const body = element("tbody");
  const empty = element("div", "empty");
  const tableHead = element("thead");
  head.append(caption, side);
  tableHead.append(headRow);
  table.append(tableHead, body);
  scroll.append(table, empty);
  root.append(head, scroll);
  parentElement.append(root);
  // `sort` is the reader's choice: a column and a direction, or nothing.
  return { root, caption, side, table, headRow, body, empty, rows: new Map(), columns: "", sort: null, data: null };
};

const columnClass = (column) => (column.minor ? `${column.align} minor` : column.align);

const buildHead = (grid) => {
  const columns = grid.data.columns;
  const signature = JSON.stringify(columns);
  if (grid.columns === signature) return;
  grid.columns = signature;
  grid.headRow.replaceChildren(
    ...columns.map((column, at) => {
      const cell = element("th", columnClass(column));
      const button = element("button");
      cell.scope = "col";
      button.type = "button";
      button.textContent = column.label;
      button.title = column.title;
      button.onclick = () => {
        grid.sort = nextSort(grid.sort, at, column.kind);
        arrange(grid);
      };
      cell.append(button);
      return cell;
    }),
  );
};

// First click: largest first (text: A first); second: the other way; third: the usual order.
const nextSort = (sort, at, kind) => {
  const first = kind === "text" ? 1 : -1;
  if (!sort || sort.at !== at) return { at, direction: first };
  return sort.direction === first ? { at, direction: -first } : null;
};

const compare = (left, right, direction) => {
  const leftOrder = left.order ?? left.text;
  const rightOrder = right.order ?? right.text;
  const areNumbers = typeof leftOrder === "number" && typeof rightOrder === "number";
  if (areNumbers) return direction * (leftOrder - rightOrder);
  // What has no number stands last in either direction.
  if (typeof leftOrder === "number") return -1;
  if (typeof rightOrder === "number") return 1;
  return direction * String(leftOrder).localeCompare(String(rightOrder));
};

const arrange = (grid) => {
  const { rows } = grid.data;
  const sorted = grid.sort
    ? [...rows].sort((a, b) => compare(a.cells[grid.sort.at], b.cells[grid.sort.at], grid.sort.direction))
    : rows;
  sorted.forEach((row, at) => {
    const node = grid.rows.get(row.row_id).node;
    // Moving a node loses focus, so only those move that stand elsewhere.
    if (grid.body.children[at] !== node) grid.body.insertBefore(node, grid.body.children[at] ?? null);
  });
  [...grid.headRow.children].forEach((cell, at) => {
    const isSorted = grid.sort && grid.sort.at === at;
    cell.setAttribute("aria-sort", !isSorted ? "none" : grid.sort.direction > 0 ? "ascending" : "descending");
  });
};

const buildCell = (column, isChoice, choose) => {
  const node = element("td", columnClass(column));
  let inner;
  if (column.kind === "spark") {
    inner = document.createElementNS(SVG, "svg");
    inner.setAttribute("viewBox", "0 0 100 18");
    inner.setAttribute("preserveAspectRatio", "none");
    inner.setAttribute("aria-hidden", "true");
    inner.append(document.createElementNS(SVG, "path"));
  } else if (isChoice) {
    inner = element("button", "choose");
    inner.type = "button";
    inner.onclick = choose;
  } else {
    inner = element("span");
  }
  node.append(inner);
  return { node, inner, order: null };
};

const buildRow = (grid, row, setTriggerValue) => {
  const node = element("tr");
  const choose = (event) => {
    event.stopPropagation();
    setTriggerValue("choice", row.row_id);
  };
  if (grid.data.is_choice) node.onclick = choose;
  const cells = grid.data.columns.map((column, at) => buildCell(column, grid.data.is_choice && at === 0, choose));
  node.append(...cells.map((cell) => cell.node));
  return { node, cells };
};

const drawSpark = (cell, data) => {
  const last = Math.max(1, data.points.length - 1);
  const path = data.points
    .map((value, at) => `${at ? "L" : "M"}${((100 * at) / last).toFixed(1)} ${(17 - 16 * value).toFixed(1)}`)
    .join("");
  if (cell.path !== path) {
    cell.path = path;
    cell.inner.firstChild.setAttribute("d", path);
    cell.inner.setAttribute("class", `spark ${data.tone}`);
  }
};

const flash = (cell, order) => {
  const before = cell.order;
  cell.order = order;
  if (before === null || order === null || before === order) return;
  cell.inner.classList.remove("flash-up", "flash-down");
  void cell.inner.offsetWidth; // restarts the animation
  cell.inner.classList.add(order > before ? "flash-up" : "flash-down");
};

const patchCell = (cell, column, data) => {
  cell.node.title = data.title;
  if (column.kind === "spark") {
    drawSpark(cell, data);
    return;
  }
  write(cell.inner, data.text);
  if (column.kind === "price") {
    flash(cell, data.order);
    return;
  }
  const base = cell.inner.tagName === "BUTTON" ? "choose " : column.kind === "pill" ? "pill " : "";
  setClass(cell.inner, base + data.tone);
};

const patchRow = (grid, row, built) => {
  const classes = [grid.data.is_choice && "is-choice", row.selected && "is-selected", row.stale && "is-stale"];
  setClass(built.node, classes.filter(Boolean).join(" "));
  if (grid.data.is_choice) built.cells[0].inner.setAttribute("aria-pressed", String(row.selected));
  row.cells.forEach((data, at) => patchCell(built.cells[at], grid.data.columns[at], data));
};

export default function ({ parentElement, data, setTriggerValue }) {
  let grid = mounted.get(parentElement);
  if (!grid || !grid.root.isConnected) {
    grid = build(parentElement);
    mounted.set(parentElement, grid);
  }
  grid.data = data;
  grid.root.style.maxHeight = `${data.max_height_px}px`;
  write(grid.caption, data.caption);
  write(grid.side, data.note);
  write(grid.empty, data.empty);
  grid.empty.hidden = data.rows.length > 0;
  grid.table.hidden = data.rows.length === 0;
  grid.table.setAttribute("aria-label", data.caption);
  buildHead(grid);
  const present = new Set(data.rows.map((row) => row.row_id));
  for (const [rowId, built] of grid.rows) {
    if (!present.has(rowId)) {
      built.node.remove();
      grid.rows.delete(rowId);
    }
  }
  for (const row of data.rows) {
    let built = grid.rows.get(row.row_id);
    if (!built) {
      built = buildRow(grid, row, setTriggerValue);
      grid.rows.set(row.row_id, built);
      grid.body.append(built.node);
    }
    patchRow(grid, row, built);
  }
  arrange(grid);
}
