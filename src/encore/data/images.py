"""Opening pictures that may be broken or hostile."""

from __future__ import annotations

import io
import warnings


class RejectedImage(Exception):
    """A picture that cannot be used; `reason` says why in one line."""

    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


def decode_image(data):
    """Decode `data` (the bytes of one file) into a loaded PIL image in the file's own mode and size.

    Raises RejectedImage for an empty file, a file that is no picture, a truncated one, and one that Pillow
    refuses as a decompression bomb (more than about 179 million pixels). Nothing is converted here.
    """
    from PIL import Image

    if not data:
        raise RejectedImage("the file is empty (0 bytes)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data))
            image.load()
    except Image.DecompressionBombError as error:
        raise RejectedImage("too many pixels to open safely: {}".format(error)) from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise RejectedImage("not a readable picture: {}".format(_one_line(error))) from error
    return image


def _one_line(error):
    text = " ".join(str(error).split()) or type(error).__name__
    return text.replace("<_io.BytesIO object at ", "<").split(" <0x")[0][:200]
