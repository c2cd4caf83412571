"""Pictures like photographs, for benchmarks: smooth light, edges, grain; the same at every run of one NumPy and Pillow.

Writes small (320x240), medium (640x480) and large (1920x1280) as JPEG of quality 90, and each JPEG as PNG.
Needs NumPy and Pillow.  Usage: python benches/photos.py FOLDER
"""
import pathlib, sys

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
for name, (width, height) in {"small": (320, 240), "medium": (640, 480), "large": (1920, 1280)}.items():
    random = np.random.default_rng(7)
    light = Image.fromarray(random.integers(0, 255, (12, 16, 3), dtype=np.uint8)).resize((width, height), Image.BICUBIC)
    draw = ImageDraw.Draw(light)
    for _ in range(120):
        x, y, side = random.random() * width, random.random() * height, (0.01 + 0.1 * random.random() ** 2) * width
        colour = tuple(int(v) for v in random.integers(0, 255, 3))
        shape = draw.ellipse if random.random() < 0.5 else draw.rectangle
        shape([x, y, x + side, y + side * (0.4 + random.random())], fill=colour)
    pixels = np.asarray(light.filter(ImageFilter.GaussianBlur(width / 1500)), dtype=np.float32)
    pixels = pixels + random.normal(0, 4, pixels.shape).astype(np.float32)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{name}.jpg", quality=90)
    Image.open(folder / f"{name}.jpg").save(folder / f"{name}.png")
