// Drawing of charts: colours and ticks of this page put into the server's figures, the table of each
// chart, and what a chart says when it could not be read. A plain script, because Dash looks for
// these functions by name.

(function () {
  const NARROW_PX = 560;
  const pageData = JSON.parse(document.getElementById('page-data').textContent);
  // The last good answer of each chart: it stays while a newer one cannot be had.
  const good = new Map();

  function recolour(value) {
    if (typeof value === 'string') return pageData.dark[value] || value;
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

  function dressed(chart, theme, page) {
    const figure = structuredClone(chart.figure);
    if (page && page.isNarrow) {
      const { xaxis, ...layout } = chart.narrow;
      Object.assign(figure.layout, layout);
      Object.assign(figure.layout.xaxis, xaxis);
    }
    return (theme || pageTheme()) === 'dark' ? recolour(figure) : figure;
  }

  function element(type, children, props = {}) {
    return { type, namespace: 'dash_html_components', props: { children, ...props } };
  }

  // Written by hand: a thousand cells as components of Dash would take seconds.
  function writeTable(place, chart) {
    const table = document.createElement('table');
    const line = (cells, kind) => {
      const row = document.createElement('tr');
      cells.forEach((text, at) => {
        const cell = document.createElement(kind);
        cell.textContent = text;
        if (kind === 'th') cell.scope = 'col';
        cell.className = [at ? 'r' : '', kind === 'td' ? 'num' : ''].join(' ').trim();
        row.append(cell);
      });
      return row;
    };
    const head = table.createTHead();
    head.append(line(chart.columns, 'th'));
    table.createTBody().append(...chart.rows.map((row) => line(row, 'td')));
    place.replaceChildren(table);
  }

  function readPage() {
    const query = new URLSearchParams(location.search);
    return {
      site: document.documentElement.dataset.site,
      page: document.documentElement.dataset.page,
      language: document.documentElement.lang,
      query: location.search,
      asTable: query.get('view') === 'table',
      isNarrow: matchMedia(`(max-width: ${NARROW_PX}px)`).matches,
    };
  }

  function csvAddress(page, chart) {
    const query = new URLSearchParams(page.query);
    for (const name of ['lang', 'theme', 'view']) query.delete(name);
    const asked = query.toString();
    return `/api/v1/sites/${page.site}/charts/${chart}.csv${asked ? `?${asked}` : ''}`;
  }

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.board = {
    readPage,

    // The page's own charts: their layout stands in the page, in its language.
    page: () => [readPage(), JSON.parse(document.getElementById('charts-layout').textContent)],

    theme: () => pageTheme(),

    // Everything that one chart shows, out of the server's answer, the view and the brightness.
    dress(answer, clicks, theme, page, id) {
      const same = window.dash_clientside.no_update;
      if (!page || !id) return Array(9).fill(same);
      const words = pageData.words;
      const asTable = Boolean(((clicks || 0) + (page.asTable ? 1 : 0)) % 2);
      if (answer && answer.figure) good.set(id.chart, answer);
      const chart = good.get(id.chart);
      let fault = '';
      if (answer && answer.fault) {
        fault = chart ? words['chart.fault_at'].replace('{time}', chart.time) : words['chart.fault'];
      }
      const card = document.getElementById(`chart-${id.chart}`);
      if (card) card.dataset.state = fault ? 'fault' : chart ? 'drawn' : 'wait';
      const view = words[asTable ? 'chart.as_picture' : 'chart.as_table'];
      const csv = csvAddress(page, id.chart);
      if (!chart) return [same, asTable, same, !asTable, view, same, csv, fault, !fault];
      if (asTable && card) writeTable(card.querySelector('.charttable'), chart);
      // What is hidden has no width to be drawn at: it is drawn when it is shown.
      return [
        asTable ? same : dressed(chart, theme, page), asTable, chart.summary, !asTable, view,
        chart.subtitle, csv, fault, !fault,
      ];
    },

    // Lines beside a picture.
    facts(answer) {
      if (!answer || !answer.figure) return window.dash_clientside.no_update;
      const lines = answer.facts.flatMap(([name, value]) => [element('Dt', name), element('Dd', value)]);
      return [
        ...(answer.factsTitle ? [element('H3', answer.factsTitle)] : []),
        ...(lines.length ? [element('Dl', lines, { className: 'facts' })] : []),
        ...answer.factsNotes.map((note) => element('P', note, { className: 'note' })),
      ];
    },
  };
})();
