"""The steps of the drip training's augmentation as AugLy 0.1.10 makes them, for benchmarks.drip_augmentation.

AugLy's own Pillow and numpy calls in its order: over RGBA and back, fonts, emojis and screenshots opened at
every use, masks from whole arrays. AugLy itself cannot stand here: 0.1.10 needs older Pillow and numpy. So
that the same pixels come out on every Pillow, a few things are Encore's: `resize` (two Pillow calls that fix
the order of the passes), corner coefficients, factors, the turned rectangle, and whole pixels for glyphs.
"""

from __future__ import annotations

import io
import json
import math
import os
import pickle

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

from encore.data.augment.perspective import box_without_border, perspective_coefficients
from encore.data.augment.pixels import square_factors
from encore.data.augment.resample import resize
from encore.data.augment.rotation import inscribed_box


class AugLyCalls:
    """The steps by name, for one assets folder, overlay pictures by id, a layout engine and a boxes file."""

    def __init__(self, folder, open_picture, engine, boxes):
        self.folder, self.open_picture, self.engine, self.boxes = folder, open_picture, engine, boxes

    def __call__(self, image, step):
        """The picture, or from the channel steps on the array, after `step`."""
        return getattr(self, step.name)(image, **step.parameters)

    def scale(self, image, factor):
        size = int(image.width * factor), int(image.height * factor)
        return resize(image, size, Image.LANCZOS if factor < 1 else Image.BILINEAR).convert(image.mode)

    def rotate(self, image, degrees):
        turned = image.rotate(degrees, expand=True)
        return turned.crop(inscribed_box(turned.size, image.size, degrees)).convert(image.mode)

    def perspective_transform(self, image, sigma, seed, crop_out_black_border, redrawn):
        coefficients = perspective_coefficients(image.size, sigma, seed)
        result = image.transform(image.size, Image.PERSPECTIVE, coefficients, Image.BICUBIC)
        if crop_out_black_border:
            result = result.crop(box_without_border(image.size, sigma, seed))
        return result.convert(image.mode)

    def encoding_quality(self, image, quality):
        file = io.BytesIO()
        image.convert("RGB").save(file, format="JPEG", quality=quality)
        return Image.open(file).convert("RGB")

    def color_jitter(self, image, brightness_factor, contrast_factor, saturation_factor):
        result = ImageEnhance.Brightness(image).enhance(brightness_factor)
        result = ImageEnhance.Contrast(result).enhance(contrast_factor)
        return ImageEnhance.Color(result).enhance(saturation_factor).convert(image.mode)

    def grayscale(self, image):
        return image.convert("L").convert("RGB").convert(image.mode)

    def opacity(self, image, level):
        rgba = image.convert("RGBA")
        mask = Image.fromarray((np.array(rgba.getchannel("A")) * level).astype(np.uint8))
        white = Image.new("RGBA", image.size, (255, 255, 255, 0))
        return Image.composite(rgba, white, mask).convert(image.mode)

    def resize(self, image, size, interpolation):
        return resize(image, size, Image.BICUBIC if interpolation is None else interpolation)

    def crop(self, image, x1, y1, x2, y2):
        width, height = image.size
        box = int(width * x1), int(height * y1), int(width * x2), int(height * y2)
        return image.crop(box).convert(image.mode)

    def pad(self, image, w_factor, h_factor, color):
        left, top = int(w_factor * image.width), int(h_factor * image.height)
        result = Image.new("RGB", (image.width + 2 * left, image.height + 2 * top), tuple(color))
        result.paste(image, (left, top))
        return result.convert(image.mode)

    def pad_square(self, image, color):
        return self.pad(image, *square_factors(image.size), color)

    def overlay_image(self, image, pool_id, underlay, opacity, overlay_size, x_pos, y_pos):
        other = self.open_picture(pool_id)
        below, above = (other, image) if underlay else (image, other)
        return self._paste(below, above, opacity, overlay_size, x_pos, y_pos).convert(image.mode)

    def overlay_emoji(self, image, emoji_path, opacity, emoji_size, x_pos, y_pos):
        emoji = Image.open(os.path.join(self.folder, "twemojis", emoji_path))
        return self._paste(image, emoji, opacity, emoji_size, x_pos, y_pos)

    def _paste(self, below, above, opacity, size, x, y):
        height = max(1, int(below.height * size))
        scaled = resize(above, (int(above.width * height / above.height), height))
        mask = scaled.convert("RGBA").getchannel("A")
        mask = Image.fromarray((np.array(mask) * opacity).astype(np.uint8))
        result = below.convert("RGBA")
        result.paste(scaled, (int(below.width * x), int(below.height * y)), mask)
        return result.convert(below.mode)

    def blur(self, image, radius):
        return image.filter(ImageFilter.GaussianBlur(radius)).convert(image.mode)

    def sharpen(self, image, factor):
        return ImageEnhance.Sharpness(image).enhance(factor).convert(image.mode)

    def shuffle_pixels(self, image, factor, seed):
        generator = np.random.RandomState(seed)
        pixels = np.array(image, dtype=int).reshape(image.width * image.height, -1)
        mask = generator.choice(len(pixels), size=int(factor * len(pixels)), replace=False)
        moved = pixels[mask]
        generator.shuffle(moved)
        pixels[mask] = moved
        pixels = np.squeeze(pixels.reshape(image.height, image.width, -1))
        return Image.fromarray(pixels.astype("uint8")).convert(image.mode)

    def overlay_stripes(
        self, image, line_width, line_color, line_angle, line_density, line_type, line_opacity
    ):
        mask = _stripes(image.size, line_width, line_angle, line_density)
        if line_type != "solid":
            across = line_width if line_type == "dotted" else 0.7
            mask *= _stripes(image.size, across, line_angle + 90, line_density)
        result = image.copy()
        mask = Image.fromarray(np.uint8(mask * line_opacity * 255))
        result.paste(Image.new("RGB", image.size, tuple(line_color)), (0, 0), mask=mask)
        return result.convert(image.mode)

    def overlay_text(self, image, text, font_file, font_size, opacity, color, x_pos, y_pos):
        result = image.convert("RGBA")
        font = self._font(font_file, int(min(image.size) * font_size))
        with open(self._font_path(font_file)[: -len(".ttf")] + ".pkl", "rb") as file:
            characters = pickle.load(file)
        string = "".join([chr(characters[index % len(characters)]) for index in text])
        ink = (color[0], color[1], color[2], round(opacity * 255))
        _write(result, x_pos * image.width, y_pos * image.height, string, font, ink)
        return result.convert(image.mode)

    def pixelization(self, image, ratio):
        small = resize(image, (int(image.width * ratio), int(image.height * ratio)))
        return resize(small, image.size).convert(image.mode)

    def hflip(self, image):
        return image.transpose(Image.FLIP_LEFT_RIGHT).convert(image.mode)

    def vflip(self, image):
        return image.transpose(Image.FLIP_TOP_BOTTOM).convert(image.mode)

    def meme_format(self, image, text, font_file, caption_height, opacity, text_color, meme_bg_color):
        pixels = caption_height - 10
        while True:
            font = self._font(font_file, pixels)
            line, (left, _, right, _) = font.getbbox("A")[3], font.getbbox(text)
            if right - left <= image.width - 10 and line <= caption_height - 10:
                break
            pixels -= 5
        result = Image.new("RGB", (image.width, image.height + caption_height), tuple(meme_bg_color))
        result.paste(image, (0, caption_height))
        x, y = round((image.width - (right - left)) / 2), round((caption_height - line) / 2)
        _write(result, x, y, text, font, tuple(text_color))
        return result.convert(image.mode)

    def overlay_onto_screenshot(self, image, template, crop_src_to_fit):
        picture = Image.open(template.path)
        with open(self.boxes, "rb") as file:
            left, upper, right, lower = json.load(file)[os.path.basename(template.path)]
        width, height = right - left, lower - upper
        source = self.scale(image, min(width / image.width, height / image.height))
        if crop_src_to_fit:
            x, y = (source.width - width) // 2, (source.height - height) // 2
            source = source.crop((x, y, x + width, y + height))
        if source.size != (width, height):
            black = Image.new("RGB", (width, height))
            black.paste(source, (max(0, (width - source.width) // 2), max(0, (height - source.height) // 2)))
            source = black
        picture.paste(source, (left, upper))
        return picture.convert(image.mode)

    def invert_channel(self, image, red, green, blue):
        result = np.array(image)
        for channel, on in enumerate((red, green, blue)):
            if on:
                result[..., channel] = 255 - result[..., channel]
        return result

    def swap_channels(self, image, order):
        return np.array(image)[..., order]

    def shift_channels(self, image, rows, columns):
        result = np.array(image)
        result[..., 0] = np.roll(result[..., 0], (rows, columns), (0, 1))
        result[..., 2] = np.roll(result[..., 2], (-rows, -columns), (0, 1))
        i, j = abs(rows), abs(columns)
        return result[i : len(result) - i, j : result.shape[1] - j]

    def _font_path(self, name):
        return os.path.join(self.folder, "fonts", name + ".ttf")

    def _font(self, name, pixels):
        return ImageFont.truetype(self._font_path(name), max(1, pixels), layout_engine=self.engine)


def _write(image, x, y, string, font, ink):
    """What Pillow 8.3.2's ImageDraw.text does."""
    mask, offset = font.getmask2(string, "L")
    pen = ImageDraw.Draw(image).draw
    pen.draw_bitmap((int(x + offset[0]), int(y + offset[1])), mask, pen.draw_ink(ink))


def _stripes(size, width, angle, density):
    columns, rows = size
    radians, distance = angle * math.pi / 180, (1 - density) * min(size)
    x, y = np.meshgrid(np.arange(columns) - columns / 2, np.arange(rows) - rows / 2)
    periods = math.sin(radians) / distance * x + math.cos(radians) / distance * y
    return (np.cos(2 * math.pi * periods) + 1) / 2 > (math.cos(math.pi * width) + 1) / 2
