let held = false, waiting = false;
const place = (e) => {
  const r = element.querySelector('.gs-pad').getBoundingClientRect();
  const at = (v) => Math.max(-1, Math.min(1, v));
  const x = at((e.clientX - r.left) / r.width * 2 - 1), y = at(1 - (e.clientY - r.top) / r.height * 2);
  const dot = element.querySelector('.gs-pad i');
  dot.style.left = (x + 1) * 50 + '%'; dot.style.top = (1 - y) * 50 + '%';
  return { x, y };
};
let last = null;
const send = (release) => { if (last) window.studioLive.move('pad', [last.x, last.y], release); };
element.addEventListener('pointerdown', (e) => {
  if (!e.target.closest('.gs-pad')) return;
  held = true; e.preventDefault(); last = place(e); send(false);
});
window.addEventListener('pointermove', (e) => {
  if (!held) return;
  last = place(e);
  if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; if (held) send(false); }); }
});
window.addEventListener('pointerup', () => { if (held) { held = false; send(true); } });
element.addEventListener('keydown', (e) => {
  const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[e.key];
  if (!by) return;
  e.preventDefault(); e.stopPropagation();
  const r = element.querySelector('.gs-pad').getBoundingClientRect(), dot = element.querySelector('.gs-pad i').style;
  const x = parseFloat(dot.left) / 100 + by[0] / 20, y = parseFloat(dot.top) / 100 - by[1] / 20;
  last = place({ clientX: r.left + x * r.width, clientY: r.top + y * r.height }); send(false); send(true);
});
