'use strict';
// Draws what the server says once a second. Names are text of whoever chose them: they only ever become text nodes.
(() => {
  const SAMPLES = 300;            // seconds of the charts
  const SPARK = 120;              // seconds of a client's charts
  const RETRY = 1000;             // milliseconds until the server is tried again
  const SILENCE = 5000;           // milliseconds without news after which the page says so
  const SVG = 'http://www.w3.org/2000/svg';
  const at = (id) => document.getElementById(id);

  const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];
  const bytes = (value) => {
    let unit = 0;
    while (value >= 999.95 && unit + 1 < UNITS.length) { value /= 1024; unit += 1; }
    return `${unit === 0 ? Math.round(value) : value < 99.95 ? value.toFixed(1) : value.toFixed(0)} ${UNITS[unit]}`;
  };
  const rate = (value) => (value === null || value === undefined ? '–' : `${bytes(value)}/s`);
  const count = (value) => value.toLocaleString('en');
  const percent = (part, whole) => (whole > 0 ? Math.min(100, Math.floor(100 * part / whole)) : 0);
  const millis = (micros) => (micros >= 10000 ? `${Math.round(micros / 1000)} ms` : `${(micros / 1000).toFixed(1)} ms`);
  const span = (ms) => {
    const s = Math.floor(ms / 1000), m = Math.floor(s / 60), h = Math.floor(m / 60), d = Math.floor(h / 24);
    return d ? `${d}d ${h % 24}h` : h ? `${h}h ${m % 60}m` : m ? `${m}m ${s % 60}s` : `${s}s`;
  };
  const words = (name) => name.replaceAll('_', ' ');

  const say = (node, text) => { if (node.textContent !== text) node.textContent = text; };
  const make = (tag, name, text) => {
    const node = document.createElement(tag);
    if (name) node.className = name;
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const draw = (tag, attributes) => {
    const node = document.createElementNS(SVG, tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return node;
  };
  // Makes the children of a node as many as there are things, and lets `fill` say what each is.
  const each = (node, things, build, fill) => {
    while (node.children.length > things.length) node.lastElementChild.remove();
    things.forEach((thing, n) => {
      if (!node.children[n]) node.append(build());
      fill(node.children[n], thing);
    });
  };

  // A chart of the last `length` values, newest at the right.
  const chart = (svg, values, length, label, most = Math.max(...values)) => {
    if (!svg.firstChild) {
      svg.setAttribute('viewBox', `0 0 ${length - 1} 100`);
      svg.append(draw('line', { class: 'base', x1: 0, x2: length - 1, y1: 100, y2: 100 }),
        draw('path', { class: 'area' }), draw('path', { class: 'line' }));
    }
    const [, area, line] = svg.children;
    const top = Math.max(1, most) * 1.08, first = length - values.length;
    const points = values.map((value, n) => `${first + n} ${(100 - 100 * value / top).toFixed(1)}`);
    line.setAttribute('d', points.length > 1 ? `M${points.join('L')}` : '');
    area.setAttribute('d', points.length > 1 ? `M${first} 100L${points.join('L')}L${length - 1} 100Z` : '');
    if (label) svg.setAttribute('aria-label', label);
  };

  // What the page remembers of clients to draw their charts, by connection.
  const past = new Map();
  const remember = (connection) => {
    const key = `${connection.fingerprint} ${connection.address}`;
    const seen = past.get(key) || { rtt: [], into: [], out: [] };
    const add = (list, value) => { list.push(value || 0); if (list.length > SPARK) list.shift(); };
    add(seen.rtt, connection.rtt_us); add(seen.into, connection.rate_in); add(seen.out, connection.rate_out);
    past.set(key, seen);
    return seen;
  };

  const PHASES = { moving: '', checking: 'checking', committing: 'saving' };
  const fileRow = () => {
    const row = make('li');
    row.append(make('span', 'name'), make('progress'), make('span', 'part'));
    return row;
  };
  const fillFile = (row, file) => {
    const [name, bar, part] = row.children, done = percent(file.bytes_there, file.size);
    say(name, file.path); name.title = file.path;
    bar.max = 100; bar.value = done; bar.setAttribute('aria-label', `${file.path}, how much is there`);
    say(part, PHASES[file.phase] || `${done}%`);
  };
  const jobBox = () => {
    const box = make('div', 'job'), head = make('p');
    head.append(make('b'), make('span'), make('span'), make('span', 'right'));
    box.append(head, make('progress'), make('ul', 'files'), make('p', 'under'));
    return box;
  };
  const fillJob = (box, job, whose) => {
    const [head, bar, files, rest] = box.children, done = percent(job.bytes_there, job.bytes_found);
    const into = job.direction === 'in';
    box.className = `job ${into ? 'in' : 'out'}`;
    const plus = job.scan_ended ? '' : '+';
    say(head.children[0], `${into ? 'Receiving' : 'Sending'} ${done}%`);
    say(head.children[1], `${bytes(job.bytes_there)} of ${bytes(job.bytes_found)}${plus}`);
    say(head.children[2], `${count(job.files_settled)} of ${count(job.files_found)}${plus} files${job.files_failed ? `, ${count(job.files_failed)} failed` : ''}`);
    const left = job.rate > 0 && job.scan_ended ? `, ${span(1000 * (job.bytes_found - job.bytes_there) / job.rate)} left` : '';
    say(head.children[3], `${rate(job.rate)}${left}`);
    bar.max = 100; bar.value = done;
    bar.setAttribute('aria-label', `${into ? 'Received from' : 'Sent to'} ${whose}`);
    each(files, job.active, fileRow, fillFile);
    const more = job.files_active - job.active.length;
    say(rest, more > 0 ? `and ${count(more)} more under way` : '');
  };
  const figure = (kind, label) => {
    const box = make('div', kind), value = make('dd');
    value.append(make('span'), draw('svg', { class: 'spark', role: 'img', preserveAspectRatio: 'none' }));
    box.append(make('dt', '', label), value);
    return box;
  };
  const clientBox = () => {
    const box = make('article', 'client'), who = make('div', 'who'), links = make('dl', 'links');
    who.append(make('h3'), make('p', 'under'));
    links.append(figure('in', 'Receiving'), figure('out', 'Sending'), figure('trip', 'Round trip'));
    box.append(who, links, make('div'));
    return box;
  };
  const fillClient = (box, connection) => {
    const [who, links, jobs] = box.children, seen = remember(connection), whose = connection.peer;
    box.setAttribute('aria-label', whose);
    say(who.children[0], whose);
    const loss = connection.loss > 0 ? `, ${(100 * connection.loss).toFixed(1)}% lost` : '';
    say(who.children[1], `${connection.address} · key ${connection.fingerprint.slice(0, 8)} · worker ${connection.worker} · for ${span(connection.connected_ms)}`);
    const figures = [
      [rate(connection.rate_in), seen.into, `${whose}: receiving, the last two minutes`],
      [rate(connection.rate_out), seen.out, `${whose}: sending, the last two minutes`],
      [`${millis(connection.rtt_us)}${loss}`, seen.rtt, `${whose}: round trip, the last two minutes`],
    ];
    figures.forEach(([text, values, label], n) => {
      const value = links.children[n].children[1];
      say(value.children[0], text);
      // Both ways have one scale, so that what is little looks little.
      chart(value.children[1], values, SPARK, label, n < 2 ? Math.max(...seen.into, ...seen.out) : undefined);
    });
    each(jobs, connection.jobs, jobBox, (node, job) => fillJob(node, job, whose));
  };

  const rates = { into: [], out: [] };
  const drawRates = () => {
    for (const [key, list] of [['in', rates.into], ['out', rates.out]]) {
      const now = list.length ? list[list.length - 1] : 0, peak = Math.max(0, ...list);
      say(at(`rate-${key}`), rate(now));
      say(at(`peak-${key}`), peak > 0 ? `most in five minutes: ${rate(peak)}` : 'nothing in five minutes');
      chart(at(`chart-${key}`), list, SAMPLES, `${key === 'in' ? 'Receiving' : 'Sending'} ${rate(now)}; the last five minutes, at most ${rate(peak)}`);
    }
  };

  const drawDays = (days) => {
    const svg = at('days'), shown = days.slice(-30), top = Math.max(1, ...shown.map((d) => d.received.bytes + d.sent.bytes));
    svg.setAttribute('viewBox', '0 0 30 100');
    svg.replaceChildren();
    shown.forEach((day, n) => {
      const x = 30 - shown.length + n + 0.12, tall = (value) => (value > 0 ? Math.max(1, 98 * value / top) : 0);
      const into = tall(day.received.bytes), out = tall(day.sent.bytes);
      svg.append(draw('rect', { class: 'in', x, width: 0.76, y: 100 - into, height: into }),
        draw('rect', { class: 'out', x, width: 0.76, y: 100 - into - out, height: out }));
    });
    svg.append(draw('line', { class: 'base', x1: 0, x2: 30, y1: 100, y2: 100 }));
    const sum = (of) => shown.reduce((all, day) => all + of(day), 0);
    const text = shown.length
      ? `${shown[0].of} to ${shown[shown.length - 1].of}: ${count(sum((d) => d.jobs))} jobs, ${bytes(sum((d) => d.received.bytes))} received, ${bytes(sum((d) => d.sent.bytes))} sent`
      : 'no job has ended yet';
    say(at('days-span'), text);
    svg.setAttribute('aria-label', text);
    each(at('days-table'), shown.slice().reverse(), () => {
      const row = make('tr');
      for (let n = 0; n < 5; n += 1) row.append(make('td'));
      return row;
    }, (row, day) => {
      [day.of, count(day.jobs), bytes(day.received.bytes), bytes(day.sent.bytes), count(day.unwell)].forEach((text, n) => say(row.children[n], text));
    });
  };

  const drawLook = (look) => {
    const status = look.status;
    say(at('root'), look.root);
    document.title = `qft · ${look.root}`;
    say(at('clients-count'), count(status.clients));
    say(at('clients-max'), `of at most ${count(status.clients_max)}`);
    const refused = look.refused.reduce((all, [, n]) => all + n, 0);
    say(at('refused'), count(refused));
    say(at('refused-why'), look.refused.length ? `most: ${words(look.refused.slice().sort((a, b) => b[1] - a[1])[0][0])}` : 'nobody was turned away');
    say(at('free'), look.free === null ? '–' : bytes(look.free));
    say(at('parts'), look.parts === null ? 'looking for unfinished files' : look.parts.files === 0 ? 'no unfinished files'
      : `${count(look.parts.files)} unfinished, ${bytes(look.parts.bytes)}`);
    say(at('memory'), `${bytes(look.memory)} held for clients`);
    each(at('workers'), status.workers, () => make('span', 'worker'), (node, load) => {
      node.className = load > 0 ? 'worker busy' : 'worker';
      say(node, count(load));
    });
    at('workers').setAttribute('role', 'img');
    at('workers').setAttribute('aria-label', `Connections on each worker: ${status.workers.join(', ')}`);
    each(at('clients'), status.connections, clientBox, fillClient);
    const hidden = status.clients - status.connections.length;
    say(at('more'), hidden > 0 ? `and ${count(hidden)} more` : status.clients === 0 ? 'Nobody is connected.' : '');
    const met = [...look.refused.map(([name, n]) => [`refused: ${words(name)}`, n]), ...look.limits.map(([name, n]) => [`limit: ${words(name)}`, n])];
    each(at('limits'), met.length ? met : [['none so far', '']], () => { const item = make('li'); item.append(make('b'), make('span')); return item; },
      (item, [text, n]) => { say(item.children[0], n === '' ? '' : `${count(n)} `); say(item.children[1], text); });
    say(at('about'), `qft ${status.version}, up ${span(status.uptime_ms)}`);
    // Of those that are gone nothing is remembered.
    const live = new Set(status.connections.map((c) => `${c.fingerprint} ${c.address}`));
    for (const key of past.keys()) if (!live.has(key)) past.delete(key);
    state(status.is_ending ? 'bad' : 'good', status.is_ending ? 'ending: no new clients' : 'serving');
  };
  const state = (kind, text) => { at('state').className = `state ${kind}`; say(at('state'), text); };

  let heard = 0;
  const on = (source, name, take) => source.addEventListener(name, (event) => { heard = Date.now(); take(JSON.parse(event.data)); });
  const listen = () => {
    const source = new EventSource('/events');
    on(source, 'past', ({ into, out }) => { rates.into = into; rates.out = out; drawRates(); });
    on(source, 'days', drawDays);
    on(source, 'look', (look) => {
      for (const [list, value] of [[rates.into, look.rate_in], [rates.out, look.rate_out]]) {
        list.push(value);
        if (list.length > SAMPLES) list.shift();
      }
      drawRates();
      drawLook(look);
    });
    source.addEventListener('error', () => {
      state('bad', 'no connection; trying again');
      // A browser gives up by itself only where the server has answered with a refusal.
      if (source.readyState === EventSource.CLOSED) setTimeout(listen, RETRY);
    });
  };
  setInterval(() => { if (heard && Date.now() - heard > SILENCE) state('bad', 'no connection; trying again'); }, RETRY);
  listen();
})();
