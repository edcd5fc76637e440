"use strict";
// The page is complete without this: it adds copy buttons, sorting and a filter for long tables.

for (const block of document.querySelectorAll("pre[data-copy]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = block.dataset.copy;
  button.addEventListener("click", async () => {
    const text = block.querySelector("code").textContent;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      getSelection().selectAllChildren(block);
      document.execCommand("copy");
    }
    button.textContent = block.dataset.copied;
    setTimeout(() => { button.textContent = block.dataset.copy; }, 2000);
  });
  block.after(button);
}

const sortKey = (row, column) => {
  const cell = row.cells[column];
  const data = cell?.querySelector("data");
  return data ? Number(data.value) : cell?.textContent.trim() ?? "";
};

const compare = (a, b) =>
  typeof a === "number" && typeof b === "number" ? a - b
    : typeof a === "number" ? -1
      : typeof b === "number" ? 1
        : a.localeCompare(b, document.documentElement.lang, { numeric: true });

for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  if (body.rows.length < 3) continue;
  for (const [column, cell] of [...table.tHead.rows[0].cells].entries()) {
    if (cell.classList.contains("plotted")) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...cell.childNodes);
    cell.append(button);
    button.addEventListener("click", () => {
      const up = cell.getAttribute("aria-sort") !== "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      cell.setAttribute("aria-sort", up ? "ascending" : "descending");
      const rows = [...body.rows].map((row) => [sortKey(row, column), row]);
      rows.sort(([a], [b]) => (up ? compare(a, b) : compare(b, a)));
      body.append(...rows.map(([, row]) => row));
    });
  }
}

const slices = document.querySelector("#slices[data-filter]");
if (slices && slices.querySelectorAll("tbody tr").length > 12) {
  const label = document.createElement("label");
  const input = document.createElement("input");
  input.type = "search";
  label.className = "filter";
  label.append(slices.dataset.filter, " ", input);
  slices.querySelector("h2").after(label);
  input.addEventListener("input", () => {
    const wanted = input.value.toLocaleLowerCase();
    for (const row of slices.querySelectorAll("tbody tr")) {
      row.hidden = !row.textContent.toLocaleLowerCase().includes(wanted);
    }
    const others = slices.querySelector("details");
    if (others && wanted) others.open = true;
  });
}
