// The live channel: moves of controls go to the server on a socket, pictures come back and are painted at once. Where no socket can be had,
// the same moves go through Gradio's events.
(() => {
  const stats = window.ganStudio = { frames: 0, latencyMs: 0, mode: "events" };
  const again = { first: 500, most: 10000 };  // milliseconds until a lost channel is opened anew
  let socket = null, wait = again.first, count = 0, newest = 0, queue = Promise.resolve();
  const began = new Map(), moves = new Map();  // by the number of a move: when it was made, and what it was
  const live = window.studioLive = {
    fallback: () => {},
    open: () => { if (!socket) connect(); },
    move: (control, values, release = false) => {
      const n = ++count, move = { n, control, values, release };
      if (!socket || socket.readyState !== WebSocket.OPEN) return live.fallback(move);
      began.set(n, performance.now()); moves.set(n, move);
      socket.send(JSON.stringify(move));
    },
  };
  const mode = (name) => { stats.mode = name; document.body.dataset.live = name; };
  const over = (n) => { for (const seen of [...began.keys()]) if (seen <= n) { began.delete(seen); moves.delete(seen); } };

  function connect() {
    const token = document.querySelector("#live-channel [data-token]")?.dataset.token;
    if (!token) return mode("events");
    const root = (window.gradio_config?.root || location.origin + location.pathname).replace(/\/$/, "");
    const mine = socket = new WebSocket(`${root.replace(/^http/, "ws")}/live?token=${encodeURIComponent(token)}`);
    mine.binaryType = "arraybuffer";
    mine.onopen = () => { wait = again.first; mode("live"); };
    mine.onmessage = (e) => typeof e.data === "string" ? failed(JSON.parse(e.data)) : arrived(e.data, mine);
    mine.onclose = (e) => {
      socket = null;
      mode("events");
      const left = [...moves.values()].sort((a, b) => a.n - b.n);  // the server may not have had them
      began.clear(); moves.clear();
      if (left.length) live.fallback(left[left.length - 1]);
      if (e.code === 4404 || e.code === 4409) return;  // the session is gone, or another page has its channel
      setTimeout(() => { if (!socket) connect(); }, wait);
      wait = Math.min(again.most, wait * 2);
    };
  }

  // A move that cannot be drawn is made again as an event, whose error becomes a toast.
  function failed(message) {
    const move = moves.get(message.n);
    over(message.n);
    if (move) live.fallback(move);
  }

  function arrived(data, from) {
    const length = new DataView(data).getUint32(0, true), bytes = new Uint8Array(data);
    const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
    const picture = new Blob([bytes.subarray(4 + length)], { type: header.still ? "image/webp" : "image/jpeg" });
    newest = Math.max(newest, header.frame);
    queue = queue.then(() => header.still ? keep(header, picture) : paint(header, picture)).catch(() => {}).then(() => {
      if (from.readyState === WebSocket.OPEN) from.send(JSON.stringify({ ack: header.frame }));
    });
  }

  // Where the picture is, unless what is there was drawn after the frame was.
  const stage = (header) => [document.querySelector(`#${header.stage} .gs-stage`)].find((s) => s && +s.dataset.drawn <= header.after);

  async function paint(header, picture) {
    const image = await createImageBitmap(picture), host = stage(header), still = host?.querySelector("img");
    if (!still) return;
    let canvas = host.querySelector("canvas");
    if (!canvas) {
      canvas = document.createElement("canvas");
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", still.alt);
      canvas.className = still.className;
      still.after(canvas);
    }
    if (canvas.width !== image.width || canvas.height !== image.height) [canvas.width, canvas.height] = [image.width, image.height];
    canvas.getContext("2d").drawImage(image, 0, 0);
    image.close();
    still.hidden = true;
    stats.frames += 1;
    // Answers to older moves are answered with it. The latency counts from the move that this picture shows.
    if (began.has(header.n)) stats.latencyMs = performance.now() - began.get(header.n);
    over(header.n);
  }

  // The exact picture takes the place of the moving one; as a data URL, so that it can be saved and dragged from the page.
  async function keep(header, picture) {
    const url = await new Promise((done, fail) => {
      const reader = new FileReader();
      reader.onload = () => done(reader.result); reader.onerror = fail;
      reader.readAsDataURL(picture);
    });
    const host = stage(header), image = host?.querySelector("img");
    if (!image || header.frame < newest) return;
    image.src = url;
    image.alt = header.alt;
    await image.decode();
    image.hidden = false;
    host.querySelector("canvas")?.remove();
    const status = document.querySelector("#status .gs-note");
    if (status) status.innerHTML = header.status;
  }
})();
