"""Ten pages as a scanner delivers them (28 lines each, blurred, a little askew) as one PDF, and its first page alone.

Needs Pillow 13.0.0 and a font with Chinese letters: python scanned_pages.py NotoSansSC-Regular.ttf FOLDER
"""

import random
import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter, ImageFont

LETTERS = "合同金额甲乙丙丁总计日期公司地址电话报告名称数量单价备注编号签字盖章付款方式交货时间"
PAPER = (250, 249, 246)


def main(font, folder):
    rng = random.Random(5)
    font = ImageFont.truetype(font, 30)
    pages = []
    for _ in range(10):
        page = Image.new("RGB", (1240, 1754), PAPER)
        draw = ImageDraw.Draw(page)
        for line in range(28):
            text = "".join(rng.choice(LETTERS) for _ in range(rng.randint(8, 26))) + f" {rng.randint(100, 99999)}"
            draw.text((90, 80 + line * 57), text, font=font, fill=(30, 30, 34))
        pages.append(page.filter(ImageFilter.GaussianBlur(0.6)).rotate(rng.uniform(-0.6, 0.6), fillcolor=PAPER))
    pages[0].save(folder / "ten.pdf", save_all=True, append_images=pages[1:], resolution=150, quality=85)
    pages[0].save(folder / "one.pdf", resolution=150, quality=85)


main(sys.argv[1], Path(sys.argv[2]))
