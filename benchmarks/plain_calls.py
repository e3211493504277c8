"""The steps of a Track 2 chain run as plain Pillow and numpy calls, for benchmarks.generation_chain.

Each function takes the picture that reaches a step and the values drawn in it, and returns a call without
arguments that makes the step's picture: boxes, masks, coefficients and sizes are worked out here, outside
the measured call. The one function of Encore in a measured call is `resize`, two Pillow calls that fix the
order of the passes.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from encore.data.augment.perspective import perspective_coefficients
from encore.data.augment.pixels import shuffled_positions
from encore.data.augment.resample import resize


def opened(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def written(image, quality):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


class PlainCalls:
    """Plain calls for one chain: its emojis, font and the files of the other pictures."""

    def __init__(self, size, assets, others):
        self.size = (size, size)
        self.assets = assets
        self.others = others
        self.makers = {
            "RandomApply(RandomRotation)": lambda image, v: lambda: image.rotate(v[1], Image.NEAREST),
            "RandomApply(random_pixelization)": self.pixelization,
            "RandomApply(random_shuffle_pixels)": self.shuffle_pixels,
            "RandomApply(random_perspective_transform)": self.perspective_transform,
            "RandomApply(random_padding)": self.pad,
            "RandomApply(random_image_underlay)": self.underlay,
            "RandomApply(ColorJitter)": self.jitter,
            "RandomApply(GaussianBlur)": lambda image, v: (
                lambda: image.filter(ImageFilter.GaussianBlur(v[1]))
            ),
            "RandomGrayscale": self.grey,
            "RandomHorizontalFlip": lambda image, v: lambda: image.transpose(Image.FLIP_LEFT_RIGHT),
            "random_emoji_overlay": self.emoji,
            "random_text_overlay": self.text,
            "RandomApply(random_image_overlay)": self.overlay,
            "Resize": lambda image, v: lambda: resize(image, self.size, Image.BILINEAR),
            "ToRGB": lambda image, v: lambda: image.convert("RGB"),
        }

    def crop(self, image, box):
        return lambda: resize(image.crop(box), self.size, Image.BILINEAR)

    def pixelization(self, image, values):
        small = tuple(int(side * values[1]) for side in image.size)
        return lambda: resize(resize(image, small), image.size)

    def shuffle_pixels(self, image, values):
        count = image.width * image.height
        to, source = shuffled_positions(count, int(values[1] * count))

        def call():
            pixels = np.array(image)
            rows = pixels.reshape(count, 3)
            rows[to] = rows[source]
            return Image.fromarray(pixels)

        return call

    def perspective_transform(self, image, values):
        coefficients = perspective_coefficients(image.size, values[1])
        return lambda: image.transform(image.size, Image.PERSPECTIVE, coefficients, Image.BICUBIC)

    def pad(self, image, values):
        left, top = int(values[1] * image.width), int(values[2] * image.height)
        size, colour = (image.width + 2 * left, image.height + 2 * top), tuple(values[3:6])

        def call():
            padded = Image.new("RGB", size, colour)
            padded.paste(image, (left, top))
            return padded

        return call

    def underlay(self, image, values):
        file, place = self.others[values[1] % len(self.others)], self.place(image, values[3:5])

        def call():
            other = opened(file)
            result = image.copy()
            result.paste(resize(other, (int(other.width * values[2]), int(other.height * values[2]))), place)
            return result

        return call

    def jitter(self, image, values):
        enhancers = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
        shift = int(values[2 + values[1].index(3)] * 255) & 255
        table = [(level + shift) & 255 for level in range(256)]

        def call():
            result = image
            for which, factor in zip(values[1], values[2:]):
                if which < 3:
                    result = enhancers[which](result).enhance(factor)
                else:
                    hue, saturation, value = result.convert("HSV").split()
                    result = Image.merge("HSV", (hue.point(table), saturation, value)).convert("RGB")
            return result

        return call

    def grey(self, image, values):
        def call():
            level = image.convert("L")
            return Image.merge("RGB", (level, level, level))

        return call

    def emoji(self, image, values):
        emoji, side = self.assets.emoji(values[5]), max(1, int(image.height * values[1]))
        table, place = [int(alpha * values[0]) for alpha in range(256)], self.place(image, values[2:4])

        def call():
            rgba = emoji.resize((side, side)).convert("RGBA")
            result = image.convert("RGBA")
            result.paste(rgba, place, rgba.getchannel("A").point(table))
            return result

        return call

    def text(self, image, values):
        """Both rounds: 10 values each, the last of which decides whether the round fires."""
        rounds = [values[start : start + 10] for start in range(0, len(values), 10)]
        rounds = [v for v in rounds if v[9] <= 0.3]
        font, (width, height) = self.assets.font, image.size

        def call():
            result = image
            for _, indices, red, green, blue, opacity, share, x, y, _ in rounds:
                result = result.convert("RGBA")
                mask, offset = font.glyphs(font.string(indices), int(min(width, height) * share))
                pen = ImageDraw.Draw(result).draw
                ink = pen.draw_ink((red, green, blue, round(opacity * 255)))
                pen.draw_bitmap((int(x * width + offset[0]), int(y * height + offset[1])), mask, ink)
            return result

        return call

    def overlay(self, image, values):
        file, size = (
            self.others[values[1] % len(self.others)],
            tuple(int(side * values[2]) for side in image.size),
        )

        def call():
            result = opened(file)
            result.paste(resize(image, size), self.place(result, values[3:5]))
            return result

        return call

    @staticmethod
    def place(image, share):
        return int(image.width * share[0]), int(image.height * share[1])
