// The page around the charts: live cards, ages, clock, brightness, menus, evidence. Charts are
// Dash's; everything here works before Dash has started and without it.

import { ageState, ageWords, durationWords, fill } from './ages.js';
import { LiveFeed } from './live-feed.js';
import { morph } from './morph.js';

const YEAR_S = 31536000;
const HAND_MS = 240000;
const PIECES_MS = 60000;
const page = JSON.parse(document.getElementById('page-data').textContent);
const words = page.words;
const root = document.documentElement;

// What the server calls now, by our own clock: ages stay right on a machine whose clock is not.
let offsetMs = page.now - Date.now();
let heardAt = Date.now();
let lostSince = null;
let isOver = false;

const now = () => Date.now() + offsetMs;

// Says something to the charts, once Dash has put them onto the page.
function tellDash(store, data) {
  if (window.dash_clientside?.set_props && document.querySelector('.charts .chartcard')) {
    window.dash_clientside.set_props(store, { data });
  }
}

// ------------------------------------------------------------------ brightness

function isDark() {
  const chosen = root.dataset.theme;
  return chosen ? chosen === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
}

function tellTheme() {
  const theme = isDark() ? 'dark' : 'light';
  tellDash('page-theme', theme);
}

function chooseTheme(theme) {
  if (theme) root.dataset.theme = theme;
  else delete root.dataset.theme;
  const secure = location.protocol === 'https:' ? '; Secure' : '';
  document.cookie = `greendc_theme=${theme}; Path=/; Max-Age=${YEAR_S}; SameSite=Lax${secure}`;
  for (const link of document.querySelectorAll('[data-theme-choice]')) {
    const on = link.dataset.themeChoice === theme;
    link.classList.toggle('on', on);
    if (on) link.setAttribute('aria-current', 'true');
    else link.removeAttribute('aria-current');
  }
  tellTheme();
}

for (const link of document.querySelectorAll('[data-theme-choice]')) {
  link.addEventListener('click', (event) => {
    event.preventDefault();
    const choice = link.dataset.themeChoice;
    chooseTheme(root.dataset.theme === choice ? '' : choice);
  });
}
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', tellTheme);

// ------------------------------------------------------------------ menus

const menuButton = document.querySelector('.menu');
if (menuButton) {
  const nav = document.getElementById('nav');
  const setMenu = (isOpen) => {
    nav.classList.toggle('open', isOpen);
    menuButton.setAttribute('aria-expanded', String(isOpen));
  };
  menuButton.addEventListener('click', () => setMenu(!nav.classList.contains('open')));
  document.addEventListener('keydown', (event) => {
    if (event.key === 'Escape' && nav.classList.contains('open')) {
      setMenu(false);
      menuButton.focus();
    }
  });
}
for (const details of document.querySelectorAll('details.switch')) {
  document.addEventListener('click', (event) => {
    if (!details.contains(event.target)) details.open = false;
  });
  details.addEventListener('keydown', (event) => {
    if (event.key === 'Escape' && details.open) {
      details.open = false;
      details.querySelector('summary').focus();
    }
  });
}

// ------------------------------------------------------------------ clock and ages

const dayFormat = new Intl.DateTimeFormat('sv-SE', {
  timeZone: page.zone, dateStyle: 'short', timeStyle: 'medium',
});
const weekdayFormat = new Intl.DateTimeFormat(root.lang, { timeZone: page.zone, weekday: 'short' });
const clock = document.getElementById('clock');

function showClock() {
  if (!clock) return;
  const moment = new Date(now());
  const [day, time] = dayFormat.format(moment).split(' ');
  clock.querySelector('.day').textContent = `${day} (${weekdayFormat.format(moment)})`;
  clock.querySelector('b').textContent = time;
}

function showAge(card) {
  const time = card.dataset.time ? Number(card.dataset.time) : null;
  const state = ageState(time, Number(card.dataset.late), Number(card.dataset.stale), now());
  if (card.dataset.state !== state) {
    card.dataset.state = state;
    card.classList.remove('changed');
    // Reading the width starts the outline anew.
    void card.offsetWidth;
    card.classList.add('changed');
  }
  const text = lostSince !== null && time !== null
    ? fill(words['age.lost'], { duration: durationWords((now() - time) / 1000, words) })
    : ageWords(state, time, now(), words);
  for (const age of card.querySelectorAll('.age')) {
    if (age.textContent !== text) age.textContent = text;
  }
}

function showConnection() {
  const bar = document.getElementById('lost');
  const mark = document.getElementById('conn');
  const name = isOver ? 'over' : lostSince !== null ? 'lost' : page.feed ? mark?.dataset.conn : '';
  if (bar) {
    bar.hidden = !(isOver || lostSince !== null);
    if (lostSince !== null) {
      const seconds = (Date.now() - lostSince) / 1000;
      bar.querySelector('.since').textContent = durationWords(seconds, words);
    }
    bar.dataset.kind = isOver ? 'over' : 'lost';
  }
  root.classList.toggle('is-lost', isOver || lostSince !== null);
  if (mark && (name === 'lost' || name === 'over')) setConnection('lost');
}

function setConnection(state) {
  const mark = document.getElementById('conn');
  if (!mark || mark.dataset.conn === state) return;
  mark.dataset.conn = state;
  mark.querySelector('.word').textContent = words[`conn.${state}`];
}

function beat() {
  showClock();
  for (const card of document.querySelectorAll('[data-late]')) showAge(card);
  showConnection();
}

// ------------------------------------------------------------------ live cards

function applyCards(data) {
  for (const [id, card] of Object.entries(data.cards)) {
    const element = document.getElementById(`card-${id}`);
    if (!element) continue;
    // A piece without an age, such as a sum over sites, has no times either.
    if ('late' in card) {
      element.dataset.time = card.time ?? '';
      element.dataset.late = card.late;
      element.dataset.stale = card.stale;
    }
    const subtitle = element.querySelector('[data-part=subtitle]');
    if (subtitle && subtitle.textContent !== card.subtitle) subtitle.textContent = card.subtitle;
    const body = element.querySelector('[data-part=body]');
    // A body that differs only by an age is not written again: the age is told by our own clock.
    if (element.dataset.mark !== card.mark) {
      element.dataset.mark = card.mark;
      morph(body, card.html);
    }
  }
  if (data.order) applyOrder(data.order);
}

// Lines of a list are worst first; one that has the focus keeps it.
function applyOrder(order) {
  const lines = order.map((id) => document.getElementById(id)).filter(Boolean);
  const parent = lines[0]?.parentNode;
  if (!parent) return;
  const present = [...parent.children].filter((child) => lines.includes(child));
  if (present.every((child, at) => child === lines[at])) return;
  const focused = document.activeElement;
  parent.append(...lines);
  if (parent.contains(focused)) focused.focus({ preventScroll: true });
}

function hear(message) {
  const { type, data } = message;
  if (type === 'lost') {
    if (lostSince === null) lostSince = Math.min(Date.now(), heardAt + 1000);
  } else if (type === 'over') {
    isOver = true;
  } else {
    heardAt = Date.now();
    if (data.now) offsetMs = data.now - heardAt;
    if (type === 'cards') applyCards(data);
    const wasLost = lostSince !== null;
    lostSince = null;
    isOver = false;
    setConnection(type === 'fault' ? 'fault' : 'live');
    document.getElementById('fault')?.toggleAttribute('hidden', type !== 'fault');
    if (wasLost) tellDash('page-back', heardAt);
  }
  beat();
}

function listenDirectly() {
  const feed = new LiveFeed(page.feed, page.feedSnapshot, hear);
  let closing = null;
  feed.open();
  document.addEventListener('visibilitychange', () => {
    clearTimeout(closing);
    if (document.hidden) closing = setTimeout(() => feed.close(), 60000);
    else feed.open();
  });
  addEventListener('pagehide', () => feed.close());
  addEventListener('pageshow', (event) => event.persisted && feed.open());
}

function listenTogether() {
  const worker = new SharedWorker(page.worker, { type: 'module', name: 'greendc-live' });
  const port = worker.port;
  let isHeard = false;
  const say = (type) => port.postMessage({
    type, address: page.feed, snapshotAddress: page.feedSnapshot,
  });
  port.onmessage = (event) => {
    isHeard = true;
    hear(event.data);
  };
  worker.onerror = () => {
    if (!isHeard) listenDirectly();
    isHeard = true;
  };
  say('enter');
  document.addEventListener('visibilitychange', () => say(document.hidden ? 'hidden' : 'visible'));
  addEventListener('pagehide', () => say('leave'));
  addEventListener('pageshow', (event) => event.persisted && say('enter'));
}

if (page.feed) {
  if ('SharedWorker' in window) listenTogether();
  else listenDirectly();
}

// ------------------------------------------------------------------ a person's hand

// The feed does not keep a session alive; whoever moves, types or scrolls does.
let toldAt = Date.now();
function tellHand() {
  if (Date.now() - toldAt < HAND_MS || isOver) return;
  toldAt = Date.now();
  fetch('/_board/here', { cache: 'no-store' }).catch(() => {});
}
for (const type of ['pointerdown', 'pointermove', 'keydown', 'scroll']) {
  addEventListener(type, tellHand, { passive: true });
}

// ------------------------------------------------------------------ the window that a page shows

// The pieces of a page that depend on its window, fetched anew from the page itself.
async function swapPieces(address) {
  const answer = await fetch(address, { cache: 'no-store' });
  if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
  const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
  const focused = document.activeElement?.dataset?.range;
  for (const piece of document.querySelectorAll('[data-swap]')) {
    const other = fresh.getElementById(piece.id);
    if (other && other.innerHTML !== piece.innerHTML) piece.innerHTML = other.innerHTML;
  }
  if (focused) document.querySelector(`#history [data-range="${focused}"]`)?.focus();
}

// Another window without another page: its address, the pieces that name it, and the charts.
async function openWindow(address, isNew) {
  const here = new URL(address, location.href);
  if (isNew) history.pushState(null, '', here);
  try {
    await swapPieces(here);
  } catch {
    location.assign(here);
    return;
  }
  tellDash('page', window.dash_clientside.board.readPage());
}

// Figures of a window that runs are as old as its charts.
if (document.getElementById('tiles')) {
  setInterval(() => {
    const isBusy = document.hidden || isOver || lostSince !== null;
    if (!isBusy && !document.querySelector('dialog[open]')) swapPieces(location.href).catch(() => {});
  }, PIECES_MS);
}

document.addEventListener('click', (event) => {
  const link = event.target.closest('a[data-range]');
  if (!link || event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
  if (!document.querySelector('.charts .chartcard')) return;
  event.preventDefault();
  openWindow(link.getAttribute('href'), true);
});
addEventListener('popstate', () => {
  if (document.querySelector('.charts .chartcard')) openWindow(location.href, false);
});
document.addEventListener('keydown', (event) => {
  if (event.metaKey || event.ctrlKey || event.altKey) return;
  if (event.target.closest?.('input, textarea, select, dialog')) return;
  const wanted = { '[': 'previous', ']': 'next' }[event.key];
  if (wanted) document.querySelector(`#history [data-range="${wanted}"]`)?.click();
});

// Sharing: the address with the window in absolute times and the language, to the clipboard.
document.addEventListener('click', async (event) => {
  const link = event.target.closest('a[data-share]');
  if (!link) return;
  event.preventDefault();
  const shared = new URL(link.getAttribute('href'), location.href);
  shared.searchParams.set('lang', root.lang);
  history.replaceState(null, '', shared);
  try {
    await navigator.clipboard.writeText(shared.href);
    say(words['share.done']);
  } catch {
    say(shared.href);
  }
});

function say(text) {
  const said = document.getElementById('said');
  if (said) said.textContent = text;
}

// ------------------------------------------------------------------ evidence

const dialog = document.getElementById('evidence');
if (dialog) {
  document.addEventListener('click', async (event) => {
    const button = event.target.closest('[data-evidence], [data-evidence-at]');
    if (!button) return;
    const content = dialog.querySelector('.content');
    content.textContent = '';
    dialog.showModal();
    const query = new URLSearchParams({
      site: page.site, id: button.dataset.evidence, lang: root.lang,
    });
    // Figures of the page's window are asked for with it.
    const isOfWindow = 'ofWindow' in button.dataset;
    if (isOfWindow) {
      const here = new URLSearchParams(location.search);
      for (const name of ['range', 'from', 'to']) {
        if (here.has(name)) query.set(name, here.get(name));
      }
    }
    const asked = isOfWindow ? '/_board/figures/evidence' : '/_board/evidence';
    const address = button.dataset.evidenceAt
      ? `${button.dataset.evidenceAt}&lang=${root.lang}` : `${asked}?${query}`;
    try {
      const answer = await fetch(address, { cache: 'no-store' });
      if (!answer.ok) throw new Error(String(answer.status));
      content.innerHTML = await answer.text();
    } catch {
      content.textContent = words['evidence.failed'];
    }
    const title = content.querySelector('h2');
    if (title) title.focus();
  });
  // The second click: the stored intervals behind one series of the evidence.
  dialog.addEventListener('click', async (event) => {
    const button = event.target.closest('[data-points]');
    if (!button) return;
    const place = dialog.querySelector('.points');
    try {
      const answer = await fetch(
        `/_board/points?site=${page.site}&lang=${root.lang}&${button.dataset.points}`,
        { cache: 'no-store' },
      );
      if (!answer.ok) throw new Error(String(answer.status));
      place.innerHTML = await answer.text();
      place.querySelector('h3')?.focus();
    } catch {
      place.textContent = words['evidence.failed'];
    }
  });
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog || event.target.closest('[data-close]')) dialog.close();
  });
}

beat();
setInterval(beat, 1000);
