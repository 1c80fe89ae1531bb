(function () {
  "use strict";
  const text = (id) => document.getElementById(id).textContent;
  const views = {};
  const drawn = JSON.parse(text("charts")).map(function (chart) {
    for (const data of chart.spec.data || []) {
      // A view changes its rows, so each gets its own.
      if (document.getElementById("shared-" + data.name)) data.values = JSON.parse(text("shared-" + data.name));
    }
    const options = { mode: "vega", renderer: "svg", actions: false, defaultStyle: false };
    const picture = chart.id.replace(/-\d+$/, "");
    return vegaEmbed(document.getElementById(chart.id), chart.spec, options).then(function (made) {
      (views[picture] = views[picture] || []).push(made.view);
    });
  });
  for (const select of document.querySelectorAll("select[data-chart]")) {
    select.addEventListener("change", function () {
      const number = Number(select.value);
      const value = Number.isNaN(number) ? select.value : number;
      for (const view of views[select.dataset.chart]) view.signal(select.dataset.parameter, value).runAsync();
    });
  }
  Promise.all(drawn).then(() => document.documentElement.setAttribute("data-drawn", String(drawn.length)));
})();
