"""One colour space for all pictures, the same in training and ever after."""

from PIL import Image, ImageOps


def to_rgb(image: Image.Image) -> Image.Image:
    """An opened picture as RGB: turned as EXIF says, transparency over white."""
    image = ImageOps.exif_transpose(image)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")
