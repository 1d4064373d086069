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
  const curve = JSON.parse(root.dataset.curve);
  const threshold = one("#threshold"), answers = one("#answers"), command = one("#command");
  const plain = command.textContent;
  let found = [];

  function label(row) { return row.error ? "" : row.probability >= Number(threshold.value) ? row.label : ""; }

  function show(row) {
    const item = row.item, open = !row.error && !label(row);
    item.className = open ? "open" : "";
    const [title, ...rest] = item.querySelectorAll("b, small");
    title.textContent = row.error ? "cannot be read" : open ? "left open" : row.label;
    rest[0].textContent = row.error ?? row.top.map(t => `${t.label} ${(100 * t.probability).toFixed(1)} %`).join(", ");
    Object.assign(item.dataset, { label: label(row), probability: row.probability ?? "", input: row.name });
  }

  function move() {
    const value = Number(threshold.value);
    const at = curve[Math.round(value * (curve.length - 1))];
    one("#keeps").textContent = !at
      ? `At ${value.toFixed(2)}. What it keeps is not known: no validation answers were kept beside the adapter.`
      : `At ${value.toFixed(2)}: coverage ${at.coverage.toFixed(0)} % of the validation inputs` + (at.count
        ? `, precision ${at.precision.toFixed(1)} % (${at.least.toFixed(1)} % or more, with 97.5 % confidence).` : ".");
    command.textContent = plain + (value ? ` --threshold ${value}` : "");
    found.forEach(show);
  }

  function add(row, file) {
    row.item = document.createElement("li");
    if (file) {
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

  function images(files) {
    const send = part => {
      const form = new FormData();
      part.forEach(file => form.append("images", file, file.name));
      return ask("/images", form);
    };
    return each([...files], Number(most), send, file => file.webkitRelativePath || file.name, true);
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
    const rows = found.map(row => [row.name, label(row), String(row.probability ?? ""), row.error ?? ""]);
    const text = [[kind, "label", "probability", "error"], ...rows].map(row => row.map(cell).join(",") + "\n").join("");
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
    images(event.dataTransfer.files);
  });
  move();
}

document.querySelectorAll("[data-events]").forEach(follow);
if (one("#try")) tryIt(one("#try"));
