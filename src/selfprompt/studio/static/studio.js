"use strict";
// What no form can do: follow a run, copy a command, send dropped images, and move a threshold over answers.

const one = selector => document.querySelector(selector);
const tell = words => { one("#told").textContent = words; };

document.addEventListener("click", async event => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const code = button.parentElement.querySelector("code");
  try {
    await navigator.clipboard.writeText(code.textContent);
    tell("Copied.");
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  } catch {
    getSelection().selectAllChildren(code); // where the page may not write to the clipboard
    tell("Selected: copy it with the keyboard.");
  }
});

document.addEventListener("submit", event => {
  const button = event.submitter;
  if (!button?.dataset.busy) return;
  button.textContent = button.dataset.busy;
  setTimeout(() => { button.disabled = true; });
});
document.addEventListener("click", event => {
  const button = event.target.closest("[data-busy][hx-post]");
  if (button) button.textContent = button.dataset.busy;
});
document.addEventListener("htmx:after:request", event => {
  const button = event.target;
  if (button?.dataset?.busy && button.isConnected) {
    button.textContent = "Again";
    button.focus();
  }
});

function follow(place) {
  const source = new EventSource(place.dataset.events);
  source.onmessage = event => { place.innerHTML = event.data; };
  source.addEventListener("end", () => { source.close(); location.reload(); });
}

function tryIt(root) {
  const { address, most } = root.dataset;
  const curve = JSON.parse(root.dataset.curve), own = JSON.parse(root.dataset.own); // own thresholds of several labels
  const threshold = one("#threshold"), answers = one("#answers"), command = one("#command");
  const plain = command.textContent;
  let found = [];

  function given(row) {
    const value = Number(threshold.value);
    if (row.error) return [];
    if (own) return row.top.filter((t, i) => t.probability >= (value || own[i])).map(t => t.label);
    return row.probability >= value ? [row.label] : [];
  }

  function label(row) { return given(row).join("|"); }

  function show(row) {
    const item = row.item, labels = given(row), open = !row.error && !labels.length;
    item.className = open ? "open" : "";
    const [title, ...rest] = item.querySelectorAll("b, small");
    title.textContent = row.error ? "cannot be read" : open ? own ? "no label" : "left open" : labels.join(", ");
    const likely = own && !row.error ? [...row.top].sort((a, b) => b.probability - a.probability) : row.top;
    rest[0].textContent = row.error ?? likely.slice(0, Math.max(3, labels.length))
      .map(t => `${t.label} ${(100 * t.probability).toFixed(1)} %`).join(", ");
    Object.assign(item.dataset, { label: label(row), probability: row.probability ?? "", input: row.name });
  }

  function move() {
    const value = Number(threshold.value);
    const at = curve[Math.round(value * (curve.length - 1))];
    const where = own && !value ? "At each class's own threshold" : `At ${value.toFixed(2)}`;
    one("#keeps").textContent = !at
      ? `${where}. What it keeps is not known: no validation answers were kept beside the adapter.`
      : own ? `${where}: ${at.count} labels given to the validation inputs` + (at.count
        ? `, precision ${at.precision.toFixed(1)} %` : "") + `, recall ${at.recall.toFixed(1)} %.`
      : `${where}: coverage ${at.coverage.toFixed(0)} % of the validation inputs` + (at.count
        ? `, precision ${at.precision.toFixed(1)} % (${at.least.toFixed(1)} % or more, with 97.5 % confidence).` : ".");
    command.textContent = plain + (value ? ` --threshold ${value}` : "");
    found.forEach(show);
  }

  function add(row, file) {
    row.item = document.createElement("li");
    if (file && !row.error) {
      const image = document.createElement("img");
      image.alt = "";
      image.src = URL.createObjectURL(file);
      image.onload = image.onerror = () => URL.revokeObjectURL(image.src);
      row.item.append(image);
    }
    const words = document.createElement("div");
    words.append(document.createElement("b"), document.createElement("small"));
    const name = document.createElement("p");
    name.textContent = row.name;
    words.append(name);
    row.item.append(words);
    found.push(row);
    answers.append(row.item);
    show(row);
  }

  function failed(words) {
    one("#failed").textContent = words;
    one("#failed").hidden = !words;
  }

  async function ask(path, body, headers) {
    const answer = await fetch(address + path, { method: "POST", body, headers });
    if (answer.ok) return (await answer.json()).predictions;
    const text = await answer.text(), page = new DOMParser().parseFromString(text, "text/html");
    throw new Error(page.querySelector(".problem")?.textContent ?? text);
  }

  async function each(items, size, send, name, files) {
    failed("");
    for (let i = 0; i < items.length; i += size) {
      const part = items.slice(i, i + size);
      try {
        (await send(part)).forEach((row, k) => add({ ...row, name: name(part[k]) }, files ? part[k] : null));
      } catch (error) {
        if (part.length > 1) { await each(part, 1, send, name, files); continue; }
        add({ name: name(part[0]), error: error.message }, null);
      }
      one("#progress").textContent = items.length > 1 ? `${Math.min(i + size, items.length)} of ${items.length}` : "";
    }
    one("#csv").disabled = one("#clear").disabled = !found.length;
  }

  const named = file => file.webkitRelativePath || file.name;

  function images(files, name = named) {
    if (!files.length) failed("There is no image in it.");
    const send = part => {
      const form = new FormData();
      part.forEach(file => form.append("images", file, file.name));
      return ask("/images", form);
    };
    return files.length ? each([...files], Number(most), send, name, true) : undefined;
  }

  async function dropped(items) {
    const entries = items.map(item => item.webkitGetAsEntry()).filter(entry => entry); // all, before the first wait
    const files = [], names = new Map();
    async function walk(entry, inside) {
      if (entry.isFile) {
        const file = await new Promise((done, fail) => entry.file(done, fail));
        if (inside && !file.type.startsWith("image/")) return;
        names.set(file, entry.fullPath.slice(1));
        files.push(file);
        return;
      }
      const reader = entry.createReader(), children = [];
      for (;;) { // it gives a hundred at a time
        const some = await new Promise((done, fail) => reader.readEntries(done, fail));
        if (!some.length) break;
        children.push(...some);
      }
      children.sort((a, b) => (a.name < b.name ? -1 : 1));
      for (const child of children) await walk(child, true);
    }
    try {
      for (const entry of entries) await walk(entry, false);
    } catch (error) {
      failed(`It cannot be read (${error.message}).`);
      return;
    }
    await images(files, file => names.get(file));
  }

  function texts(event) {
    event.preventDefault();
    const lines = one("#text").value.split("\n").filter(line => line.trim());
    const send = part => ask("/texts", JSON.stringify({ texts: part }), { "content-type": "application/json" });
    each(lines, 100, send, line => line, false);
  }

  function cell(value) { return /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value; }

  function save() {
    const kind = one("#texts") ? "text" : "image";
    const classes = own ? found.find(row => row.top)?.top.map(t => `probability_${t.label}`) ?? [] : [];
    const head = own ? [kind, "labels", "error", ...classes] : [kind, "label", "probability", "error"];
    const rows = found.map(row => own
      ? [row.name, label(row), row.error ?? "", ...classes.map((_, i) => String(row.top?.[i].probability ?? ""))]
      : [row.name, label(row), String(row.probability ?? ""), row.error ?? ""]);
    const text = [head, ...rows].map(row => row.map(cell).join(",") + "\n").join("");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = "predictions.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  threshold.addEventListener("input", move);
  root.querySelectorAll("[data-threshold]").forEach(button => button.addEventListener("click", () => {
    threshold.value = Math.ceil(100 * Number(button.dataset.threshold)) / 100;
    move();
  }));
  one("#csv").addEventListener("click", save);
  one("#clear").addEventListener("click", () => {
    found = [];
    answers.replaceChildren();
    one("#csv").disabled = one("#clear").disabled = true;
  });
  one("#texts")?.addEventListener("submit", texts);
  for (const id of ["#images", "#folder"]) {
    one(id)?.addEventListener("change", async event => {
      const input = event.target, files = [...input.files];
      await images(id === "#folder" ? files.filter(file => file.type.startsWith("image/")) : files);
      input.value = "";
    });
  }
  const drop = one("#drop");
  drop?.addEventListener("dragover", event => { event.preventDefault(); drop.classList.add("over"); });
  drop?.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop?.addEventListener("drop", event => {
    event.preventDefault();
    drop.classList.remove("over");
    dropped([...event.dataTransfer.items].filter(item => item.kind === "file"));
  });
  move();
}

document.querySelectorAll("[data-events]").forEach(follow);
if (one("#try")) tryIt(one("#try"));
