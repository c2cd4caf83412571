#!/usr/bin/env python3
"""What `hpinfer stream` does on this machine: speed against the batch run, latency under load, many sources, memory, overload.

    benches/streams.py BINARY FOLDER [STEP ...]

Steps: throughput, load, sources, memory, overload; all of them when none is named. FOLDER keeps the videos made for it. Needs
ffmpeg, a filled cache (HPINFER_HOME) or a network, and a machine without other work: each step prints how many cores other
programs used meanwhile. HPINFER_FLAGS: further flags of all runs.
"""

import json
import os
import shlex
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE = REPOSITORY / "demo" / "delivery_note.png"
MINIATURE = REPOSITORY / "tests" / "fixtures" / "miniatures" / "classify"
FLAGS = shlex.split(os.environ.get("HPINFER_FLAGS", ""))
WIDTH, HEIGHT = 1920, 1080
FRAMES = 40
ROUNDS = 3


def ffmpeg(*arguments):
    subprocess.run(["ffmpeg", "-y", "-loglevel", "error", *map(str, arguments)], check=True)


def foreign_seconds():
    """Processor time of other programs since the machine started."""
    user, nice, system, _, _, irq, soft = map(int, Path("/proc/stat").read_text().split()[1:8])
    return (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK") - sum(os.times()[:4])


def make_inputs(folder):
    """A page that scrolls by a line a frame, as a video and as pictures of its very frames."""
    screen, pictures = folder / "screen.mp4", folder / "frames"
    if not screen.exists():
        scroll = f"scale={WIDTH}:-2,crop={WIDTH}:{HEIGHT}:0:'min(ih-{HEIGHT}\\,8*n)'"
        ffmpeg("-loop", 1, "-r", 25, "-i", PAGE, "-frames:v", FRAMES, "-vf", scroll, "-pix_fmt", "yuv420p", screen)
    if not pictures.exists():
        pictures.mkdir()
        ffmpeg("-i", screen, pictures / "frame_%04d.bmp")
    return screen, pictures


def batch(binary, inputs):
    return [binary, "--pipeline", "OCR", "--quiet", *FLAGS, "--input", *map(str, inputs)]


def stream(binary, *arguments):
    return [binary, "stream", "--pipeline", "OCR", *FLAGS, *map(str, arguments)]


def seconds(command):
    """Wall time and processor time of a command, that of its children included."""
    start, used = time.monotonic(), sum(os.times()[2:4])
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - start, sum(os.times()[2:4]) - used


def throughput(binary, folder):
    screen, pictures = make_inputs(folder)
    one = folder / "one.mp4"
    ffmpeg("-i", screen, "-frames:v", 1, one)
    first = next(pictures.iterdir())
    rates, used = {"batch": [], "stream": []}, {"batch": [], "stream": []}
    for _ in range(ROUNDS):
        for name, many, single in [
            ("batch", batch(binary, [pictures]), batch(binary, [first])),
            ("stream", stream(binary, "--quiet", "--input", screen), stream(binary, "--quiet", "--input", one)),
        ]:
            # Start, opening of the models and the first result are no part of a rate.
            (wall, processor), (wall_one, processor_one) = seconds(many), seconds(single)
            rates[name].append((FRAMES - 1) / (wall - wall_one))
            used[name].append((processor - processor_one) / (FRAMES - 1))
    for name, values in rates.items():
        shown = ", ".join(f"{value:.2f}" for value in values)
        costs = ", ".join(f"{value * 1e3:.0f}" for value in used[name])
        print(f"{name}: images/s {shown}; median {statistics.median(values):.2f}; processor ms an image {costs}")
    for what, of, over in [("images/s", rates["stream"], rates["batch"]), ("images a processor second", used["batch"], used["stream"])]:
        ratios = [a / b for a, b in zip(of, over)]
        print(f"stream / batch, {what}, pair by pair: {', '.join(f'{r:.3f}' for r in ratios)}; median {statistics.median(ratios):.3f}")
    return statistics.median(rates["stream"])


class Paced:
    """Frames on the standard input of a stream at times of our choice, and when their lines came."""

    def __init__(self, binary, screen, *arguments):
        decode = ["ffmpeg", "-loglevel", "error", "-i", str(screen), "-f", "rawvideo", "-pix_fmt", "bgr24", "-"]
        pixels = subprocess.run(decode, check=True, stdout=subprocess.PIPE).stdout
        size = WIDTH * HEIGHT * 3
        self.frames = [pixels[at : at + size] for at in range(0, len(pixels), size)]
        command = stream(binary, "--quiet", "--input", "-", "--raw-size", f"{WIDTH}x{HEIGHT}", *arguments)
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.due, self.came = [], {}
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.came[json.loads(line)["frame_id"]] = time.monotonic()

    def warm_up(self, count):
        """`count` frames one after the other."""
        for _ in range(count):
            self.put(time.monotonic())
            while len(self.came) < len(self.due):
                time.sleep(0.005)

    def put(self, due):
        self.due.append(due)
        self.process.stdin.write(self.frames[(len(self.due) - 1) % len(self.frames)])
        self.process.stdin.flush()

    def offer(self, rate, duration):
        """`rate` frames a second; the places of the first and behind the last one."""
        start, begin = time.monotonic(), len(self.due)
        for n in range(max(1, int(rate * duration))):
            due = start + n / rate
            time.sleep(max(0.0, due - time.monotonic()))
            self.put(due)
        return begin, len(self.due)

    def finish(self):
        self.process.stdin.close()
        self.reader.join()
        self.process.wait()

    def latencies(self, begin, end):
        return [self.came[n] - self.due[n] for n in range(begin, end) if n in self.came]


def percentiles(values):
    values = sorted(values)
    return statistics.median(values), values[min(len(values) - 1, int(len(values) * 0.99))]


def load(binary, folder, most=None):
    screen, _ = make_inputs(folder)
    most = most or throughput(binary, folder)
    for part in (0.5, 0.8):
        paced = Paced(binary, screen)
        paced.warm_up(4)
        begin, end = paced.offer(part * most, 60)
        paced.finish()
        p50, p99 = percentiles(paced.latencies(begin, end))
        print(f"{part:.0%} of {most:.2f} images/s, {end - begin} frames: latency p50 {p50 * 1e3:.0f} ms, p99 {p99 * 1e3:.0f} ms, p99/p50 {p99 / p50:.2f}")


def sources(binary, folder):
    screen, _ = make_inputs(folder)
    short = folder / "short.mp4"
    ffmpeg("-i", screen, "-frames:v", 6, short)
    start = time.monotonic()
    run = subprocess.run(stream(binary, *["--input", short] * 16), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    took = time.monotonic() - start
    seen = {}
    for line in map(json.loads, run.stdout.splitlines()):
        seen.setdefault(line["stream"], []).append(line["frame_id"])
    whole = sum(ids == list(range(6)) for ids in seen.values())
    print(f"16 sources: exit status {run.returncode}, {whole} of 16 streams whole and in order, {took:.1f} s; {run.stderr.strip()}")


def resident_mib(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def memory(binary, folder):
    screen, _ = make_inputs(folder)
    small, long = folder / "small.mp4", folder / "long.mp4"
    ffmpeg("-i", screen, "-vf", "scale=640:-2", small)
    for what, count, command in [
        ("one small network", 20000, ["--pipeline", "image_classification", "--model", MINIATURE]),
        ("OCR", 1000, ["--pipeline", "OCR"]),
    ]:
        ffmpeg("-stream_loop", count // FRAMES, "-i", small, "-frames:v", count, "-c", "copy", long)
        command = [binary, "stream", "--quiet", *FLAGS, *map(str, command), "--input", str(long)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        tenths = []
        for number, _ in enumerate(process.stdout, 1):
            if number % (count // 10) == 0 and number < count:
                tenths.append(resident_mib(process.pid))
            if number == count - 5:
                tenths.append(resident_mib(process.pid))
        process.wait()
        shown = ", ".join(f"{mib:.0f}" for mib in tenths)
        print(f"{what}, {number} frames: MiB after each tenth {shown}; last / first {tenths[-1] / tenths[0]:.3f}")


def overload(binary, folder, most=None):
    screen, _ = make_inputs(folder)
    most = most or throughput(binary, folder)
    paced = Paced(binary, screen, "--drop", "latest")
    paced.warm_up(4)
    calm = paced.offer(0.4 * most, 20)
    flood = paced.offer(4 * most, 20)
    fell = time.monotonic()
    after = paced.offer(0.4 * most, 20)
    paced.finish()
    for name, (begin, end) in [("before", calm), ("overload", flood), ("after", after)]:
        latencies = paced.latencies(begin, end)
        p50, p99 = percentiles(latencies)
        print(f"{name}: {end - begin} offered, {len(latencies)} answered; latency p50 {p50 * 1e3:.0f} ms, p99 {p99 * 1e3:.0f} ms")
    limit = percentiles(paced.latencies(*calm))[1]
    late = [paced.came[n] - fell for n in range(*after) if n in paced.came and paced.came[n] - paced.due[n] > limit]
    last = max((paced.came[n] - fell for n in range(*flood) if n in paced.came), default=0.0)
    print(f"the last frame of the overload came {last:.2f} s after it ended; the last one later than the calm p99 {max(late, default=0.0):.2f} s after it ended")


STEPS = {"throughput": throughput, "load": load, "sources": sources, "memory": memory, "overload": overload}


def main():
    if len(sys.argv) < 3 or not set(sys.argv[3:]) <= set(STEPS):
        sys.exit(__doc__)
    binary, folder = os.path.abspath(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    most = None
    for name in sys.argv[3:] or STEPS:
        foreign, start = foreign_seconds(), time.monotonic()
        print(f"== {name}", flush=True)
        if name in ("load", "overload"):
            most = most or throughput(binary, folder)
            STEPS[name](binary, folder, most)
        else:
            most = STEPS[name](binary, folder) or most
        cores = (foreign_seconds() - foreign) / (time.monotonic() - start)
        print(f"   other programs used {cores:.2f} cores meanwhile", flush=True)


main()
