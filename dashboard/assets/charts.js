// Drawing of charts: colours and ticks of this page put into the server's figure, and the switch
// between picture and table. A plain script, because Dash looks for these functions by name.

(function () {
  const NARROW_PX = 560;
  let dark = null;

  function colours() {
    if (!dark) dark = JSON.parse(document.getElementById('page-data').textContent).dark;
    return dark;
  }

  function recolour(value) {
    if (typeof value === 'string') return colours()[value] || value;
    if (Array.isArray(value)) return value.map(recolour);
    if (value && typeof value === 'object') {
      return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, recolour(part)]));
    }
    return value;
  }

  function pageTheme() {
    const chosen = document.documentElement.dataset.theme;
    if (chosen) return chosen;
    return matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
  }

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.board = {
    page: () => ({
      site: document.documentElement.dataset.site,
      language: document.documentElement.lang,
      isNarrow: matchMedia(`(max-width: ${NARROW_PX}px)`).matches,
    }),

    theme: () => pageTheme(),

    // The server's figure in the colours and the width of this page.
    dress(chart, theme, page) {
      if (!chart) return window.dash_clientside.no_update;
      const figure = structuredClone(chart.figure);
      if (page && page.isNarrow) {
        const { xaxis, ...layout } = chart.narrow;
        Object.assign(figure.layout, layout);
        Object.assign(figure.layout.xaxis, xaxis);
      }
      return (theme || pageTheme()) === 'dark' ? recolour(figure) : figure;
    },

    view(clicks, labels) {
      const isTable = Boolean(clicks % 2);
      return [isTable, !isTable, isTable ? labels.picture : labels.table];
    },
  };
})();
