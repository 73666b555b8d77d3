// One live feed of the server: an EventSource that comes back by itself, and polling where event
// streams do not get through. Runs in the shared worker, or in the page where there is none.

const RETRY_MS = [500, 1000, 2000, 3000, 4000];
const SILENCE_MS = 12000; // the server speaks at least every 5 s
const POLL_MS = 15000;
const FAILURES_BEFORE_POLLING = 3;

export class LiveFeed {
  // tell({type: 'cards'|'beat'|'fault'|'lost'|'over', data})
  constructor(address, snapshotAddress, tell) {
    this.address = address;
    this.snapshotAddress = snapshotAddress;
    this.tell = tell;
    this.failures = 0;
    this.source = null;
    this.timers = new Set();
    this.isOpen = false;
  }

  open() {
    if (this.isOpen) return;
    this.isOpen = true;
    this.failures = 0;
    this.connect();
  }

  close() {
    this.isOpen = false;
    this.drop();
  }

  drop() {
    if (this.source) this.source.close();
    this.source = null;
    for (const timer of this.timers) clearTimeout(timer);
    this.timers.clear();
    this.watchdog = null;
  }

  later(action, ms) {
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      action();
    }, ms);
    this.timers.add(timer);
    return timer;
  }

  connect() {
    this.drop();
    if (!this.isOpen) return;
    const source = new EventSource(this.address);
    this.source = source;
    for (const type of ['cards', 'beat', 'fault', 'over']) {
      source.addEventListener(type, (event) => {
        if (source !== this.source) return;
        this.failures = 0;
        this.watch();
        this.tell({ type, data: JSON.parse(event.data || '{}') });
        if (type === 'over') this.close();
      });
    }
    source.onerror = () => {
      if (source === this.source) this.fail();
    };
    this.watch();
  }

  watch() {
    if (this.watchdog) {
      clearTimeout(this.watchdog);
      this.timers.delete(this.watchdog);
    }
    this.watchdog = this.later(() => this.fail(), SILENCE_MS);
  }

  fail() {
    this.drop();
    if (!this.isOpen) return;
    this.failures += 1;
    this.tell({ type: 'lost', data: {} });
    if (this.failures >= FAILURES_BEFORE_POLLING) this.poll();
    const wait = RETRY_MS[Math.min(this.failures, RETRY_MS.length) - 1];
    this.later(() => this.connect(), wait * (0.8 + Math.random() * 0.4));
  }

  // The stream failed again and again: ask once whether the session is over, or whether plain
  // requests still get through.
  async poll() {
    const now = Date.now();
    if (this.polledAt && now - this.polledAt < POLL_MS) return;
    this.polledAt = now;
    try {
      const answer = await fetch(this.snapshotAddress, { cache: 'no-store' });
      if (!this.isOpen) return;
      if (answer.status === 401) {
        this.tell({ type: 'over', data: {} });
        this.close();
      } else if (answer.ok) {
        this.tell({ type: 'cards', data: await answer.json() });
      }
    } catch {
      // Still no way through; the next attempt is under way.
    }
  }
}
