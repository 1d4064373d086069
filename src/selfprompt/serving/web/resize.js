"use strict";
// A picture as the model was trained to see it: Pillow's resampling of 8-bit channels, antialiased, to the bit.

const FILTERS = {
  bilinear: [1, x => (x = Math.abs(x)) < 1 ? 1 - x : 0],
  bicubic: [2, x => (x = Math.abs(x)) < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0],
  lanczos: [3, x => -3 <= x && x < 3 ? sinc(x) * sinc(x / 3) : 0],
};
const BITS = 22; // after the point, of Pillow's weights

function sinc(x) {
  return x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);
}

// For each of `size` outputs, the first input that it sees, and the weights of those from there on.
function weights(length, from, to, size, [support, filter]) {
  const scale = Math.fround(to - from) / size, wide = Math.max(scale, 1), reach = support * wide;
  return Array.from({ length: size }, (_, at) => {
    const center = from + (at + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - reach + 0.5));
    const count = Math.min(length, Math.trunc(center + reach + 0.5)) - first;
    const found = Array.from({ length: count }, (_, i) => filter((i + first - center + 0.5) * (1 / wide)));
    const sum = found.reduce((a, b) => a + b, 0) || 1;
    return [first, found.map(w => w / sum).map(w => Math.trunc(w * 2 ** BITS + (w < 0 ? -0.5 : 0.5)))];
  });
}

// One pass: `lines` lines of `plan.length` pixels each, where a line's inputs are `step` apart and lines `next` apart.
function pass(source, plan, lines, step, next, outStep, outNext) {
  const out = new Uint8ClampedArray(plan.length * lines * 3);
  plan.forEach(([first, own], at) => {
    for (let line = 0; line < lines; line++) {
      for (let channel = 0; channel < 3; channel++) {
        let sum = 2 ** (BITS - 1), place = line * next + first * step + channel;
        for (let i = 0; i < own.length; i++, place += step) sum += source[place] * own[i];
        out[line * outNext + at * outStep + channel] = Math.floor(sum / 2 ** BITS);
      }
    }
  });
  return out;
}

// A picture of RGB bytes, or a box (left, top, right, bottom) of it, in another size. From Pillow 13 on, what loses more
// of its height than of its width is first made lower (`tallFirst`).
function resize(picture, toWidth, toHeight, { interpolation, tallFirst }, box = [0, 0, picture.width, picture.height]) {
  const [left, top, right, bottom] = box.map(Math.fround), filter = FILTERS[interpolation];
  if (!filter) return nearest(picture, toWidth, toHeight, [left, top, right, bottom]);
  let { data, width, height } = picture;
  const tall = tallFirst && toHeight < height && height - toHeight > 2 * (width - toWidth);
  const across = () => {
    if (toWidth === width && !left && right === toWidth) return;
    data = pass(data, weights(width, left, right, toWidth, filter), height, 3, 3 * width, 3, 3 * toWidth);
    width = toWidth;
  };
  const down = () => {
    if (toHeight === height && !top && bottom === toHeight) return;
    data = pass(data, weights(height, top, bottom, toHeight, filter), width, 3 * width, 3, 3 * width, 3);
    height = toHeight;
  };
  for (const turn of tall ? [down, across] : [across, down]) turn();
  return { data, width, height };
}

function nearest({ data, width, height }, toWidth, toHeight, [left, top, right, bottom]) {
  const places = (from, to, size) => {
    const step = Math.fround(to - from) / size, found = [];
    for (let i = 0, at = from + step * 0.5; i < size; i++, at += step) found.push(Math.trunc(at));
    return found;
  };
  const columns = places(left, right, toWidth), rows = places(top, bottom, toHeight);
  const out = new Uint8ClampedArray(3 * toWidth * toHeight);
  rows.forEach((row, y) => columns.forEach((column, x) => {
    for (let c = 0; c < 3; c++) out[3 * (y * toWidth + x) + c] = data[3 * (row * width + column) + c];
  }));
  return { data: out, width: toWidth, height: toHeight };
}

// Python's rounding: halves go to the even number.
function round(x) {
  return Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x);
}

// A picture resized and cropped as a protocol says: (3, S, S) bytes.
function prepare(picture, settings) {
  const { size, resize: how, cropFraction, mostPixels } = settings;
  let left = 0, top = 0, made;
  if (how === "squash") {
    made = resize(picture, size, size, settings);
  } else {
    const short = Math.max(size, round(size / cropFraction));
    const scale = short / Math.min(picture.width, picture.height);
    const [width, height] = [picture.width, picture.height].map(side => Math.max(short, round(side * scale)));
    left = Math.floor((width - size) / 2);
    top = Math.floor((height - size) / 2);
    if (width * height <= mostPixels) {
      made = resize(picture, width, height, settings);
    } else {
      const x = picture.width / width, y = picture.height / height;
      const right = Math.min(picture.width, (left + size) * x), bottom = Math.min(picture.height, (top + size) * y);
      made = resize(picture, size, size, settings, [left * x, top * y, right, bottom]);
      left = top = 0;
    }
  }
  const out = new Uint8Array(3 * size * size);
  for (let channel = 0, at = 0; channel < 3; channel++) {
    for (let y = top; y < top + size; y++) {
      for (let x = left; x < left + size; x++) out[at++] = made.data[3 * (y * made.width + x) + channel];
    }
  }
  return out;
}

if (typeof module !== "undefined") module.exports = { prepare, resize };
