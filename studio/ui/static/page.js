(() => {
  // The place to return to after a reload. sessionStorage ends with the page, so a new visitor begins with a picture.
  const press = (name, where) => {
    const tab = [...document.querySelectorAll(where)].find((b) => b.textContent.trim() === name);
    if (tab && tab.getAttribute("aria-selected") !== "true") tab.click();
  };
  const place = window.studioPlace = {
    put: (key, value) => value === null ? sessionStorage.removeItem("studio-" + key) : sessionStorage.setItem("studio-" + key, value),
    get: (key) => sessionStorage.getItem("studio-" + key),
    openTab: () => { if (!location.search.includes("recipe=")) press(place.get("tab"), "[role=tab]:not(#train-steps *)"); },
    openStep: () => { if (!place.stepped) press(place.get("step"), "#train-steps [role=tab]"); place.stepped = true; },
    dark: (wanted) => { document.body.classList.toggle("dark", wanted); localStorage.setItem("studio-dark", wanted); },
    theme: () => { const kept = localStorage.getItem("studio-dark"); if (kept) place.dark(kept === "true"); },
  };
  document.addEventListener("click", (e) => {
    const tab = e.target.closest("[role=tab]");
    if (tab) place.put(tab.closest("#train-steps") ? "step" : "tab", tab.textContent.trim());
  });
  // Of several ids the one that is visible is pressed.
  const keys = {
    " ": ["dice"], ArrowLeft: ["previous", "gallery-newer", "gallery-newer-page"], z: ["undo"], y: ["redo"],
    ArrowRight: ["next", "gallery-older", "gallery-older-page"], Escape: ["gallery-back"],
  };
  document.addEventListener("keydown", (e) => {
    const ids = keys[e.key];
    if (!ids || e.ctrlKey || e.metaKey || e.altKey) return;
    const t = e.target;
    if (t.closest("textarea, select, [contenteditable], [role=slider], [role=tab], [role=listbox]")) return;
    if (t.tagName === "INPUT" && !(t.type === "range" && (e.key === " " || e.key === "z" || e.key === "y"))) return;
    if (t.tagName === "BUTTON" && e.key === " ") t.blur();
    const host = ids.map((id) => document.getElementById(id)).find((h) => h && h.offsetParent !== null);
    if (!host) return;
    e.preventDefault();
    (host.tagName === "BUTTON" ? host : host.querySelector("button")).click();
  });
  // A folder is chosen with its sub-folders, which Gradio leaves out of the files' names.
  document.addEventListener("change", (e) => {
    if (e.target.type !== "file" || !e.target.webkitdirectory) return;
    for (const file of e.target.files)
      if (file.webkitRelativePath) Object.defineProperty(file, "name", { value: file.webkitRelativePath });
  }, true);
  // When idle, the server tells Gradio's page to close its event stream. The page does so even if it has just sent a request, whose
  // answer then arrives only with its next request. So an empty request follows each request but this script's own.
  let own = 0, again;
  new PerformanceObserver((list) => {
    const answers = list.getEntries().filter((e) => e.name.includes("/queue/join")).length, mine = Math.min(own, answers);
    own -= mine;
    if (answers === mine) return;
    clearTimeout(again);
    again = setTimeout(() => { own += 1; document.getElementById("still-there")?.click(); }, 3000);
  }).observe({ type: "resource" });
})();
