"use strict";
(() => {
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";
  const tell = () => {
    button.textContent = isDark() ? "Light theme" : "Dark theme";
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    tell();
  });
  dark.addEventListener("change", tell);
  tell();

  // what is folded away on the screen is printed
  let opened = [];
  window.addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const one of opened) one.open = true;
  });
  window.addEventListener("afterprint", () => {
    for (const one of opened) one.open = false;
  });

  // a line that reads the curves at a step: by pointer, or by the arrow keys
  const charts = JSON.parse(document.getElementById("curves").textContent);
  const nearest = (points, x) => {
    let low = 0, high = points.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (points[middle][0] < x) low = middle; else high = middle;
    }
    return Math.abs(points[low][0] - x) <= Math.abs(points[high][0] - x) ? points[low] : points[high];
  };
  for (const plot of document.querySelectorAll(".plot[data-curves]")) {
    const chart = charts[plot.dataset.curves];
    const readout = plot.parentElement.querySelector(".readout");
    const reader = document.createElement("div");
    const line = document.createElement("i");
    reader.className = "reader";
    reader.tabIndex = 0;
    reader.setAttribute("role", "slider");
    reader.setAttribute("aria-label", `Step of ${chart.name}; arrow keys read the values`);
    reader.setAttribute("aria-valuemin", "0");
    reader.setAttribute("aria-valuemax", String(chart.last));
    reader.append(line);
    plot.append(reader);
    let step = chart.last;
    const fit = () => {
      const shown = [...plot.querySelectorAll(".chart")].find((one) => one.getClientRects().length);
      const frame = shown?.querySelector(".background")?.getBoundingClientRect();
      if (!frame) return;
      const own = plot.getBoundingClientRect();
      reader.style.left = `${frame.left - own.left}px`;
      reader.style.top = `${frame.top - own.top}px`;
      reader.style.width = `${frame.width}px`;
      reader.style.height = `${frame.height}px`;
    };
    const read = (wanted, quiet) => {
      step = Math.min(chart.last, Math.max(0, wanted));
      line.style.left = `${(100 * step) / chart.last}%`;
      const values = chart.series.map((one) => `${one.name} ${nearest(one.points, step)[1]}`);
      const text = `step ${Math.round(step)}: ${values.join(" · ")}`;
      reader.setAttribute("aria-valuenow", String(Math.round(step)));
      reader.setAttribute("aria-valuetext", text);
      if (!quiet) readout.textContent = text;
    };
    const moves = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 };
    reader.addEventListener("keydown", (event) => {
      const size = Math.max(1, chart.last / 100);
      if (event.key in moves) read(step + moves[event.key] * size);
      else if (event.key === "Home") read(0);
      else if (event.key === "End") read(chart.last);
      else return;
      event.preventDefault();
    });
    reader.addEventListener("focus", () => read(step));
    reader.addEventListener("pointermove", (event) => {
      const box = reader.getBoundingClientRect();
      reader.classList.add("on");
      read(((event.clientX - box.left) / box.width) * chart.last);
    });
    reader.addEventListener("pointerleave", () => reader.classList.remove("on"));
    new ResizeObserver(fit).observe(plot);
    fit();
    read(step, true);
  }
})();
