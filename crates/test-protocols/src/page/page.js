// One WebSocket, and everything that happens to it, written down.

import { humanBytes, pauseStats, resumeStats } from './stats.js';

const MAX_ROWS = 500;
const MAX_PREVIEW_CHARS = 400;
const MAX_PREVIEW_BYTES = 48;
const MAX_BINARY_BYTES = 80 * 1024 * 1024;
const MAX_BURST = 10_000;
const MAX_PING_BYTES = 125;
const MAX_REASON_BYTES = 123;
const MAX_WAITING = 20_000;
const ANNOUNCE_EVERY_MS = 3000;

const encoder = new TextEncoder();
const element = (id) => document.getElementById(id);
const bytesOf = (text) => encoder.encode(text);
const count = (n) => n.toLocaleString('en');
const plural = (n, noun) => `${count(n)} ${noun}${n === 1 ? '' : 's'}`;
const milliseconds = (ms) => `${ms.toLocaleString('en', { minimumFractionDigits: 1, maximumFractionDigits: 1 })}\u00a0ms`;

// The connection, from the click on Connect until the next one.

let connection = null;

class Connection {
  constructor(url, protocol) {
    this.protocol = protocol;
    this.answers = protocol !== '';
    this.broadcasts = protocol.startsWith('echo-broadcast');
    this.startedAt = performance.now();
    this.waiting = [];
    this.sent = { messages: 0, bytes: 0 };
    this.received = { messages: 0, bytes: 0 };
    this.trips = new Trips();
    this.burst = null;
    this.socket = protocol === '' ? new WebSocket(url) : new WebSocket(url, protocol);
    this.socket.binaryType = 'arraybuffer';
    this.socket.addEventListener('open', () => this.onOpen());
    this.socket.addEventListener('message', (event) => this.onMessage(event.data));
    this.socket.addEventListener('error', () => this.onError());
    this.socket.addEventListener('close', (event) => this.onClose(event));
  }

  get isOpen() {
    return this.socket.readyState === WebSocket.OPEN;
  }

  get isOver() {
    return this.socket.readyState === WebSocket.CLOSED;
  }

  onOpen() {
    const { protocol: agreed, extensions } = this.socket;
    const protocol = agreed ? `subprotocol ${agreed}` : 'no subprotocol';
    const names = extensions.split(',').map((one) => one.split(';')[0].trim()).join(', ');
    log({ kind: 'event', title: 'open', note: `${protocol}, ${extensions || 'no extensions'}` });
    element('agreed').textContent = agreed || 'none';
    element('extensions').textContent = names || 'none';
    element('extensions').title = extensions;
    showState('open', 'Open');
    resumeStats();
    announce(`Connected, ${protocol}, ${names || 'no extensions'}.`);
    const button = element('connect');
    // On a phone the focus would raise the keyboard over the log.
    if (document.activeElement === button && matchMedia('(pointer: fine)').matches) focusMessage();
  }

  onError() {
    log({ kind: 'error', title: 'error', note: 'browsers do not say which; the close below is all there is to know' });
  }

  onClose({ code, reason, wasClean }) {
    if (this.burst) this.burst.end('cut off by the close');
    const clean = wasClean ? 'clean' : 'not clean';
    const words = [`code ${code}${CLOSE_NAMES[code] ? ` (${CLOSE_NAMES[code]})` : ''}`, clean];
    if (this.waiting.length) words.push(`${plural(this.waiting.length, 'answer')} missing`);
    log({ kind: wasClean ? 'event' : 'error', title: 'close', note: words.join(', '), body: reason, ends: true });
    this.waiting = [];
    showState('closed', `Closed · ${code}`, wasClean);
    // The server has left, or may have: to ask it would only fill the browser's console.
    if (code === 1001 || code === 1006) pauseStats(`after close code ${code}`);
    announce(`Closed with code ${code}, ${clean}${reason ? `: ${reason}` : ''}.`);
  }

  onMessage(data) {
    const now = performance.now();
    const isText = typeof data === 'string';
    const bytes = isText ? bytesOf(data) : new Uint8Array(data);
    this.received.messages += 1;
    this.received.bytes += bytes.length;
    const words = [isText ? 'text' : 'binary', plural(bytes.length, 'byte')];
    const sent = this.answers ? this.takeWaiting(fingerprint(isText, bytes)) : null;
    if (sent) {
      const trip = now - sent.at;
      this.trips.add(trip);
      words.push(`round trip ${milliseconds(trip)}`);
      if (!sent.same) words.push('NOT what was sent');
      if (sent.skipped) words.push(`${plural(sent.skipped, 'answer')} before it never came`);
    } else {
      words.push(this.broadcasts ? 'from another connection' : 'not an answer');
    }
    const kind = sent && !sent.same ? 'error' : sent ? 'in' : 'other';
    log({ kind, at: now, title: 'received', note: words.join(', '), body: preview(data, bytes) });
    announceReceived(isText ? data : plural(bytes.length, 'byte'));
    if (sent?.burst) sent.burst.answered(now - sent.at);
  }

  // Answers come back in the order of sending, but a broadcast brings the messages of others between
  // them, and one that the server dropped for a slow member never comes: the content decides.
  takeWaiting(print) {
    const index = this.waiting.findIndex((sent) => sent.print === print);
    if (index < 0 && this.broadcasts) return null;
    const taken = this.waiting.splice(0, Math.max(index, 0) + 1).at(-1);
    return taken ? { ...taken, same: index >= 0, skipped: Math.max(index, 0) } : null;
  }

  send(payload, burst = null) {
    const isText = typeof payload === 'string';
    const bytes = isText ? bytesOf(payload) : payload;
    const print = this.answers ? fingerprint(isText, bytes) : '';
    const at = performance.now();
    this.socket.send(payload);
    this.sent.messages += 1;
    this.sent.bytes += bytes.length;
    if (this.answers) {
      this.waiting.push({ at, print, burst });
      if (this.waiting.length > MAX_WAITING) this.waiting.shift();
    }
    const note = `${isText ? 'text' : 'binary'}, ${plural(bytes.length, 'byte')}`;
    log({ kind: 'out', at, title: 'sent', note, body: preview(payload, bytes) });
  }

  close(code, reason) {
    const words = [code === undefined ? 'no code' : `code ${code}`];
    if (this.socket.readyState === WebSocket.CONNECTING) words.push('while connecting: the browser gives up');
    log({ kind: 'event', title: 'closing', note: words.join(', '), body: reason });
    showState('closing', 'Closing…');
    if (code === undefined) this.socket.close();
    else this.socket.close(code, reason);
  }
}

const CLOSE_NAMES = {
  1000: 'normal', 1001: 'going away', 1002: 'protocol error', 1003: 'unsupported data', 1005: 'no code received',
  1006: 'no Close frame received', 1007: 'invalid payload', 1008: 'policy violation', 1009: 'message too big',
  1010: 'extension missing', 1011: 'internal error', 1012: 'service restart', 1013: 'try again later', 1014: 'bad gateway',
};

class Trips {
  count = 0;
  sum = 0;
  min = Infinity;
  max = 0;

  add(ms) {
    this.count += 1;
    this.sum += ms;
    this.min = Math.min(this.min, ms);
    this.max = Math.max(this.max, ms);
  }

  toString() {
    if (this.count === 0) return '–';
    return [this.min, this.sum / this.count, this.max].map((ms) => ms.toFixed(1)).join(' / ');
  }
}

class Burst {
  constructor(connection, total, size, pace) {
    Object.assign(this, { connection, total, size, sent: 0, trips: new Trips(), startedAt: performance.now() });
    // A tag of its own, so that two tabs that burst at once do not take each other's answers.
    this.tag = Math.random().toString(36).slice(2, 6);
    this.inTurns = pace === 'turns' && connection.answers;
    connection.burst = this;
    log({ kind: 'event', title: 'burst', note: `${plural(total, 'message')} of ${plural(size, 'byte')}` });
    do this.sendNext(); while (!this.inTurns && this.sent < total);
    if (!connection.answers) this.end('sent; this protocol does not answer');
  }

  sendNext() {
    this.sent += 1;
    this.connection.send(`${this.sent}.${this.tag}`.padEnd(this.size, '.').slice(0, this.size), this);
  }

  answered(trip) {
    if (this.connection.burst !== this) return;
    this.trips.add(trip);
    if (this.trips.count === this.total) this.end('complete');
    else if (this.inTurns && this.sent < this.total && this.connection.isOpen) this.sendNext();
  }

  end(how) {
    this.connection.burst = null;
    const words = [how, `${count(this.sent)} sent`];
    if (this.connection.answers) words.push(`${count(this.trips.count)} answered`);
    if (this.trips.count) words.push(`round trip ${this.trips} ms`);
    words.push(`took ${milliseconds(performance.now() - this.startedAt)}`);
    log({ kind: 'event', title: 'burst', note: words.join(', ') });
    announce(`Burst ${words.slice(0, -1).join(', ')}.`);
    showButtons();
  }
}

// Kept in place of the payload: a waiting answer of 64 MiB must not pin 64 MiB.
function fingerprint(isText, bytes) {
  let hash = 0x811c9dc5;
  for (let i = 0; i < bytes.length; i += 1) hash = Math.imul(hash ^ bytes[i], 0x01000193);
  return `${isText ? 't' : 'b'}${bytes.length}:${hash >>> 0}`;
}

function preview(data, bytes) {
  if (bytes.length === 0) return '(empty)';
  if (typeof data === 'string') {
    if (data.length <= MAX_PREVIEW_CHARS) return data;
    // By code points, lest the cut leaves half a character.
    return `${[...data.slice(0, MAX_PREVIEW_CHARS + 1)].slice(0, -1).join('')} … (cut here for the log)`;
  }
  const shown = [...bytes.subarray(0, MAX_PREVIEW_BYTES)].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
  return bytes.length > MAX_PREVIEW_BYTES ? `${shown} …` : shown;
}

// The log: rows wait for the next frame of the screen, and only as many as can be shown. A hidden
// tab paints no frames, so the queue has to be bounded as the list is.

let queue = [];
let dropped = 0;
let unseen = 0;
let frameAsked = false;
let paused = false;

function log(row) {
  const at = row.at ?? performance.now();
  const live = connection !== null && !connection.isOver && !row.ends;
  queue.push({ ...row, live, since: connection ? at - connection.startedAt : null, clock: new Date() });
  if (queue.length > MAX_ROWS) {
    queue.shift();
    dropped += 1;
  }
  refresh();
}

function refresh() {
  if (frameAsked) return;
  frameAsked = true;
  requestAnimationFrame(() => {
    frameAsked = false;
    showRows();
    showCounts();
  });
}

function showRows() {
  const rows = element('rows');
  if (paused) unseen += queue.length;
  rows.append(...queue.map(rowOf));
  queue = [];
  while (rows.childElementCount > MAX_ROWS) {
    rows.firstElementChild.remove();
    dropped += 1;
  }
  element('empty').hidden = rows.childElementCount > 0;
  element('dropped').textContent = dropped ? `Latest ${MAX_ROWS}; ${count(dropped)} older dropped` : '';
  showPause();
  if (!paused) scrollToNewest();
}

function rowOf({ kind, title, note, body, live, since, clock }) {
  const row = element('row').content.firstElementChild.cloneNode(true);
  const set = (part, text) => { row.querySelector(part).textContent = text; };
  row.className = `${kind}${live ? ' live' : ''}`;
  set('.since', since === null ? '–' : milliseconds(since));
  set('time', `${clock.toTimeString().slice(0, 8)}.${String(clock.getMilliseconds()).padStart(3, '0')}`);
  row.querySelector('time').dateTime = clock.toISOString();
  set('.title', title);
  set('.note', note);
  set('.body', body ?? '');
  return row;
}

function showCounts() {
  if (!connection) return;
  const text = ({ messages, bytes }) => `${count(messages)} · ${humanBytes(bytes)}`;
  element('sent').textContent = text(connection.sent);
  element('received').textContent = text(connection.received);
  element('round-trip').textContent = String(connection.trips);
}

function scrollToNewest() {
  const body = element('log-body');
  body.scrollTop = body.scrollHeight;
}

function showPause() {
  const button = element('pause');
  button.classList.toggle('on', paused);
  button.textContent = !paused ? 'Pause scrolling' : unseen ? `Resume (${count(unseen)} new)` : 'Resume';
}

function setPaused(value) {
  paused = value;
  unseen = 0;
  showPause();
  if (!paused) scrollToNewest();
}

// What a screen reader is told: changes of state at once, messages as a sum every few seconds.

let heard = 0;

function announce(text) {
  element('announcer').textContent = text;
}

function announceReceived(text) {
  heard += 1;
  if (heard > 1) return;
  setTimeout(() => {
    announce(heard === 1 ? `Received: ${text.slice(0, 120)}` : `${heard} messages received.`);
    heard = 0;
  }, ANNOUNCE_EVERY_MS);
}

// The controls.

function showState(state, words, clean = true) {
  document.body.dataset.state = state;
  document.body.dataset.clean = String(clean);
  element('state').textContent = words;
  element('protocols').disabled = state !== 'closed';
  showButtons();
}

function showButtons() {
  const { state } = document.body.dataset;
  element('connect').textContent = { closed: 'Connect', connecting: 'Cancel', open: 'Close', closing: 'Closing…' }[state];
  element('connect').setAttribute('aria-disabled', String(state === 'closing'));
  element('send').textContent = connection?.burst && chosen('kind') === 'burst' ? 'Stop burst' : 'Send';
  element('send').setAttribute('aria-disabled', String(state !== 'open'));
}

const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`).value;
const socketAddress = () => `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/`;

function connect() {
  const protocol = chosen('protocol');
  // Disabling the radio that has the focus would drop it on the floor.
  if (element('protocols').contains(document.activeElement)) element('connect').focus();
  try {
    connection = new Connection(socketAddress(), protocol);
  } catch (error) {
    complain(`This page has no server to connect to: ${error.message}`);
    return;
  }
  complain('');
  for (const id of ['agreed', 'extensions']) element(id).textContent = '–';
  element('extensions').title = '';
  const note = `${socketAddress()}, offering ${protocol || 'no subprotocol'}`;
  log({ kind: 'event', at: connection.startedAt, title: 'connecting', note });
  showState('connecting', 'Connecting…');
}

function closeAsAsked() {
  const [codeField, reasonField] = [element('close-code'), element('close-reason')];
  const [code, reason] = [codeField.value.trim(), reasonField.value];
  const legal = code === '' || code === '1000' || (/^[34]\d{3}$/).test(code);
  codeField.setCustomValidity(legal ? '' : 'A browser sends 1000 or 3000 to 4999 only.');
  const size = bytesOf(reason).length;
  reasonField.setCustomValidity(
    size > MAX_REASON_BYTES ? `${size} bytes: at most ${MAX_REASON_BYTES} fit.`
      : reason && !code ? 'A reason needs a code.' : '');
  for (const field of [codeField, reasonField]) {
    if (field.validationMessage) {
      element('close-options').open = true;
      field.reportValidity();
      return;
    }
  }
  connection.close(code === '' ? undefined : Number(code), reason);
}

function complain(text, field) {
  element('problem').textContent = text;
  for (const input of document.querySelectorAll('#message [aria-invalid]')) input.removeAttribute('aria-invalid');
  field?.setAttribute('aria-invalid', 'true');
  field?.focus();
}

function sendAsAsked() {
  if (!connection?.isOpen) return complain('Not connected: nothing was sent.');
  complain('');
  const kind = chosen('kind');
  if (kind === 'text') return connection.send(element('text').value);
  if (kind === 'binary') {
    const bytes = binaryAsAsked();
    return bytes && connection.send(bytes);
  }
  if (connection.burst) return connection.burst.end('stopped');
  const total = wholeNumber('burst-count', 1, MAX_BURST);
  const size = total === null ? null : wholeNumber('burst-size', 0, MAX_PING_BYTES);
  if (size === null) return;
  new Burst(connection, total, size, element('burst-pace').value);
  showButtons();
}

function binaryAsAsked() {
  const field = element('hex');
  const hex = field.value.replace(/0x|[\s,:]/gi, '');
  if (hex) {
    if (/^([0-9a-f]{2})+$/i.test(hex)) return Uint8Array.from(hex.match(/../g), (pair) => parseInt(pair, 16));
    complain('Hex is two digits 0–9, a–f for each byte.', field);
    return null;
  }
  const size = wholeNumber('size', 0, MAX_BINARY_BYTES);
  if (size === null) return null;
  const bytes = new Uint8Array(size);
  // getRandomValues refuses more at a time.
  for (let at = 0; at < size; at += 65536) crypto.getRandomValues(bytes.subarray(at, at + 65536));
  return bytes;
}

function wholeNumber(id, min, max) {
  const field = element(id);
  const text = field.value.replace(/[\s,_]/g, '');
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= min && value <= max) return value;
  complain(`A whole number from ${min} to ${count(max)}, please.`, field);
  return null;
}

function focusMessage() {
  document.querySelector(`[data-kind="${chosen('kind')}"]`).querySelector('textarea, input').focus();
}

function showProtocol() {
  const protocol = chosen('protocol');
  const hash = new URLSearchParams({ protocol });
  history.replaceState(null, '', `#${hash}`);
  hash.set('connect', '1');
  element('second-tab').hidden = !protocol.startsWith('echo-broadcast');
  element('second-tab').querySelector('a').href = `#${hash}`;
}

function showKind() {
  for (const part of document.querySelectorAll('[data-kind]')) part.hidden = part.dataset.kind !== chosen('kind');
  complain('');
  showButtons();
}

// The address may choose: #protocol=echo-broadcast&connect=1, or the same as a query.
function obeyAddress() {
  const wishes = new URLSearchParams(location.hash.slice(1) || location.search);
  const radio = [...document.querySelectorAll('input[name="protocol"]')].find((input) => input.value === wishes.get('protocol'));
  if (radio) radio.checked = true;
  showProtocol();
  if (wishes.get('connect') === '1') connect();
}

element('connection').addEventListener('submit', (event) => {
  event.preventDefault();
  if (!connection || connection.isOver) connect();
  else if (connection.socket.readyState !== WebSocket.CLOSING) closeAsAsked();
});
element('message').addEventListener('submit', (event) => {
  event.preventDefault();
  sendAsAsked();
});
element('text').addEventListener('keydown', (event) => {
  // While an input method is composing, Enter chooses a word.
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  sendAsAsked();
});
element('protocols').addEventListener('change', showProtocol);
document.querySelector('.kinds').addEventListener('change', showKind);
element('pause').addEventListener('click', () => setPaused(!paused));
element('clear').addEventListener('click', () => {
  queue = [];
  dropped = 0;
  unseen = 0;
  element('rows').replaceChildren();
  refresh();
});
element('log-body').addEventListener('scroll', ({ currentTarget: body }) => {
  // Our own scrolling always ends at the newest row, so anywhere else is the reader's doing.
  if (!paused && body.scrollHeight - body.scrollTop - body.clientHeight > 8) setPaused(true);
});
new ResizeObserver(() => paused || scrollToNewest()).observe(element('log-body'));

element('address').textContent = socketAddress();
showKind();
obeyAddress();
