// What in an observation is a picture: encoded files, and arrays of pixels.

import { make } from "./dom.js";

const MAGIC = [["iVBORw0KGgo", "image/png"], ["/9j/", "image/jpeg"], ["R0lGOD", "image/gif"], ["UklGR", "image/webp"]];
const WIDE = 420; // pixels that a small picture is enlarged to, about

const TYPES = {
  b1: Uint8Array, u1: Uint8Array, i1: Int8Array, u2: Uint16Array, i2: Int16Array, u4: Uint32Array, i4: Int32Array,
  u8: BigUint64Array, i8: BigInt64Array, f4: Float32Array, f8: Float64Array,
};

/** NumPy's own name of a dtype: `float32` for `<f4`. */
export function typeName(dtype) {
  const [, kind, size] = /^[<>|=]?([biuf])(\d)$/.exec(dtype) ?? [];
  return kind === "b" ? "bool" : kind ? `${{ i: "int", u: "uint", f: "float" }[kind]}${size * 8}` : String(dtype);
}

/** Base64 in the alphabet of `data:` addresses, whichever of the two it came in. */
export const plainBase64 = (base64) => base64.replaceAll("-", "+").replaceAll("_", "/");

export function pictureType(base64) {
  return MAGIC.find(([magic]) => base64.startsWith(magic))?.[1];
}

export function picture(address, alt) {
  const image = make("img", { src: address, alt });
  image.addEventListener("load", () => enlarge(image, image.naturalWidth));
  return image;
}

function enlarge(element, width) {
  const times = Math.max(1, Math.floor(WIDE / width));
  element.style.width = `${width * times}px`;
}

/** The numbers of a tagged array; null for a type that JavaScript has no array for. */
export function decoded(tag) {
  const type = TYPES[String(tag.dtype).replace(/^[<|=]/, "")];
  if (!type) return null;
  const bytes = Uint8Array.from(atob(tag.__ndarray__), (char) => char.charCodeAt(0));
  if (bytes.length % type.BYTES_PER_ELEMENT) return null;
  const values = new type(bytes.buffer);
  return typeof values[0] === "bigint" ? Array.from(values, Number) : values;
}

/** Whether numbers of this shape are pixels: height, width and at most a channel, of bytes or shares of one. */
export function isPicture(shape, dtype) {
  const [height, width, channels = 1] = shape;
  const enough = Math.min(height, width) >= 16;
  const fits = shape.length === 2 || (shape.length === 3 && [1, 3, 4].includes(channels));
  return fits && enough && (dtype === undefined || /u1|b1|f4|f8/.test(dtype));
}

export function painted(values, shape, alt) {
  const [height, width, channels = 1] = shape;
  const canvas = make("canvas", { width, height, role: "img", ariaLabel: alt });
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  let [least, most] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < least) least = value;
    if (value > most) most = value;
  }
  const inBytes = least >= 0 && most <= 255 && most > 1;
  const scale = (value) => (inBytes ? value : most === least ? 0 : ((value - least) / (most - least)) * 255);
  for (let at = 0; at < width * height; at++) {
    const from = at * channels;
    const grey = channels < 3;
    image.data[at * 4] = scale(values[from]);
    image.data[at * 4 + 1] = scale(values[grey ? from : from + 1]);
    image.data[at * 4 + 2] = scale(values[grey ? from : from + 2]);
    image.data[at * 4 + 3] = channels === 4 ? values[from + 3] * (inBytes ? 1 : 255) : 255; // never stretched as colours are
  }
  context.putImageData(image, 0, 0);
  enlarge(canvas, width);
  return canvas;
}
