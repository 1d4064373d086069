"use strict";
// Pictures that are dropped, chosen or pasted, classified here: nothing is sent anywhere.

const byId = id => document.getElementById(id);

function bytes(parts) {
  const pieces = parts.map(text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0)));
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  pieces.reduce((at, piece) => (whole.set(piece, at), at + piece.length), 0);
  parts.length = 0;
  return whole;
}

async function start() {
  const script = new Blob([bytes(EMBEDDED.glue)], { type: "text/javascript" });
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(script) };
  ort.env.wasm.wasmBinary = bytes(EMBEDDED.runtime).buffer;
  return ort.InferenceSession.create(bytes(EMBEDDED.program), { executionProviders: ["wasm"] });
}

// RGB bytes of a file, turned as it says, on white where it is transparent, in the colours that are stored.
async function pixels(file) {
  const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", imageOrientation: "from-image" });
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, bitmap.width, bitmap.height);
  context.drawImage(bitmap, 0, 0);
  const rgba = context.getImageData(0, 0, bitmap.width, bitmap.height).data;
  const data = new Uint8ClampedArray(rgba.length / 4 * 3);
  for (let i = 0, j = 0; i < rgba.length; i += 4) {
    data[j++] = rgba[i]; data[j++] = rgba[i + 1]; data[j++] = rgba[i + 2];
  }
  return { data, width: bitmap.width, height: bitmap.height };
}

const session = start();
let queue = Promise.resolve();

// The classes of a file from the likeliest on, with their probabilities.
async function classify(file) {
  const seen = prepare(await pixels(file), SETTINGS);
  const input = new ort.Tensor("uint8", seen, [1, 3, SETTINGS.size, SETTINGS.size]);
  const { logits } = await (await session).run({ images: input });
  const scores = Array.from(logits.data), most = Math.max(...scores);
  const shares = scores.map(score => Math.exp(score - most)), sum = shares.reduce((a, b) => a + b, 0);
  return shares.map((share, i) => ({ label: SETTINGS.classes[i], probability: share / sum }))
    .sort((a, b) => b.probability - a.probability);
}

async function show(file) {
  const entry = byId("entry").content.cloneNode(true), item = entry.querySelector("li");
  const picture = item.querySelector("img");
  picture.src = URL.createObjectURL(file);
  picture.alt = item.querySelector("h2").textContent = file.name;
  byId("found").prepend(entry);
  try {
    const found = await classify(file);
    item.dataset.label = found[0].label;
    item.dataset.probability = found[0].probability;
    for (const { label, probability } of found.slice(0, 5)) {
      const row = item.querySelector("table").insertRow();
      row.insertCell().textContent = label;
      row.insertCell().append(Object.assign(document.createElement("meter"), { value: probability }));
      row.insertCell().textContent = `${(100 * probability).toFixed(1)} %`;
    }
  } catch (error) {
    item.dataset.error = item.querySelector("p").textContent = `${file.name} cannot be read: ${error.message}`;
  }
}

function take(files) {
  for (const file of files) queue = queue.then(() => show(file));
}

byId("files").addEventListener("change", event => take(event.target.files));
addEventListener("paste", event => take(event.clipboardData.files));
addEventListener("dragover", event => event.preventDefault());
addEventListener("drop", event => { event.preventDefault(); take(event.dataTransfer.files); });
session.then(() => { byId("state").textContent = "Ready. Nothing that you drop here leaves this page."; },
  error => { byId("state").textContent = `This browser cannot run the program: ${error.message}`; });
