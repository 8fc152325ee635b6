// What the server counts: /stats about once a second, as numbers and as small plots.
//
// The server tells totals only; rates are differences between two readings. It is asked while the
// page is visible and for as long as it answers: a browser writes every request that fails into its
// console, so after the first one nobody asks again until there is a reason to.

const PERIOD_MS = 1000;
const PATIENCE_MS = 5000;
const POINTS = 120;
const [WIDTH, HEIGHT] = [POINTS - 1, 32];

const element = (id) => document.getElementById(id);
const count = (n) => n.toLocaleString('en');

function perSecond(rate) {
  return rate.toLocaleString('en', { maximumFractionDigits: rate < 10 ? 1 : 0 });
}

export function humanBytes(bytes) {
  let [value, unit] = [bytes, 'B'];
  for (const larger of ['KiB', 'MiB', 'GiB', 'TiB']) {
    if (value < 1024) break;
    [value, unit] = [value / 1024, larger];
  }
  return `${unit === 'B' ? count(Math.round(value)) : value.toFixed(1)}\u00a0${unit}`;
}

const sum = (counts) => Object.values(counts).reduce((total, n) => total + n, 0);

// One plot each; a line is a level, or the rate of a total. Its class is how it looks: what goes to
// and from the server, `in` and `out` as the server has it, has the colours of the log.
const PLOTS = [
  { title: 'Open sessions', show: count,
    lines: [{ name: 'now', look: 'first', level: (stats) => stats.open }] },
  { title: 'Handshakes', unit: 'per s', show: perSecond, showTotal: count,
    lines: [
      { name: 'accepted', look: 'first', total: (stats) => stats.opened },
      { name: 'refused', look: 'second', total: (stats) => sum(stats.refused) },
    ] },
  { title: 'Messages', unit: 'per s', show: perSecond, showTotal: count,
    lines: [
      { name: 'in', look: 'to', total: (stats) => stats.messages_in },
      { name: 'out', look: 'from', total: (stats) => stats.messages_out },
    ] },
  { title: 'Payload', unit: 'per s', show: humanBytes, showTotal: humanBytes,
    lines: [
      { name: 'in', look: 'to', total: (stats) => stats.bytes_in },
      { name: 'out', look: 'from', total: (stats) => stats.bytes_out },
    ] },
  { title: 'Pings, pongs', unit: 'per s', show: perSecond, showTotal: count,
    lines: [
      { name: 'in', look: 'to', total: (stats) => stats.pings_in + stats.pongs_in },
      { name: 'out', look: 'from', total: (stats) => stats.pings_out + stats.pongs_out },
    ] },
  { title: 'Dropped', unit: 'per s', show: perSecond, showTotal: count,
    lines: [{ name: 'missed', look: 'second', total: (stats) => stats.dropped }] },
];

class Line {
  constructor(line, plot) {
    Object.assign(this, line, { plot, points: Array(POINTS).fill(null) });
    const row = element('plot-line').content.firstElementChild.cloneNode(true);
    row.classList.add(this.look);
    row.querySelector('dt').textContent = this.name;
    this.row = row;
    this.path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
    this.path.setAttribute('class', this.look);
  }

  // `seconds` since the reading before, or null if there is none to compare with.
  take(stats, previous, seconds) {
    const point = this.level ? this.level(stats)
      : seconds === null ? null : (this.total(stats) - this.total(previous)) / seconds;
    this.points.push(point);
    this.points.shift();
    const { show, showTotal } = this.plot;
    this.row.querySelector('.now').textContent = point === null ? '–' : show(point);
    this.row.querySelector('.total').textContent = this.total ? `${showTotal(this.total(stats))} in all` : '';
  }

  get highest() {
    return Math.max(0, ...this.points.filter((point) => point !== null));
  }

  // A point that is missing breaks the line; one that stands alone is a dot, by its round cap.
  draw(highest) {
    const scale = highest === 0 ? 0 : (HEIGHT - 4) / highest;
    let isDown = false;
    const steps = this.points.map((point, x) => {
      if (point === null) {
        isDown = false;
        return '';
      }
      const place = `${x} ${(HEIGHT - 2 - point * scale).toFixed(1)}`;
      const step = isDown ? `L${place}` : `M${place}h0`;
      isDown = true;
      return step;
    });
    this.path.setAttribute('d', steps.join(''));
  }
}

class Plot {
  constructor(plot) {
    Object.assign(this, plot);
    const figure = element('plot').content.firstElementChild.cloneNode(true);
    figure.querySelector('.plot-title').textContent = this.title;
    figure.querySelector('.unit').textContent = this.unit ?? '';
    this.peak = figure.querySelector('.peak');
    this.lines = plot.lines.map((line) => new Line(line, this));
    const svg = figure.querySelector('svg');
    svg.setAttribute('viewBox', `0 0 ${WIDTH} ${HEIGHT}`);
    svg.append(...this.lines.map((line) => line.path));
    figure.querySelector('dl').append(...this.lines.map((line) => line.row));
    this.figure = figure;
  }

  take(stats, previous, seconds) {
    for (const line of this.lines) line.take(stats, previous, seconds);
    const highest = Math.max(...this.lines.map((line) => line.highest));
    for (const line of this.lines) line.draw(highest);
    this.peak.textContent = `peak ${this.show(highest)}`;
  }
}

const plots = PLOTS.map((plot) => new Plot(plot));

function listed(counts) {
  const found = Object.entries(counts).filter(([, n]) => n > 0);
  return found.map(([key, n]) => `${key.replaceAll('_', ' ')}: ${count(n)}`).join(', ') || 'none';
}

function showReading(stats, previous, seconds) {
  for (const plot of plots) plot.take(stats, previous, seconds);
  const set = (id, text) => { element(id).textContent = text; };
  set('stats-closed', listed(stats.closed));
  set('stats-refused', listed(stats.refused));
  set('stats-failed', count(stats.failed_upgrades));
  set('stats-cut', count(stats.cut_events));
  set('stats-handshakes', count(stats.handshakes));
  set('stats-waiting', `${count(stats.most_waiting_messages)} · ${humanBytes(stats.most_waiting_bytes)}`);
  element('stats-brief').textContent = `${count(stats.open)} open, ${count(stats.opened)} so far`;
}

// Asking.

let last = null;
let timer = null;
let isAsking = false;
let isPaused = false;

class Refusal extends Error {}

async function read() {
  const response = await fetch('/stats', { signal: AbortSignal.timeout(PATIENCE_MS) });
  if (!response.ok) throw new Refusal(`answered with HTTP status ${response.status}`);
  return response.json();
}

async function ask() {
  timer = null;
  isAsking = true;
  try {
    const stats = await read();
    const at = performance.now();
    if (isPaused || document.hidden) return;
    // Totals that went back are those of another server, which has begun anew.
    const continues = last !== null && stats.opened >= last.stats.opened && stats.messages_in >= last.stats.messages_in
      && stats.messages_out >= last.stats.messages_out;
    showReading(stats, last?.stats, continues ? (at - last.at) / 1000 : null);
    last = { stats, at };
  } catch (error) {
    if (!isPaused) pauseStats(error instanceof Refusal ? error.message : 'the server does not answer');
  } finally {
    isAsking = false;
    askLater(PERIOD_MS);
  }
}

function askLater(ms) {
  if (isPaused || isAsking || timer !== null || document.hidden) return;
  timer = setTimeout(ask, ms);
}

function stopAsking() {
  clearTimeout(timer);
  timer = null;
  // A rate over the time that nobody looked would be an average that looks like a moment.
  last = null;
}

export function pauseStats(why) {
  isPaused = true;
  stopAsking();
  element('stats-state').textContent = `Paused: ${why}`;
  element('stats-pause').hidden = false;
}

export function resumeStats() {
  isPaused = false;
  // The focus would be lost with the button that has it.
  if (document.activeElement === element('stats-resume')) element('stats').querySelector('summary').focus();
  element('stats-pause').hidden = true;
  askLater(0);
}

element('plots').append(...plots.map((plot) => plot.figure));
// On a small screen its line is enough until somebody wants more.
element('stats').open = matchMedia('(min-width: 1160px) and (min-height: 700px)').matches;
element('stats-resume').addEventListener('click', resumeStats);
document.addEventListener('visibilitychange', () => (document.hidden ? stopAsking() : askLater(0)));
askLater(0);
