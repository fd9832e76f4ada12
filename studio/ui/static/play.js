// Play: sources (oscillators, sliders, keys, MIDI, gamepads, sound) move parameters through a table of routes. Everything happens in the
// page; the server gets addresses and numbers, nothing else. `element` is the panel.
const MOST = 32, SLOTS = 12, SLOT_KEYS = "1234567890-=", KEPT = "studio-play";
const SHAPES = ["sine", "triangle", "saw", "square", "random", "noise"];
const CURVES = { linear: (x) => x, ease: (x) => x * x * (3 - 2 * x), exponential: (x) => (2 ** (6 * x) - 1) / 63, steps: (x) => Math.round(x * 4) / 4 };
const FEATURES = { level: "loudness", bass: "bass", mid: "middle", treble: "treble", centroid: "brightness (centroid)", onset: "beat (onset)" };
const clamp = (x, low = 0, high = 1) => Math.min(high, Math.max(low, x));
const isNumber = (x, low, high) => typeof x === "number" && x >= low && x <= high;
const $ = (name) => element.querySelector(`[data-part=${name}]`);

// -- state: the preset that is played, and the quick slots ----------------------------------------------------------------------
const EMPTY = { version: 1, bpm: 120, fade: 2, routes: [], sliders: [0.5, 0.5, 0.5, 0.5], pad: [0.5, 0.5] };
const copy = (x) => JSON.parse(JSON.stringify(x));
let preset = copy(EMPTY), slots = Array(SLOTS).fill(null), playing = false, storing = false, learning = null;

const SOURCE_CHECKS = {
  lfo: (s) => SHAPES.includes(s.shape), walk: () => true, time: () => true, slider: (s) => [0, 1, 2, 3].includes(s.index),
  pad: (s) => [0, 1].includes(s.index), key: (s) => typeof s.key === "string" && s.key.length < 20, sound: (s) => s.feature in FEATURES,
  midi: (s) => ["cc", "note", "bend"].includes(s.kind) && typeof s.device === "string" && s.device.length < 200
    && isNumber(s.channel, 0, 15) && isNumber(s.number, 0, 127),
  gamepad: (s) => ["axis", "button"].includes(s.kind) && isNumber(s.index, 0, 63),
};
// A preset of a file -> the parts that are known, each in its range. Throws an Error with a sentence.
function checked(raw) {
  const wrong = (what) => { throw new Error(`This is no preset of the Play panel: ${what}.`); };
  if (!raw || typeof raw !== "object" || raw.version !== 1) wrong("it has no version 1");
  if (!Array.isArray(raw.routes) || raw.routes.length > MOST) wrong(`it has no list of at most ${MOST} routes`);
  const numbers = (list, count) => Array.isArray(list) && list.length === count && list.every((x) => isNumber(x, 0, 1)) ? list.slice() : Array(count).fill(0.5);
  const routes = raw.routes.map((r) => {
    const s = r?.source;
    if (!s || !Object.hasOwn(SOURCE_CHECKS, s.type) || !SOURCE_CHECKS[s.type](s)) wrong("a route has an unknown source");
    if (typeof r.to !== "string" || r.to.length > 300) wrong("a route moves nothing");
    return {
      source: s, to: r.to, from: isNumber(r.from, -1e9, 1e9) ? r.from : 0, until: isNumber(r.until, -1e9, 1e9) ? r.until : 1,
      amount: isNumber(r.amount, 0, 1) ? r.amount : 1, curve: Object.hasOwn(CURVES, r.curve) ? r.curve : "linear",
      smooth: isNumber(r.smooth, 0, 5) ? r.smooth : 0, beats: isNumber(r.beats, 0.0625, 1024) ? r.beats : 4, invert: r.invert === true, on: r.on !== false,
    };
  });
  return { version: 1, bpm: isNumber(raw.bpm, 20, 300) ? raw.bpm : 120, fade: isNumber(raw.fade, 0, 60) ? raw.fade : 2, routes,
    sliders: numbers(raw.sliders, 4), pad: numbers(raw.pad, 2) };
}
const keep = () => localStorage.setItem(KEPT, JSON.stringify({ preset, slots }));
function restore() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEPT));
    if (!kept) return;
    slots = Array.from({ length: SLOTS }, (_, i) => kept.slots?.[i] ? checked(kept.slots[i]) : null);
    preset = checked(kept.preset);
  } catch { /* of an older version, or damaged: the panel begins empty */ }
}

// -- parameters: what the open model has -----------------------------------------------------------------------------------------
let parameters = [];
function readParameters() {
  try { parameters = JSON.parse(document.querySelector("#play-parameters [data-parameters]").dataset.parameters); } catch { parameters = []; }
}
const parameterOf = (address) => parameters.find((p) => p.address === address);

// -- sources ---------------------------------------------------------------------------------------------------------------------
// The same number in [0, 1) for the same n and seed, on every machine.
const hashed = (n, seed = 0) => {
  let h = Math.imul(n ^ Math.imul(seed + 1, 0x9e3779b1), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return ((h ^ (h >>> 16)) >>> 0) / 2 ** 32;
};
const smoothNoise = (p, seed) => {
  const k = Math.floor(p), t = CURVES.ease(p - k);
  return hashed(k, seed) * (1 - t) + hashed(k + 1, seed) * t;
};
const held = new Set(), midi = new Map(), pads = new Map(), sound = { level: 0, bass: 0, mid: 0, treble: 0, centroid: 0, onset: 0 };
const midiName = (s) => `${s.device}|${s.kind}|${s.channel}|${s.number}`;
function oscillator(shape, position, seed) {
  const cycle = Math.floor(position), part = position - cycle;
  if (shape === "sine") return 0.5 - 0.5 * Math.cos(2 * Math.PI * part);
  if (shape === "triangle") return 1 - Math.abs(2 * part - 1);
  if (shape === "saw") return part;
  if (shape === "square") return part < 0.5 ? 0 : 1;
  return shape === "random" ? hashed(cycle, seed) : smoothNoise(position, seed);
}
// Value of a source in [0, 1].  seconds: since playing began.  index: of the route, so that two random ones differ.
function valueOf(source, seconds, beats, index) {
  const position = seconds * preset.bpm / 60 / beats;
  if (source.type === "lfo") return oscillator(source.shape, position, index);
  if (source.type === "walk") return clamp((smoothNoise(position, index) * 4 + smoothNoise(position * 2.1, index + 100) * 2 + smoothNoise(position * 4.3, index + 200)) / 7);
  if (source.type === "time") return position % 1;
  if (source.type === "slider") return preset.sliders[source.index];
  if (source.type === "pad") return preset.pad[source.index];
  if (source.type === "key") return held.has(source.key) ? 1 : 0;
  if (source.type === "midi") return midi.get(midiName(source)) ?? 0;
  if (source.type === "gamepad") return pads.get(`${source.kind}|${source.index}`) ?? 0;
  return sound[source.feature];
}
const label = (s) => ({
  lfo: () => `Oscillator (LFO): ${s.shape}`, walk: () => "Random walk", time: () => "Time", slider: () => `Slider ${s.index + 1}`,
  pad: () => `Pad, ${s.index ? "up" : "across"}`, key: () => `Key ${s.key}`, sound: () => `Sound: ${FEATURES[s.feature]}`,
  midi: () => `MIDI ${{ cc: "knob", note: "note", bend: "pitch wheel" }[s.kind]} ${s.kind === "bend" ? "" : s.number} (${s.device})`,
  gamepad: () => `Gamepad ${s.kind} ${s.index}`,
})[s.type]();
const usual = [
  ...SHAPES.map((shape) => ({ type: "lfo", shape })), { type: "walk" }, { type: "time" }, ...[0, 1, 2, 3].map((index) => ({ type: "slider", index })),
  { type: "pad", index: 0 }, { type: "pad", index: 1 }, ...Object.keys(FEATURES).map((feature) => ({ type: "sound", feature })),
];

// -- what comes from devices -----------------------------------------------------------------------------------------------------
function heard(source, value) {
  if (learning === null || value < 0.3) return;
  preset.routes[learning].source = source;
  learning = null;
  keep(); draw();
}
async function openMidi() {
  if (!navigator.requestMIDIAccess) return say("This browser has no MIDI. Chrome, Edge and Firefox have it.");
  try {
    const access = await navigator.requestMIDIAccess();
    const listen = () => { for (const input of access.inputs.values()) input.onmidimessage = (e) => onMidi(input.name || "MIDI", e.data); };
    access.onstatechange = listen;
    listen();
    const names = [...access.inputs.values()].map((input) => input.name);
    say(names.length ? `MIDI: ${names.join(", ")}` : "MIDI is on; no controller is connected yet.");
  } catch { say("The browser did not allow MIDI. Allow it in the address bar, then press again."); }
}
function onMidi(device, data) {
  const command = data[0] & 0xf0, channel = data[0] & 0x0f;
  if (command === 0xb0) take({ type: "midi", kind: "cc", device, channel, number: data[1] }, data[2] / 127);
  if (command === 0x90 || command === 0x80) {
    const on = command === 0x90 && data[2] > 0;
    take({ type: "midi", kind: "note", device, channel, number: data[1] }, on ? data[2] / 127 : 0);
    if (on && learning === null && $("notes").checked) window.studioLive.move("play", [[["pin", data[1]]]]);
  }
  if (command === 0xe0) take({ type: "midi", kind: "bend", device, channel, number: 0 }, (data[1] + 128 * data[2]) / 16383);
}
const take = (source, value) => { midi.set(midiName(source), value); heard(source, source.kind === "cc" ? 1 : value); };
function readGamepads() {
  const pad = [...(navigator.getGamepads?.() ?? [])].find(Boolean);
  if (!pad) return;
  pad.buttons.forEach((button, index) => { pads.set(`button|${index}`, button.value); heard({ type: "gamepad", kind: "button", index }, button.value); });
  pad.axes.forEach((axis, index) => { pads.set(`axis|${index}`, (axis + 1) / 2); heard({ type: "gamepad", kind: "axis", index }, Math.abs(axis)); });
}

// -- sound: only numbers come out of it --------------------------------------------------------------------------------------------
let ear = null;
async function listenTo(kind, file) {
  try {
    ear?.stop();
    ear = null;
    const context = new AudioContext(), analyser = context.createAnalyser();
    analyser.fftSize = 2048; analyser.smoothingTimeConstant = 0.5;
    let stop = () => {};
    if (kind === "file") {
      const player = new Audio(URL.createObjectURL(file));
      player.loop = true;
      context.createMediaElementSource(player).connect(analyser);
      analyser.connect(context.destination);
      await player.play();
      stop = () => { player.pause(); URL.revokeObjectURL(player.src); };
    } else {
      const stream = kind === "tab" ? await navigator.mediaDevices.getDisplayMedia({ audio: true, video: true }) : await navigator.mediaDevices.getUserMedia({ audio: true });
      if (!stream.getAudioTracks().length) { stream.getTracks().forEach((t) => t.stop()); return say("That tab was shared without its sound: tick 'share audio'."); }
      context.createMediaStreamSource(stream).connect(analyser);
      stop = () => stream.getTracks().forEach((t) => t.stop());
    }
    ear = { analyser, wave: new Float32Array(2048), bins: new Uint8Array(1024), before: new Uint8Array(1024), flux: 0, stop: () => { stop(); context.close(); } };
    say("Listening.");
  } catch { say("No sound could be opened. Allow it in the address bar, or choose another source."); }
}
function readSound(seconds) {
  if (!ear) return;
  const { analyser, wave, bins, before } = ear, hz = analyser.context.sampleRate / 2 / bins.length;
  analyser.getFloatTimeDomainData(wave); analyser.getByteFrequencyData(bins);
  const rms = Math.sqrt(wave.reduce((sum, x) => sum + x * x, 0) / wave.length);
  sound.level = clamp(1 + Math.log10(Math.max(rms, 1e-3)) / 3 * 1.5);  // -40 dB is 0, 0 dB is 1
  const mean = (low, high) => {
    const a = Math.max(1, Math.round(low / hz)), b = Math.min(bins.length, Math.round(high / hz));
    let sum = 0;
    for (let i = a; i < b; i += 1) sum += bins[i];
    return sum / (b - a) / 255;
  };
  [sound.bass, sound.mid, sound.treble] = [mean(20, 250), mean(250, 4000), mean(4000, 16000)];
  let sum = 0, weighted = 0, flux = 0;
  bins.forEach((x, i) => { sum += x; weighted += x * i * hz; flux += Math.max(0, x - before[i]); });
  before.set(bins);
  sound.centroid = sum ? clamp(weighted / sum / 8000) : 0;
  // A beat: the spectrum grows much faster than it did of late (spectral flux, Dixon 2006, Sec. 2). It dies away in a quarter of a second.
  sound.onset = flux > 2 * ear.flux + 2000 ? 1 : Math.max(0, sound.onset - seconds * 4);
  ear.flux = ear.flux * 0.9 + flux * 0.1;
}

// -- playing -----------------------------------------------------------------------------------------------------------------------
const smoothed = new Map(), sent = new Map();
let began = 0, last = 0, fade = null;
// address -> value, of all routes that are on.  spent: seconds since the last time.
function outputs(routes, seconds, spent) {
  const found = new Map();
  routes.forEach((route, i) => {
    const target = parameterOf(route.to);
    if (!route.on || !target) return;
    const raw = valueOf(route.source, seconds, route.beats, i), before = smoothed.get(route) ?? raw;
    const x = route.smooth ? before + (raw - before) * (1 - Math.exp(-spent / route.smooth)) : raw;
    smoothed.set(route, x);
    const share = route.amount * CURVES[route.curve](route.invert ? 1 - x : x);
    const meter = element.querySelector(`[data-i="${i}"] meter`);
    if (meter && routes === preset.routes) meter.value = share;
    found.set(route.to, (found.get(route.to) ?? route.from) + share * (route.until - route.from));
  });
  for (const [address, value] of found) {
    const target = parameterOf(address), bound = clamp(value, target.low, target.high);
    found.set(address, target.type === "whole" ? Math.round(bound) : bound);
  }
  return found;
}
function tick(now) {
  if (!element.isConnected) playing = false;
  if (!playing && learning === null) return;
  requestAnimationFrame(tick);
  readGamepads();
  if (!playing || now - last < (document.body.dataset.live === "live" ? 15 : 100)) return;
  const seconds = (now - began) / 1000, spent = (now - last) / 1000;
  last = now;
  readSound(spent);
  const values = outputs(preset.routes, seconds, spent);
  if (fade) {
    const share = clamp((now - fade.began) / 1000 / Math.max(fade.seconds, 1e-3));
    for (const [address, value] of values) if (fade.from.has(address)) values.set(address, fade.from.get(address) * (1 - share) + value * share);
    if (share === 1) fade = null;
  }
  const moves = [...values].filter(([address, value]) => sent.get(address) !== value);
  for (const [address, value] of moves) sent.set(address, value);
  if (moves.length) window.studioLive.move("play", [moves]);
}
function play(wanted) {
  if (wanted === playing) return;
  playing = wanted;
  $("play").textContent = playing ? "Stop" : "Play";
  $("play").setAttribute("aria-pressed", playing);
  if (playing) {
    readParameters();
    began = last = performance.now();
    sent.clear(); smoothed.clear();
    requestAnimationFrame(tick);
  } else {
    window.studioLive.move("play", [[]], true);
    trigger("release");  // the other controls show where the movement ended
  }
}
function recall(i) {
  if (storing) { slots[i] = copy(preset); storing = false; say(`Kept on key ${SLOT_KEYS[i]}.`); }
  else if (slots[i]) {
    const now = performance.now();
    fade = playing ? { from: outputs(preset.routes, (now - began) / 1000, 0), began: now, seconds: slots[i].fade } : null;
    preset = copy(slots[i]);
    smoothed.clear();
  } else return say(`Nothing is kept on key ${SLOT_KEYS[i]} yet: press Keep, then the number.`);
  keep(); draw();
}

// -- the panel ---------------------------------------------------------------------------------------------------------------------
const say = (text) => { $("words").textContent = text; };
const make = (tag, options = {}, ...inside) => { const e = Object.assign(document.createElement(tag), options); e.append(...inside); return e; };
const field = (words, input) => make("label", {}, make("span", { textContent: words }), input);
const number = (name, value, low, high, step) => Object.assign(make("input", { type: "number", value, min: low, max: high, step }), { name });
function choice(name, entries, chosen) {
  const select = make("select", { name });
  for (const [value, words] of entries) select.append(make("option", { value, textContent: words, selected: value === chosen }));
  return select;
}
function routeRow(route, i) {
  const target = parameterOf(route.to), mine = JSON.stringify(route.source);
  const sources = usual.map((s) => [JSON.stringify(s), label(s)]);
  if (!sources.some(([value]) => value === mine)) sources.push([mine, label(route.source)]);
  const targets = parameters.map((p) => [p.address, p.label]);
  if (!target) targets.push([route.to, `${route.to} (this model has none)`]);
  const row = make("fieldset", { className: route.on ? "route" : "route off" });
  row.dataset.i = i;
  row.append(
    make("legend", { textContent: `${label(route.source)} moves ${target?.label ?? route.to}` }),
    field("Source", choice("source", sources, mine)),
    make("button", { type: "button", name: "learn", textContent: learning === i ? "Move it now …" : "Learn", title: "Then turn a knob, press a key or move a stick" }),
    field("moves", choice("to", targets, route.to)),
    field("from", number("from", route.from, target?.low ?? -1e9, target?.high ?? 1e9, target?.step ?? "any")),
    field("to", number("until", route.until, target?.low ?? -1e9, target?.high ?? 1e9, target?.step ?? "any")),
    field("Amount", number("amount", route.amount, 0, 1, 0.05)),
    field("Curve", choice("curve", Object.keys(CURVES).map((c) => [c, c]), route.curve)),
    field("Smoothing, s", number("smooth", route.smooth, 0, 5, 0.05)),
    field("Beats", number("beats", route.beats, 0.0625, 1024, "any")),
    field("Invert", make("input", { type: "checkbox", name: "invert", checked: route.invert })),
    field("On", make("input", { type: "checkbox", name: "on", checked: route.on })),
    make("meter", { min: 0, max: 1, value: 0, title: "What it gives now" }),
    make("button", { type: "button", name: "remove", textContent: "Remove" }),
  );
  return row;
}
function draw() {
  readParameters();
  const active = document.activeElement, row = element.contains(active) && active.closest("[data-i]")?.dataset.i, name = active?.name;
  $("routes").replaceChildren(...preset.routes.map(routeRow));
  if (!preset.routes.length) $("routes").append(make("p", { textContent: "Nothing moves yet. Add a route: a source, and what it moves." }));
  $("bpm").value = preset.bpm; $("fade").value = preset.fade;
  preset.sliders.forEach((x, i) => { $(`slider${i}`).value = x; });
  $("dot").style.left = `${preset.pad[0] * 100}%`; $("dot").style.top = `${(1 - preset.pad[1]) * 100}%`;
  $("slots").replaceChildren(...slots.map((slot, i) => make("button", {
    type: "button", name: "slot", value: i, textContent: SLOT_KEYS[i], className: slot ? "full" : "", title: slot ? "Recall" : "Empty" })));
  $("store").setAttribute("aria-pressed", storing);
  const quick = preset.routes.some((r) => r.on && r.source.type === "lfo" && ["square", "random", "saw"].includes(r.source.shape) && preset.bpm / 60 / r.beats > 3);
  $("warning").hidden = !quick;
  if (row) element.querySelector(`[data-i="${row}"] [name=${name}]`)?.focus();  // it was drawn anew
}
const setters = {
  source: (r, input) => { r.source = JSON.parse(input.value); },
  to: (r, input) => { const p = parameterOf(input.value); r.to = input.value; if (p) [r.from, r.until] = [p.low, p.high]; },
  curve: (r, input) => { r.curve = input.value; }, invert: (r, input) => { r.invert = input.checked; }, on: (r, input) => { r.on = input.checked; },
};
function changed(input) {
  const row = input.closest("[data-i]");
  if (!row) return false;
  const route = preset.routes[row.dataset.i];
  if (setters[input.name]) setters[input.name](route, input);
  else if (input.value !== "" && Number.isFinite(+input.value)) route[input.name] = clamp(+input.value, +input.min, +input.max);
  return true;
}
const taps = [];
const presses = {
  play: () => play(!playing),
  add: () => {
    if (preset.routes.length >= MOST) return say(`There are ${MOST} routes already.`);
    readParameters();
    const free = parameters.filter((x) => !preset.routes.some((r) => r.to === x.address));
    const p = free.find((x) => x.address === "psi") ?? free.find((x) => x.address.startsWith("edit.")) ?? parameters[0];
    if (!p) return say("There is no picture to move yet: choose a model first.");
    preset.routes.push({ source: { type: "lfo", shape: "sine" }, to: p.address, from: p.low, until: p.high, amount: 1, curve: "linear", smooth: 0, beats: 4, invert: false, on: true });
  },
  remove: (button) => { preset.routes.splice(button.closest("[data-i]").dataset.i, 1); learning = null; },
  learn: (button) => {
    const i = +button.closest("[data-i]").dataset.i;
    learning = learning === i ? null : i;
    if (learning !== null) { openMidi(); requestAnimationFrame(tick); }
  },
  slot: (button) => recall(+button.value),
  store: () => { storing = !storing; say(storing ? "Now press the number to keep this on." : ""); },
  tap: () => {
    const now = performance.now();
    if (taps.length && now - taps[taps.length - 1] > 2000) taps.length = 0;
    taps.push(now);
    if (taps.length > 8) taps.shift();
    if (taps.length > 1) preset.bpm = clamp(Math.round(60000 * (taps.length - 1) / (now - taps[0])), 20, 300);
  },
  microphone: () => listenTo("microphone"), tab: () => listenTo("tab"), silence: () => { ear?.stop(); ear = null; for (const name in sound) sound[name] = 0; say(""); },
  save: () => {
    const url = URL.createObjectURL(new Blob([JSON.stringify({ ...preset, slots }, null, 1)], { type: "application/json" }));
    make("a", { href: url, download: "play.json" }).click();
    URL.revokeObjectURL(url);
  },
};
element.addEventListener("click", (e) => {
  const button = e.target.closest("button[name]");
  if (!button || !element.contains(button)) return;
  presses[button.name](button);
  keep(); draw();
});
element.addEventListener("change", async (e) => {
  const input = e.target;
  e.stopPropagation();
  if (input.name === "sound" && input.files[0]) return listenTo("file", input.files[0]);
  if (input.name === "open" && input.files[0]) {
    try {
      if (input.files[0].size > 1 << 20) throw new Error("This file is too long to be a preset.");
      const raw = JSON.parse(await input.files[0].text()), opened = checked(raw);
      if (Array.isArray(raw.slots)) slots = Array.from({ length: SLOTS }, (_, i) => raw.slots[i] ? checked(raw.slots[i]) : slots[i]);
      preset = opened;
      say("Opened.");
    } catch (error) { say(error instanceof SyntaxError ? "This file is not JSON: open one that was saved here." : error.message); }
    input.value = "";
  } else if (input.name === "bpm" || input.name === "fade") {
    if (Number.isFinite(+input.value)) preset[input.name] = clamp(+input.value, +input.min, +input.max);
  } else if (!changed(input)) return;
  keep(); draw();
});
element.addEventListener("input", (e) => {
  e.stopPropagation();
  if (e.target.name === "slider") { preset.sliders[e.target.dataset.index] = +e.target.value; keep(); }
});
const dragPad = (e) => {
  const box = $("pad").getBoundingClientRect();
  preset.pad = [clamp((e.clientX - box.left) / box.width), clamp(1 - (e.clientY - box.top) / box.height)];
  $("dot").style.left = `${preset.pad[0] * 100}%`; $("dot").style.top = `${(1 - preset.pad[1]) * 100}%`;
  keep();
};
$("pad").addEventListener("pointerdown", (e) => { e.preventDefault(); $("pad").setPointerCapture(e.pointerId); dragPad(e); $("pad").onpointermove = dragPad; });
$("pad").addEventListener("pointerup", () => { $("pad").onpointermove = null; });
$("pad").addEventListener("keydown", (e) => {
  const by = { ArrowLeft: [-0.05, 0], ArrowRight: [0.05, 0], ArrowUp: [0, 0.05], ArrowDown: [0, -0.05] }[e.key];
  if (!by) return;
  e.preventDefault(); e.stopPropagation();
  preset.pad = preset.pad.map((x, i) => clamp(x + by[i]));
  keep(); draw();
});
const typing = (target) => target.closest("input:not([type=range]):not([type=checkbox]), textarea, select, [contenteditable]");
const onKey = (e) => {
  if (!element.isConnected) return window.removeEventListener("keydown", onKey);
  if (typing(e.target) || e.ctrlKey || e.metaKey || e.altKey) return;
  if (learning !== null && e.key.length === 1 && e.key !== " ") { e.preventDefault(); e.stopPropagation(); return heard({ type: "key", key: e.key }, 1); }
  const used = preset.routes.some((r) => r.source.type === "key" && r.source.key === e.key);
  held.add(e.key);
  const slot = SLOT_KEYS.indexOf(e.key);
  if (used && playing) { e.preventDefault(); e.stopPropagation(); }
  else if (slot >= 0 && e.key.length === 1 && element.offsetParent !== null && !e.repeat && (slots[slot] || storing)) recall(slot);
};
window.addEventListener("keydown", onKey, true);
window.addEventListener("keyup", (e) => held.delete(e.key));
window.addEventListener("blur", () => held.clear());
// What goes back through the history would otherwise be overtaken at once.
document.addEventListener("click", (e) => { if (playing && e.target.closest("#undo, #redo")) play(false); }, true);
// The model was changed: its parameters are others.
const watched = document.querySelector("#play-parameters");
if (watched) new MutationObserver(() => draw()).observe(watched, { subtree: true, childList: true, attributes: true });
restore();
draw();
