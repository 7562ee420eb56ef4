// Sorting, filtering, and the legend. No library, nothing loaded.
const table = document.querySelector("table");
const body = table.tBodies[0];
const rows = [...body.rows];
const value = (row, column) => {
  const text = row.cells[column].textContent.replace(/,/g, "");
  const number = parseFloat(text);
  return Number.isNaN(number) ? text : number;
};
table.querySelectorAll("th").forEach((head, column) =>
  head.querySelector("button").addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const sorted = [...rows].sort((one, two) => {
      const [a, b] = [value(one, column), value(two, column)];
      if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1; // words, such as "missing", come last
      return (a < b ? -1 : a > b ? 1 : 0) * (up ? 1 : -1);
    });
    body.append(...sorted);
  })
);
document.querySelector("input[type=search]").addEventListener("input", (event) => {
  const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
  rows.forEach((row) => (row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word))));
});
const marks = document.querySelectorAll(".panels [data-kind]");
document.querySelectorAll(".legend button").forEach((button) =>
  button.addEventListener("click", () => {
    button.classList.toggle("on");
    const on = [...document.querySelectorAll(".legend .on")].map((each) => each.dataset.kind);
    marks.forEach((mark) => mark.classList.toggle("faint", on.length > 0 && !on.includes(mark.dataset.kind)));
  })
);
