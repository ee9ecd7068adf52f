"""Pictures of untrusted files, opened as pixels alone."""

from __future__ import annotations

import io

from PIL import Image, ImageOps

from wavebreak.errors import ClaimError

MAX_PIXELS = 60_000_000


def open_picture(raw: bytes) -> Image.Image:
    """Return a picture's pixels, upright, on white, and with nothing else; raises ClaimError."""
    try:
        with Image.open(io.BytesIO(raw), formats=("PNG", "JPEG", "GIF", "WEBP")) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise ClaimError(f"a picture of over {MAX_PIXELS:,} pixels", fix="give a smaller")
            if getattr(opened, "n_frames", 1) > 1:
                raise ClaimError(
                    "the picture is animated", fix="add the frames that matter as pictures"
                )
            upright = ImageOps.exif_transpose(opened).convert("RGBA")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise ClaimError("the picture is damaged", fix="give a sound one") from None
    plain = Image.new("RGB", upright.size, "white")
    plain.paste(upright, mask=upright.getchannel("A"))
    return plain
