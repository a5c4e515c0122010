// The calls of model.py's lines.
import { readFile } from "node:fs/promises";
import { LibraryError, load } from "./demo.mjs";

function line(name, values) {
  console.log(`${name} ${Buffer.from(values.buffer).toString("hex")}`);
}

function refused(call) {
  try {
    call();
    console.log("taken");
  } catch (error) {
    const status = error instanceof LibraryError ? ` ${error.status}` : "";
    console.log(`${error.name}${status} ${error.message}`);
  }
}

const demo = await load();
const x = Float32Array.from({ length: 12 }, (_, i) => (i - 5) / 8);
const params = { b: Float32Array.of(0.5, -0.125), w: Float32Array.of(1, 2, -0.5, 0.25, 3, -1) };
const { out, norm, more } = demo.affine({ params, x, scale: 1.5 });
line("out", out);
line("norm", Float32Array.of(norm));
line("more", more[0]);
if (more[1] !== null) throw new Error("null");

const mixed = demo.mix({
  flags: Uint8Array.of(1, 0, 1, 1, 0),
  counts: Int32Array.of(1, -2, 3, 2147483647, -2147483648),
  octets: Uint8Array.of(0, 1, 127, 128, 255),
  big: -9007199254740993n,
  empty: new Float32Array(0),
  flag: true,
});
const kinds = [(a) => a, (a) => a, (a) => a, (a) => BigInt64Array.of(a), (a) => a];
kinds.push((a) => Uint8Array.of(a));
mixed.forEach((part, i) => line(`mix${i}`, kinds[i](part)));

const values = Float64Array.of(0.1, 0.25, -3, 1e300);
line("pick", demo.pick({ values, indices: BigInt64Array.of(3n, -4n) }));

const y = Float32Array.of(1, -1, 0.5, 2);
for (let i = 0; i < 3; i++) line("fit", Float32Array.of(demo.fit({ x, y })));
const saved = demo.saveState();
line("predict", demo.predict({ x }));
line("saved", saved);
if (demo.tick() !== null) throw new Error("null");
line("fit", Float32Array.of(demo.fit({ x, y })));
line("steps", BigInt64Array.of(demo.state.steps));
demo.loadState(saved);
line("predict", demo.predict({ x }));
line("steps", BigInt64Array.of(demo.state.steps));
demo.initState();
line("predict", demo.predict({ x }));

refused(() => demo.predict({ x: x.slice(1) }));
refused(() => demo.predict({ x: new Float64Array(12) }));
refused(() => demo.predict({ x, y }));
refused(() => demo.affine({ params: { b: params.b }, x, scale: 1 }));
refused(() => demo.affine({ params, x, scale: "1" }));
refused(() => demo.pick({ values, indices: BigInt64Array.of(0n, 7n) }));
refused(() => demo.loadState(saved.slice(3)));
const other = await load(await readFile(new URL("demo.wasm", import.meta.url)), {
  print: (site, text, printed) => console.log(site, text, JSON.stringify(printed[1].shape)),
});
other.state.steps = 5;
other.state.weight.fill(0);
console.log(demo.state.steps, other.state.steps, other.predict({ x }).every((a) => a === 0));
console.log(demo.shout({ x: 1.25 }), other.shout({ x: 1.25 }));
