"""Data larger than memory: packed files, their reader, the cache of decoded pictures. Five parts, each run alone.

    python benchmarks/data.py reader [--count 20000] [--rounds 3] [--zip FILE]
    python benchmarks/data.py training [--count 100000] [--rounds 3] [--iterations 100] [--width 16] [--device cuda]
    python benchmarks/data.py memory [--gigabytes 20]
    python benchmarks/data.py opening --zip FILE [--channels 3] [--rounds 2] [--before SRC]
    python benchmarks/data.py presets [--presets NAME,...] [--iterations 2] [--full] [--device cuda]

``reader``: random batches of 64 images of 64 x 64, from a packed file, from NumPy's memory map of the same bytes, and
from torchvision's ImageFolder and DataLoader with two workers on the JPEG files that were packed. ``--zip`` takes its
JPEG files instead of smooth random ones.

``training``: stacked-wae at 64 pixels from a packed file that is not in the page cache, against the same images in
memory; the share of time that it waits for data, as a run's log has it.

``memory``: `genae train` and `genae evaluate` over a packed file of random images, once over each of them. The resident
memory of the two processes along the way.

``opening``: `genae data FILE.zip` with an empty cache, then with a filled one, each in a new process; against a plain
loop that decodes with Pillow in threads, and with ``--before`` against the genae whose folder ``src`` is given.

``presets``: iterations of the presets for data that no memory holds, with their own networks, batch sizes and schedule,
on packed files of random images with halved levels: at the beginning of every level, and when it is blended in.
Networks are narrow unless ``--full`` is given. The resident memory at every level.

"Cold" means that the file is not in the system's page cache. The first line of each part says how much of it still is.
Whatever is below the system, such as the host of a virtual machine, may remember it. Files go to ``--folder``, by
default a temporary one; only Linux is able to forget a file.
"""

import argparse
import ctypes
import json
import mmap
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import PILToTensor
from turns import add_device, machine, wait_for

from genae.autoencoders import AUTOENCODERS
from genae.data import packing
from genae.data.packed import PackedStore
from genae.data.raw import Raw, in_memory
from genae.data.sources import ImageData, open_data, pack
from genae.data.store import Store
from genae.networks.layers import placed
from genae.settings.presets import PRESETS
from genae.training.checkpoint import RunFolder
from genae.training.config import resolve
from genae.training.precision import Precision
from genae.training.start import build_model
from genae.training.trainer import Trainer

BATCH = 64
SHAPE = (3, 64, 64)
LARGE = ("style-alae/ffhq1024", "stylegan/ffhq1024", "style-alae/bedroom256", "stylegan/bedroom256",
         "patch-vae/imagenet", "patch-vae/imagenet-gan-lw", "trunk-vae/imagenet")  # fmt: skip
NARROW: dict[str, dict[str, str]] = {
    "style-alae": {"width": "2", "most_channels": "32", "code_dim": "64"},
    "stylegan": {"width": "2", "most_channels": "32", "code_dim": "64"},
    "patch-vae": {"width": "16"},
    "trunk-vae": {"width": "16"},
}
"""What makes each model narrow."""
GENAE = [sys.executable, "-m", "genae"]


class Noise(Store):
    """Random images that are made when they are read, each from other bytes of a pool."""

    POOL, STEP = 64_000_000, 4_099

    def __init__(self, shape: tuple[int, int, int], total: int) -> None:
        self.shape, self.dtype, self.total = shape, torch.uint8, total
        self.pool = np.random.default_rng(0).integers(0, 256, self.POOL + self.row_bytes, dtype=np.uint8)

    def __len__(self) -> int:
        return self.total

    def read(self, indices: Tensor, halvings: int = 0) -> Tensor:
        """Images [B, C, H, W]."""
        begins = [number * self.STEP % self.POOL for number in indices.tolist()]
        rows = np.stack([self.pool[begin : begin + self.row_bytes] for begin in begins])
        return torch.from_numpy(rows.reshape(-1, *self.shape))


def packed_noise(
    path: Path, shape: tuple[int, int, int], total: int, *, levels: bool = False, held_out: Sequence[int] = (256, 256)
) -> ImageData:
    """A new packed file of random images; the last ones are for validation and test."""
    store = Noise(shape, total)
    parts = torch.arange(total).split([total - sum(held_out), *held_out])
    splits = dict(zip(("train", "validation", "test"), parts, strict=True))
    begun = time.perf_counter()
    raw = Raw(store, splits=splits, value_range=(0.0, 255.0))
    described = packing.Described(raw, *ImageData("noise", store, 0.0, 255.0, splits).digest_frame())
    packing.pack(packing.Packable(store, lambda good: described, "noise", "noise"), path, levels=levels)
    seconds = time.perf_counter() - begun
    size = path.stat().st_size
    print(f"packed {total:,} random images of {shape} ({size / 1e9:.2f} GB) in {seconds:.0f} s", flush=True)
    return open_data(path)


# --- what the system has in memory


def forget(*paths: Path) -> None:
    """The system shall have nothing of these files in memory."""
    for path in paths:
        with open(path, "rb") as file:
            os.fsync(file.fileno())  # what is not on the disk cannot be forgotten
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def remembered(path: Path) -> float:
    """The share of a file that the system has in memory."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
        pages = (ctypes.c_ubyte * -(-len(mapped) // mmap.PAGESIZE))()
        address = np.frombuffer(mapped, np.uint8).ctypes.data
        ctypes.CDLL(None).mincore(ctypes.c_void_p(address), ctypes.c_size_t(len(mapped)), pages)
        return float((np.frombuffer(pages, np.uint8) & 1).mean())


def resident(process: int | str = "self") -> tuple[float, float]:
    """Resident memory of a process in MB: now, and the most since it began or `begin_anew`; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0, 0.0
    sizes = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith(("VmRSS", "VmHWM"))}
    return int(sizes.get("VmRSS", 0)) / 1000, int(sizes.get("VmHWM", 0)) / 1000


def begin_anew() -> None:
    """From here on `resident` gives the most of what follows."""
    with suppress(OSError):  # where that is not allowed, it is the most since the process began
        Path("/proc/self/clear_refs").write_text("5")


def show(rates: dict[str, list[float]], base: str) -> None:
    """The median of every side, and its ratio to ``base`` round by round."""
    for name, values in rates.items():
        ratios = [a / b for a, b in zip(values, rates[base], strict=True)]
        span = f"{statistics.median(ratios):.2f}x ({min(ratios):.2f}-{max(ratios):.2f})"
        print(f"{name:42} {statistics.median(values):10,.0f} images/s   {span} of {base}")


# --- reader


def jpeg_folder(folder: Path, total: int, source: str | None) -> Path:
    """``total`` JPEG files in class folders."""
    if source:
        with zipfile.ZipFile(source) as archive:
            names = [name for name in archive.namelist() if name.lower().endswith((".jpg", ".jpeg"))][:total]
            for name in names:
                path = folder / "all" / name.replace("/", "-")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.read(name))
        return folder
    random = np.random.default_rng(0)
    for number in range(total):
        picture = Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize((64, 64))
        path = folder / str(number % 10) / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, quality=90)
    return folder


def memory_map(path: Path) -> Callable[[Tensor], object]:
    """Random rows of a packed file by NumPy."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        shape = tuple(json.loads(file.read(length))["images"]["shape"])
    array = np.memmap(path, np.uint8, "r", 8 + length, shape)
    return lambda indices: torch.from_numpy(array[indices.numpy()])


def loaded(folder: Path, batches: int) -> tuple[int, float]:
    """Images and seconds of a DataLoader from its fifth batch on, when its workers are at work."""
    images = ImageFolder(str(folder), PILToTensor(), loader=lambda path: Image.open(path).convert("RGB"))
    loader = iter(DataLoader(images, BATCH, shuffle=True, drop_last=True, num_workers=2))
    next(islice(loader, 4, None))
    begun = time.perf_counter()
    seen = sum(len(x) for x, _ in islice(loader, batches))
    return seen, time.perf_counter() - begun


def reader(arguments: argparse.Namespace, folder: Path) -> None:
    """Images/s of the reader alone."""
    jpegs, path = jpeg_folder(folder / "jpeg", arguments.count, arguments.zip), folder / "photos.genae"
    files = [file for file in jpegs.rglob("*") if file.is_file()]
    total = len(pack(str(jpegs), path, channels=3))
    data = open_data(path)
    batches = min(300, total // BATCH - 6)
    generator = torch.Generator().manual_seed(0)

    def random(draws: int) -> list[Tensor]:
        return [torch.randint(total, (BATCH,), generator=generator) for _ in range(draws)]

    def by(read: Callable[[Tensor], object]) -> float:
        parts = random(batches)
        begun = time.perf_counter()
        for part in parts:
            read(part)
        return batches * BATCH / (time.perf_counter() - begun)

    def ahead() -> float:
        parts = random(batches)
        begun = time.perf_counter()
        for _ in checked.read_ahead(parts, torch.device("cpu")):
            pass
        return batches * BATCH / (time.perf_counter() - begun)

    def theirs() -> float:
        seen, seconds = loaded(jpegs, batches)
        return seen / seconds

    checked = open_data(path).store
    for part in checked.chunks():
        checked.read(part)
    sides: dict[str, Callable[[], float]] = {
        "ImageFolder, DataLoader, 2 workers": theirs,
        "np.memmap": lambda: by(memory_map(path)),
        "packed, first pass, which checks": lambda: by(open_data(path).store.read),
        "packed, later passes": lambda: by(checked.read),
        "packed, later passes, read ahead": ahead,
    }
    rates: dict[str, list[float]] = {f"{name}{how}": [] for how in ("", ", cold") for name in sides}
    print(
        f"{machine('cpu')}; {total:,} images of {data.image_shape}, {batches} batches of {BATCH} at random", flush=True
    )
    for _ in range(arguments.rounds):
        for how in ("", ", cold"):
            for name, run in sides.items():
                if how:
                    forget(path, *files)
                rates[name + how].append(run())
    forget(path)
    print(f"forgotten files: {remembered(path):.1%} of the packed one is left in memory")
    show(rates, next(iter(sides)))


# --- training


def trained(data: ImageData, folder: Path, arguments: argparse.Namespace) -> tuple[float, float]:
    """Images/s and the share of time waiting for data, from the log of a run, without the first part of it."""
    images = arguments.iterations * BATCH
    settings = {"data": "noise", "images": images, "width": arguments.width, "patience": 0, "device": arguments.device}
    settings |= {"precision": arguments.precision, "validate_every": 10 * images, "checkpoint_every": 10 * images}
    config = resolve("stacked-wae/celeba64", settings, PRESETS, AUTOENCODERS)
    torch.manual_seed(0)
    model = placed(build_model(config, data.image_shape), torch.device(arguments.device))
    run = RunFolder(folder)
    run.prepare(0)
    lines: list[dict[str, float]] = []
    Trainer(config, run, data, model, lambda line: lines.append(dict(line))).go(  # type: ignore[call-overload]
        Precision(arguments.precision, "as --precision says")
    )
    wait_for(arguments.device)
    shutil.rmtree(folder)
    logged = [line for line in lines if "data_share" in line][1:]
    rates, shares = [line["images_per_second"] for line in logged], [line["data_share"] for line in logged]
    return statistics.harmonic_mean(rates), statistics.mean(shares)


def training(arguments: argparse.Namespace, folder: Path) -> None:
    """Images/s from a packed file that is not in memory, and from memory."""
    path = folder / "noise.genae"
    data = packed_noise(path, SHAPE, arguments.count)
    kept = replace(data, store=in_memory(data.store, "the packed file"))
    sides = {"in memory": kept, "packed, cold": data}
    if arguments.device != "cpu":
        sides["on the device"] = kept.to(torch.device(arguments.device))
    rates: dict[str, list[float]] = {name: [] for name in sides}
    shares: dict[str, list[float]] = {name: [] for name in sides}
    print(f"{machine(arguments.device)}; stacked-wae, width {arguments.width}, batch {BATCH}, {arguments.precision}")
    for number in range(arguments.rounds):
        for name in list(sides)[:: 1 if number % 2 else -1]:
            data = sides[name]
            if isinstance(data.store, PackedStore):
                data = open_data(path)  # nothing of it is checked yet
                forget(path)
                left = remembered(path)
            rate, share = trained(data, folder / "run", arguments)
            rates[name].append(rate)
            shares[name].append(share)
            print(f"round {number + 1}, {name}: {rate:,.1f} images/s, waiting for data {share:.2%}", flush=True)
    print(f"forgotten file: {left:.1%} of it was left in memory at the last start, {remembered(path):.0%} at its end")
    show(rates, "in memory")
    for name, values in shares.items():
        print(f"waiting for data, {name}: {statistics.median(values):.2%} (at most {max(values):.2%})")


# --- memory


def watched(command: Sequence[str], log: Path | None) -> tuple[float, float]:
    """Run a genae command, and say every few seconds how much memory it has; the least and the most at work, in MB."""
    print(f"$ genae {shlex.join(command)}", flush=True)
    begun = said = time.monotonic()
    process = subprocess.Popen([*GENAE, *command], stdout=subprocess.DEVNULL)
    seen: list[float] = []
    most = 0.0
    while process.poll() is None:
        time.sleep(0.5)
        now, peak = resident(process.pid)
        most = max(most, peak)
        if time.monotonic() - said >= 10 and now:
            said = time.monotonic()
            images = None
            if log:
                logged = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
                images = max((line.get("images", 0) for line in logged), default=0)
            if images != 0:  # before the first line of the log it is only beginning
                seen.append(now)
            done = "" if images is None else f", {images:,} images"
            print(f"  {said - begun:4.0f} s{done}: {now:7,.0f} MB resident, at most {most:,.0f} MB", flush=True)
    if process.returncode:
        raise SystemExit(f"genae {command[0]} ended with status {process.returncode}")
    work = seen[1:] or seen or [most]
    print(f"  ended after {time.monotonic() - begun:.0f} s: {min(work):,.0f} to {max(work):,.0f} MB along the way, "
          f"at most {most:,.0f} MB", flush=True)  # fmt: skip
    return max(work) - min(work), most


def memory(arguments: argparse.Namespace, folder: Path) -> None:
    """Resident memory while a packed file is gone over."""
    shape, path, run = (3, 256, 256), folder / "noise.genae", folder / "run"
    total = int(arguments.gigabytes * 1e9 / np.prod(shape))
    free = shutil.disk_usage(folder).free
    if free < 1.1e9 * arguments.gigabytes:
        raise SystemExit(f"{folder} has {free / 1e9:.1f} GB free; choose another --folder, or fewer --gigabytes")
    held = (256, total // 5)
    data = packed_noise(path, shape, total, held_out=held)
    print(f"the packing process: at most {resident()[1]:,.0f} MB resident")
    forget(path)
    images = len(data.split("train")) // BATCH * BATCH
    settings = {
        "networks": "dense", "norm": "none", "width": 16, "code-dim": 16, "batch-size": BATCH, "images": images,
        "validate-every": images, "checkpoint-every": images, "device": arguments.device,
    }  # fmt: skip
    flags = [f"--{name}={value}" for name, value in settings.items()]
    grown, most = watched(["train", "ae", "--data", str(path), "--run", str(run), *flags], run / "log.jsonl")
    others, above = watched(["evaluate", str(run), "--metrics", "mse,codes", "--split", "test"], None)
    print(
        f"{arguments.gigabytes:g} GB: at most {max(most, above):,.0f} MB resident; along the epoch it changed by "
        f"{grown:,.0f} MB, along the evaluation by {others:,.0f} MB"
    )


# --- opening


def plainly(path: str, channels: int) -> int:
    """Decode a zip into memory with Pillow in threads, as genae did before: how many pictures it has."""
    modes = {1: "L", 3: "RGB", 4: "RGBA"}
    with zipfile.ZipFile(path) as archive, ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as threads:
        names = [name for name in archive.namelist() if name.lower().endswith((".jpg", ".jpeg", ".png"))]

        def decoded(name: str) -> Tensor:
            with archive.open(name) as file, Image.open(file) as picture:
                array = np.asarray(picture.convert(modes[channels]))
            return torch.from_numpy(array.copy()).reshape(*array.shape[:2], -1).permute(2, 0, 1).contiguous()

        pictures = None
        for number, picture in enumerate(threads.map(decoded, names)):
            if pictures is None:
                pictures = torch.empty(len(names), *picture.shape, dtype=torch.uint8)
            pictures[number] = picture
    return len(names)


OPEN = """
import sys, time
import torch, PIL.Image
begun = time.perf_counter()
from genae.data.sources import open_data
open_data(sys.argv[1], channels=int(sys.argv[2]))
print(time.perf_counter() - begun)
"""


def opening(arguments: argparse.Namespace, folder: Path) -> None:
    """Seconds until a zip is open."""
    if not arguments.zip:
        raise SystemExit("opening needs --zip FILE")
    channels, cache = str(arguments.channels), folder / "cache"
    environment = os.environ | {"GENAE_CACHE": str(cache)}
    inspecting = ["-m", "genae", "data", arguments.zip, "--channels", channels]

    def seconds(command: list[str], path: str | None = None) -> float:
        added = {"PYTHONPATH": path} if path else {}
        begun = time.perf_counter()
        subprocess.run(
            [sys.executable, *command], env=environment | added, check=True, stdout=subprocess.PIPE, cwd=folder
        )
        return time.perf_counter() - begun

    def inside() -> float:
        command = [sys.executable, "-c", OPEN, arguments.zip, channels]
        return float(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout)

    def emptied(run: Callable[[], float]) -> float:
        shutil.rmtree(cache, ignore_errors=True)
        return run()

    sides: dict[str, Callable[[], float]] = {
        'python -c "import torch"': lambda: seconds(["-c", "import torch"]),
        "plain loop": lambda: seconds([__file__, "loop", "--zip", arguments.zip, "--channels", channels]),
        "genae data, first time": lambda: emptied(lambda: seconds(inspecting)),
        "genae data, later": lambda: seconds(inspecting),
        "open_data, first time, without imports": lambda: emptied(inside),
        "open_data, later, without imports": inside,
    }
    if arguments.before:
        sides["genae data, before"] = lambda: seconds(inspecting, arguments.before)
    times: dict[str, list[float]] = {name: [] for name in sides}
    print(f"{machine('cpu')}; {arguments.zip}", flush=True)
    for _ in range(arguments.rounds):
        for name, run in sides.items():
            times[name].append(run())
    for name, values in times.items():
        print(f"{name:42} {statistics.median(values):7.2f} s (min {min(values):.2f}, max {max(values):.2f})")
    base = "genae data, before" if arguments.before else "plain loop"
    for name in ("genae data, first time", "genae data, later"):
        ratios = [a / b for a, b in zip(times[base], times[name], strict=True)]
        print(f"{base} / {name}: {statistics.median(ratios):.2f}x (min {min(ratios):.2f}, max {max(ratios):.2f})")


# --- presets


def presets(arguments: argparse.Namespace, folder: Path) -> None:
    """Iterations of large presets, each preset in a process of its own."""
    made: dict[str, Path] = {}
    for name in arguments.presets.split(","):
        size = int(PRESETS[name]["size"])
        if str(size) not in made:
            made[str(size)] = folder / f"noise-{size}.genae"
            growing = "growth" in PRESETS[name]
            packed_noise(made[str(size)], (3, size, size), 600, levels=growing, held_out=(16, 16))
        command = [sys.executable, __file__, "preset", "--presets", name, "--packed", str(made[str(size)])]
        command += ["--iterations", str(arguments.iterations), "--accumulate", str(arguments.accumulate)]
        command += ["--device", arguments.device, *(["--full"] if arguments.full else [])]
        subprocess.run(command, check=True)


def points(changes: Sequence[int], growth: int) -> Iterator[tuple[int, str]]:
    """Numbers of images at which a schedule changes, and what is new there."""
    for number, images in enumerate(changes):
        yield images, "blended in" if number else ""
        if number:
            yield images + growth, ""


def preset(arguments: argparse.Namespace, folder: Path) -> None:
    """Iterations of one preset at every level."""
    name = arguments.presets
    narrow = {} if arguments.full else NARROW[name.partition("/")[0]]
    settings = {"data": arguments.packed, "device": arguments.device, "accumulate": arguments.accumulate, **narrow}
    config = resolve(name, settings, PRESETS, AUTOENCODERS)
    config = replace(config, precision=arguments.precision)
    data, device = open_data(arguments.packed), torch.device(arguments.device)
    torch.manual_seed(0)
    model = placed(build_model(config, data.image_shape), device)
    trainer = Trainer(config, RunFolder(folder / "run"), data, model, lambda line: None)
    said = "full width" if arguments.full else "narrowed: " + ", ".join(f"{k} {v}" for k, v in narrow.items())
    weights = sum(p.numel() for p in model.parameters())
    print(f"{name}, {said}, {weights / 1e6:.1f} million weights; {machine(arguments.device)}; {resident()[0]:,.0f} MB")
    for images, what in points(model.changes(), int(config.options.get("growth", 0))):
        stage = model.stage(images)
        begin_anew()
        trainer.waiting, begun = 0.0, time.perf_counter()
        for number in range(arguments.iterations):
            records = trainer.loop.iteration(images + number * stage.batch_size, stage.learning_rate)
        wait_for(device)
        seconds = (time.perf_counter() - begun) / arguments.iterations
        assert all(torch.isfinite(value).all() for record in records for value in record.values.values())
        now, most = resident()
        print(
            f"  {stage.resolution:4} px, batch {stage.batch_size:3}, from image {images:>11,} {what:10}: "
            f"{seconds:6.2f} s an iteration, {now:6,.0f} MB resident, at most {most:6,.0f} MB",
            flush=True,
        )
    trainer.feed.close()


PARTS: dict[str, Callable[[argparse.Namespace, Path], None]] = {
    "reader": reader, "training": training, "memory": memory, "opening": opening, "presets": presets, "preset": preset,
    "loop": lambda arguments, _: print(plainly(arguments.zip, arguments.channels)),
}  # fmt: skip
"""The last two are what other parts start as processes of their own."""


def main() -> None:
    """Run a part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS, metavar="PART", help="reader, training, memory, opening or presets")
    parser.add_argument("--folder", help="where files of the benchmark go; it needs as many GB as the part makes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, help="images; by default 20,000 for reader, 100,000 for training")
    parser.add_argument("--iterations", type=int, help="by default 100 for training, 2 for presets")
    parser.add_argument("--width", type=int, default=16, help="of stacked-wae")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--gigabytes", type=float, default=20.0)
    parser.add_argument("--zip", help="a zip of JPEG files")
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--before", help="the folder src of an earlier genae")
    parser.add_argument("--presets", default=",".join(LARGE))
    parser.add_argument("--full", action="store_true", help="networks as wide as the presets have them")
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--packed", help=argparse.SUPPRESS)
    add_device(parser)
    arguments = parser.parse_args()
    part = arguments.part
    arguments.count = arguments.count or (20_000 if part == "reader" else 100_000)
    arguments.iterations = arguments.iterations or (100 if part == "training" else 2)
    arguments.zip = arguments.zip and str(Path(arguments.zip).resolve())
    arguments.before = arguments.before and str(Path(arguments.before).resolve())
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        PARTS[part](arguments, Path(folder))


if __name__ == "__main__":
    main()
