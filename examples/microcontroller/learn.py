"""A microcontroller learns to read digits, and ends with the weights that Python ends with.

The training step, forward, backward and SGD, becomes 4 KB of code for a Cortex-M4; the program in
``main.c`` calls it on the device. Here the device is QEMU's; ``board.c`` and ``board.ld`` are all
that is of the board. Needs scikit-learn for the images, ``arm-none-eabi-gcc`` and
``qemu-system-arm``. Run with ``python examples/microcontroller/learn.py [folder]``.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import nets

HIDDEN, BATCH, EPOCHS, RATE = 64, 8, 4, 0.1
TRAINING, HELD_OUT = 400, 200
HERE = Path(__file__).parent


class Network:
    """64-64-10, in float32. The weights are the state of the exported library."""

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        first = rng.normal(size=(64, HIDDEN)) * np.sqrt(2 / 64)
        second = rng.normal(size=(HIDDEN, 10)) * np.sqrt(2 / HIDDEN)
        self.w1 = nets.Tensor(first.astype("float32"))
        self.b1 = nets.Tensor(np.zeros(HIDDEN, "float32"))
        self.w2 = nets.Tensor(second.astype("float32"))
        self.b2 = nets.Tensor(np.zeros(10, "float32"))

    @property
    def weights(self):
        return {"w1": self.w1, "b1": self.b1, "w2": self.w2, "b2": self.b2}

    def learn(self, images, labels):
        """One step of SGD on some images, (n, 64) bytes from 0 to 16; gives the loss before it."""
        loss, slopes = nets.value_and_grad(cross_entropy)(self.weights, images, labels)
        for name, weight in self.weights.items():
            weight.data = weight - RATE * slopes[name]
        return loss

    def read(self, image):
        """The digit on one image."""
        return scores(self.weights, image).argmax(axis=1)


def scores(weights, images):
    x = images.astype("float32") / 16
    return nets.relu(x @ weights["w1"] + weights["b1"]) @ weights["w2"] + weights["b2"]


def cross_entropy(weights, images, labels):
    chances = nets.log_softmax(scores(weights, images), axis=1)
    return -nets.take_along_axis(chances, labels[:, None], axis=1).mean()


def c_array(kind, name, values):
    return f"static const {kind} {name}[] = {{{', '.join(map(str, values.ravel()))}}};\n"


def write_data(path, images, labels):
    """The header with the images, and with how often to go through them."""
    split = TRAINING
    path.write_text(
        f"enum {{ TRAINING = {TRAINING}, HELD_OUT = {HELD_OUT}, EPOCHS = {EPOCHS} }};\n"
        + c_array("uint8_t", "images", images)
        + c_array("int32_t", "labels", labels[:split])
        + c_array("uint8_t", "answers", labels[split:])
    )


def trained_here(network, learn, read, images, labels):
    """What the device is to print."""
    lines = []
    for epoch in range(1, EPOCHS + 1):
        for start in range(0, TRAINING, BATCH):
            stop = start + BATCH
            loss = learn(images[start:stop], labels[start:stop])
        lines.append(f"epoch {epoch}: loss {int(np.float32(loss) * np.float32(10000))} / 10000")
    held_out = zip(images[TRAINING:], labels[TRAINING:], strict=True)
    right = sum(int(read(image[None])[0]) == label for image, label in held_out)
    lines.append(f"right: {right} of {HELD_OUT}")
    stored = b"".join(weight.numpy().tobytes() for weight in network.weights.values())
    return [*lines, f"weights: {zlib.crc32(stored):08x}"]


def trained_on_the_device(folder):
    """What the program prints in the emulator."""
    program = folder / "learn.elf"
    options = ["-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"]
    options += ["-std=c11", "-Os", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-nostdlib"]
    options += [
        "-Wl,--gc-sections,-z,noexecstack",
        "-ffunction-sections",
        "-T",
        HERE / "board.ld",
        f"-I{folder}",
    ]
    sources = [HERE / "main.c", HERE / "board.c", folder / "digits.a", "-lgcc"]
    subprocess.run(["arm-none-eabi-gcc", *options, *sources, "-o", program], check=True)
    board = ["-M", "mps2-an386", "-display", "none", "-monitor", "none", "-serial", "none"]
    console = ["-chardev", "stdio,id=c", "-semihosting-config", "enable=on,target=native,chardev=c"]
    command = ["qemu-system-arm", *board, *console, "-kernel", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def code_bytes(program, word):
    """What the code and the tables of an exported function take in the program."""
    command = ["arm-none-eabi-nm", "-S", program]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    sizes = [line.split() for line in lines if f" digits_{word}" in line]
    return sum(int(size, 16) for _, size, _, _ in sizes)


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    images, labels = load_digits(return_X_y=True)
    chosen = np.random.default_rng(0).permutation(len(images))[: TRAINING + HELD_OUT]
    images, labels = images[chosen].astype("uint8"), labels[chosen].astype("int32")

    network = Network(seed=0)
    learn, read = nets.trace(network.learn), nets.trace(network.read)
    image, label = nets.spec(f"u8[{BATCH}, 64]"), nets.spec(f"i32[{BATCH}]")
    nets.export(
        folder / "digits",
        target="thumbv7em-none-eabihf",
        optimize="size",
        formats=("a", "h"),
        learn=learn.lower(image, label),
        read=read.lower(nets.spec("u8[1, 64]")),
    )
    write_data(folder / "data.h", images, labels)
    expected = trained_here(network, learn, read, images, labels)
    needed = ("arm-none-eabi-gcc", "qemu-system-arm")
    for missing in [program for program in needed if shutil.which(program) is None]:
        print(f"{missing} is not installed: nothing to run {folder / 'digits.a'} on")
        return
    found = trained_on_the_device(folder)
    print("\n".join(found))
    assert found == expected, expected
    print("Python says the same.")
    for word in ("read", "learn"):
        print(f"{word} takes {code_bytes(folder / 'learn.elf', word):,} bytes of flash")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/microcontroller"))
