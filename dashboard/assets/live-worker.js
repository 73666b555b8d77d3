// Shares one live feed among all tabs of a browser: over HTTP/1.1 a browser opens six connections
// to a host, and a feed in each tab would take them all.

import { LiveFeed } from './live-feed.js';

const HIDDEN_MS = 60000;
const feeds = new Map();

function enter(port, message) {
  let entry = feeds.get(message.address);
  if (!entry) {
    entry = { ports: new Map(), last: null, closing: null };
    entry.feed = new LiveFeed(message.address, message.snapshotAddress, (told) => {
      if (told.type === 'cards' || told.type === 'over') entry.last = told;
      for (const other of entry.ports.keys()) other.postMessage(told);
    });
    feeds.set(message.address, entry);
  }
  entry.ports.set(port, true);
  if (entry.last && entry.last.type === 'cards') port.postMessage(entry.last);
  settle(message.address);
}

function settle(address) {
  const entry = feeds.get(address);
  if (!entry) return;
  const isSeen = [...entry.ports.values()].some(Boolean);
  if (isSeen) {
    clearTimeout(entry.closing);
    entry.closing = null;
    entry.feed.open();
  } else if (entry.ports.size === 0) {
    entry.feed.close();
    clearTimeout(entry.closing);
    feeds.delete(address);
  } else if (!entry.closing) {
    entry.closing = setTimeout(() => {
      entry.closing = null;
      entry.feed.close();
    }, HIDDEN_MS);
  }
}

self.onconnect = (event) => {
  const port = event.ports[0];
  port.onmessage = ({ data }) => {
    if (data.type === 'enter') return enter(port, data);
    const entry = feeds.get(data.address);
    if (!entry) return undefined;
    if (data.type === 'leave') entry.ports.delete(port);
    else entry.ports.set(port, data.type === 'visible');
    return settle(data.address);
  };
};
