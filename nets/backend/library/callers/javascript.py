"""JavaScript: a module that loads the library as WebAssembly, in browsers and in Node.

The library describes itself, so the text is the same for every library but for its names.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from nets.backend.library.callers.description import Description
from nets.backend.library.callers.files import Files
from nets.backend.library.callers.names import quoted


def javascript(library: Description, files: Files) -> dict[str, str]:
    """The module ``NAME.mjs``, beside which ``NAME.wasm`` lies."""
    functions = "".join(f"//   {f.name}: {f.sentence}\n" for f in library.functions)
    return {
        f"{files.stem}.mjs": f"""\
// {library.name}, as WebAssembly. Made by nets {library.nets_version}.
//
//   import {{ load }} from {quoted(f"./{files.stem}.mjs")};
//   const library = await load();
//
// The functions of the library take one object, with an array or a number for each argument, and
// what else Python's arguments are built of as objects and arrays. Arrays are typed arrays in
// row-major order: Float32Array for f32, BigInt64Array for i64, Uint8Array for bool. Where sizes
// have names, a second object tells them.
//
{functions}
const NAME = {quoted(library.name)};
const FILE = {quoted(f"./{quote(files.stem)}.wasm")};
{_RUNTIME}"""
    }


_RUNTIME: Final = r"""
const ARRAYS = {
  bool: Uint8Array, i8: Int8Array, i16: Int16Array, i32: Int32Array, i64: BigInt64Array,
  u8: Uint8Array, u16: Uint16Array, u32: Uint32Array, u64: BigUint64Array,
  f32: Float32Array, f64: Float64Array,
};
const PRINTED = ["bool", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "f32", "f64"];
const ALIGNMENT = 64;
const PAGE = 65536;

/** The library refused a value; `status` is its number. */
export class LibraryError extends Error {
  constructor(message, status) {
    super(message);
    this.name = "LibraryError";
    this.status = status;
  }
}

/**
 * The library, with a method for each function and, if it has one, a `state` of its own.
 *
 * `source` is the WebAssembly: its URL, a Response, its bytes or its WebAssembly.Module; without
 * it, the file beside this module. `print(site, text, values)` is called where functions print.
 */
export async function load(source = new URL(FILE, import.meta.url), { print = null } = {}) {
  const made = await WebAssembly.instantiate(await compiled(source));
  return new Library(made.exports, print).face();
}

async function compiled(source) {
  if (source instanceof WebAssembly.Module) return source;
  if (typeof source === "string" || source instanceof URL) source = await bytesAt(source);
  if (typeof Response !== "undefined" && source instanceof Response) {
    if (!source.ok) throw new Error(`${source.url} cannot be read: ${source.status}`);
    source = await source.arrayBuffer();
  }
  return WebAssembly.compile(source);
}

async function bytesAt(place) {
  const url = new URL(place, import.meta.url);
  if (url.protocol !== "file:") return fetch(url);
  const { readFile } = await import("node:fs/promises");
  return readFile(url);
}

class Library {
  constructor(exports, print) {
    this.exports = exports;
    this.memory = exports.memory;
    this.top = aligned(Number(exports.__heap_base.value));
    this.description = JSON.parse(this.text(this.call("describe")));
    this.state = 0;
    if (this.description.state.length) {
      this.state = this.place(this.description.state_bytes);
      this.checked("init_state", this.call("init_state", this.state));
    }
    if (print !== null) this.printTo(print);
  }

  /** What `load` gives: no name of a function meets one of an object. */
  face() {
    const face = Object.create(null);
    face.description = this.description;
    if (this.state) {
      face.state = this.members();
      face.initState = () => this.checked("init_state", this.call("init_state", this.state));
      face.saveState = () => this.saved();
      face.loadState = (bytes) => this.loadState(bytes);
    }
    for (const part of this.description.functions) {
      let name = part.name === "then" ? "then_" : part.name; // then is what promises look for
      while (name in face) name += "_";
      face[name] = (given = {}, sizes = {}) => this.run(part, given, sizes);
    }
    return face;
  }

  call(word, ...given) {
    return this.exports[`${NAME}_${word}`](...given);
  }

  checked(word, status) {
    if (status === 0) return;
    throw new LibraryError(`${word}: ${this.text(this.call("status_message", status))}`, status);
  }

  /** Room for so many bytes; it is given back by setting `top` again. */
  place(bytes) {
    const place = this.top;
    this.top = aligned(place + bytes);
    const missing = this.top - this.memory.buffer.byteLength;
    if (missing > 0) this.memory.grow(Math.ceil(missing / PAGE));
    return place;
  }

  /** The elements there. Memory that grows leaves such views empty, so none is kept. */
  view(dtype, place, count) {
    return new ARRAYS[dtype](this.memory.buffer, place, count);
  }

  text(place) {
    const bytes = new Uint8Array(this.memory.buffer);
    return new TextDecoder().decode(bytes.subarray(place, bytes.indexOf(0, place)));
  }

  run(part, given, told) {
    const before = this.top;
    const names = (part.dims ?? []).map(([name]) => name);
    const sizes = new Map(names.map((name) => [name, told[name]]));
    for (const [name, size] of sizes) {
      if (Number.isSafeInteger(size) && size >= 0) continue;
      throw new TypeError(`${part.name}: the size ${name} is a whole number, in a second object`);
    }
    const leaves = new Array(part.arguments.length);
    const parameters = [...part.positional, ...part.keywords];
    take(["dict", parameters], given, part.name, leaves);
    const known = ({ dtype, name, shape }) => ({ dtype, name, shape: shape.map(sizeIn(sizes)) });
    const [inward, outward] = [part.arguments.map(known), part.results.map(known)];
    const values = inward.map((a, i) => elements(a, leaves[i], `${part.name}: ${a.name}`));
    const dims = Array.from(sizes.values(), BigInt);
    try {
      const inputs = inward.map((a) => this.place(bytes(a)));
      const outputs = outward.map((a) => this.place(bytes(a)));
      const workspace = this.place(this.workspaceBytes(part, dims));
      const state = part.state.length ? [this.state] : [];
      inward.forEach((a, i) => this.view(a.dtype, inputs[i], count(a)).set(values[i]));
      const pointers = [...state, ...inputs, ...outputs, workspace];
      this.checked(part.name, this.call(part.name, ...dims, ...pointers));
      const results = outward.map((a, i) => this.result(a, outputs[i]));
      return built(part.tree, results);
    } finally {
      this.top = before;
    }
  }

  workspaceBytes(part, dims) {
    if (typeof part.workspace_bytes === "number") return part.workspace_bytes;
    return Number(this.call(`${part.name}_workspace_bytes`, ...dims));
  }

  result(buffer, place) {
    const view = this.view(buffer.dtype, place, count(buffer));
    if (buffer.shape.length) return view.slice();
    return buffer.dtype === "bool" ? view[0] !== 0 : view[0];
  }

  /** The members of the state by name: views of arrays, and numbers, which may be set. */
  members() {
    const found = Object.create(null);
    for (const member of this.description.state) {
      const key = member.key ?? member.name;
      if (key === "") continue; // the mark of the layout
      const place = this.state + member.offset;
      const view = () => this.view(member.dtype, place, count(member));
      Object.defineProperty(found, key, {
        enumerable: true,
        get: () => (member.shape.length ? view() : this.result(member, place)),
        set: (value) => view().set(elements(member, value, key)),
      });
    }
    return found;
  }

  saved() {
    const before = this.top;
    try {
      const place = this.place(this.description.state_bytes);
      this.checked("save_state", this.call("save_state", this.state, place));
      return this.view("u8", place, this.description.state_bytes).slice();
    } finally {
      this.top = before;
    }
  }

  loadState(bytes) {
    const size = this.description.state_bytes;
    const given = elements({ dtype: "u8", shape: [size] }, bytes, "a saved state");
    const before = this.top;
    try {
      const place = this.place(size);
      this.view("u8", place, size).set(given);
      this.checked("load_state", this.call("load_state", this.state, place));
    } finally {
      this.top = before;
    }
  }

  printTo(print) {
    const table = this.exports.__indirect_function_table;
    if (!this.exports[`${NAME}_set_print`]) return;
    if (!table) throw new Error(`${NAME} was linked without a table for functions that print`);
    const printed = (user, site, text, size, values) => {
      const found = Array.from({ length: size }, (_, i) => this.printed(values + 16 * i));
      print(site, this.text(text), found);
    };
    const index = table.grow(1);
    table.set(index, callable(printed));
    this.call("set_print", index, 0);
  }

  printed(place) {
    const [dtype, rank, shape, data] = this.view("i32", place, 4);
    const sizes = Array.from(this.view("i64", rank ? shape : 0, rank), Number);
    const size = sizes.reduce((a, b) => a * b, 1);
    return { shape: sizes, elements: this.view(PRINTED[dtype], size ? data : 0, size).slice() };
  }
}

/** A function of five i32 as WebAssembly has it in tables: a module that exports its import. */
function callable(f) {
  const five = [0x7f, 0x7f, 0x7f, 0x7f, 0x7f];
  const module = new WebAssembly.Module(Uint8Array.of(
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    1, 9, 1, 0x60, 5, ...five, 0,
    2, 7, 1, 1, 0x65, 1, 0x66, 0, 0,
    7, 5, 1, 1, 0x66, 0, 0,
  ));
  return new WebAssembly.Instance(module, { e: { f } }).exports.f;
}

const aligned = (place) => Math.ceil(place / ALIGNMENT) * ALIGNMENT;
const count = (buffer) => buffer.shape.reduce((a, b) => a * b, 1);
const bytes = (buffer) => count(buffer) * ARRAYS[buffer.dtype].BYTES_PER_ELEMENT;

/** Gives numbers for sizes: numbers, or expressions of dimensions with + - * // and min. */
function sizeIn(sizes) {
  let words = [];
  const next = (...wanted) => wanted.includes(words.at(-1));
  const sum = () => {
    const start = next("-") && words.pop() ? -product() : product();
    return rest(start, product, { "+": (a, b) => a + b, "-": (a, b) => a - b });
  };
  const product = () => {
    return rest(factor(), factor, { "*": (a, b) => a * b, "//": (a, b) => Math.floor(a / b) });
  };
  const rest = (start, part, operations) => {
    let found = start;
    while (next(...Object.keys(operations))) found = operations[words.pop()](found, part());
    return found;
  };
  const inside = () => {
    const found = [sum()];
    while (words.pop() === ",") found.push(sum());
    return found;
  };
  const factor = () => {
    const word = words.pop();
    if (word === "min" && next("(")) return words.pop() && Math.min(...inside());
    if (word === "(") return inside()[0];
    return /^[0-9]/.test(word) ? Number(word) : sizes.get(word);
  };
  return (size) => {
    if (typeof size === "number") return size;
    words = size.match(/\/\/|\w+|[-+*(),]/g).reverse();
    return sum();
  };
}

/** The leaves of a value that is built as the tree is, by their numbers. */
function take(tree, value, path, leaves) {
  if (typeof tree === "number") {
    leaves[tree] = value;
    return;
  }
  const [kind, children = []] = tree;
  if (kind === "none") {
    if (value !== null && value !== undefined) throw new TypeError(`${path} is null`);
    return;
  }
  const keys = children.map(([key]) => String(key));
  const isList = kind === "list" || kind === "tuple";
  const fits = value !== null && typeof value === "object" && (!isList || Array.isArray(value));
  const given = fits ? Object.keys(value) : [];
  if (!fits || given.length !== keys.length || !keys.every((key) => given.includes(key))) {
    throw new TypeError(`${path} takes ${keys.join(", ") || "nothing"}, not ${given.join(", ")}`);
  }
  for (const [key, child] of children) take(child, value[key], `${path}.${key}`, leaves);
}

/** What is given for a buffer, as its elements; an error where that is something else. */
function elements(buffer, given, name) {
  const wanted = ARRAYS[buffer.dtype];
  if (!buffer.shape.length) return [single(buffer.dtype, given, name)];
  if (!(given instanceof wanted)) throw new TypeError(`${name} is no ${wanted.name}`);
  if (given.length === count(buffer)) return given;
  throw new RangeError(`${name} has ${given.length} elements, not ${count(buffer)}`);
}

function single(dtype, given, name) {
  if (dtype === "bool") {
    if (typeof given === "boolean") return given ? 1 : 0;
    throw new TypeError(`${name} is true or false`);
  }
  if (dtype[0] === "f") {
    if (typeof given === "number") return given;
    throw new TypeError(`${name} is a number`);
  }
  if (typeof given !== "bigint" && !Number.isInteger(given)) {
    throw new TypeError(`${name} is a whole number`);
  }
  const isLong = dtype.endsWith("64");
  const value = isLong ? BigInt(given) : Number(given);
  const held = ARRAYS[dtype].of(value);
  if (held[0] === value) return value;
  throw new RangeError(`${name} is ${dtype}, which ${given} does not fit`);
}

/** The arrays, built as the tree is. */
function built(tree, arrays) {
  if (typeof tree === "number") return arrays[tree];
  const [kind, children = []] = tree;
  if (kind === "none") return null;
  const items = children.map(([key, child]) => [key, built(child, arrays)]);
  if (kind === "list" || kind === "tuple") return items.map(([, item]) => item);
  return Object.fromEntries(items);
}
"""
