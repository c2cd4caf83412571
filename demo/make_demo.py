#!/usr/bin/env python3
"""Draws the pictures of the README. Needs Pillow and two fonts: a CJK one and a Latin one.

    make_demo.py CJK_FONT LATIN_FONT        (made with Noto Sans CJK SC and DejaVu Sans, Pillow 11)
"""
import os
import sys

from PIL import Image, ImageDraw, ImageFilter, ImageFont

HERE = os.path.dirname(os.path.abspath(__file__))


def delivery_note(cjk, latin):
    page = Image.new("RGB", (960, 720), (250, 249, 245))
    d = ImageDraw.Draw(page)
    zh = lambda n: ImageFont.truetype(cjk, n)
    en = lambda n: ImageFont.truetype(latin, n)
    ink = (32, 34, 40)
    d.rectangle([40, 40, 920, 120], fill=(36, 63, 110))
    d.text((64, 50), "送货单  Delivery Note", font=zh(42), fill="white")
    rows = [
        ("收货人：张晓明", "No. 2026-1187"),
        ("地址：杭州市西湖区文三路 90 号", "Date 23 Nov 2026"),
        ("电话：0571-8820 4416", "Page 1 of 1"),
    ]
    for i, (a, b) in enumerate(rows):
        d.text((64, 180 + i * 48), a, font=zh(26), fill=ink, anchor="ls")
        d.text((620, 180 + i * 48), b, font=en(24), fill=ink, anchor="ls")
    d.line([64, 306, 896, 306], fill=(120, 124, 136), width=2)
    goods = [("Graphics card, 16 GiB", "2", "8,398.00"), ("不锈钢机箱", "2", "1,260.00"), ("Power supply 850 W", "2", "1,498.00"), ("数据线 USB-C 2 米", "10", "350.00")]
    for i, (name, count, price) in enumerate(goods):
        y = 356 + i * 50
        d.text((64, y), name, font=zh(26), fill=ink, anchor="ls")
        d.text((600, y), count, font=en(25), fill=ink, anchor="ls")
        d.text((896, y), price, font=en(25), fill=ink, anchor="rs")
    d.line([64, 536, 896, 536], fill=(120, 124, 136), width=2)
    d.text((64, 590), "合计 Total", font=zh(32), fill=ink, anchor="ls")
    d.text((896, 590), "¥ 11,506.00", font=en(32), fill=(150, 30, 30), anchor="rs")
    note = Image.new("RGBA", (360, 70), (0, 0, 0, 0))
    ImageDraw.Draw(note).text((6, 6), "已签收 RECEIVED", font=zh(36), fill=(176, 40, 40, 255))
    note = note.rotate(8, expand=True, resample=Image.BICUBIC)
    page.paste(note, (500, 606), note)
    return page.filter(ImageFilter.GaussianBlur(0.4))


if __name__ == "__main__":
    delivery_note(*sys.argv[1:3]).save(os.path.join(HERE, "delivery_note.png"), optimize=True)
