"""The captioner as a pipeline of `transformers`."""

from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor
from transformers import BatchFeature, Pipeline

from components.features.text import begin


class CaptionPipeline(Pipeline):
    """`pipeline("image-text-to-text", model=..., trust_remote_code=True)`: pictures in, captions out.

    That of transformers asks for a text with each picture, and makes black of what is transparent.
    """

    _load_processor = True
    _load_tokenizer = _load_image_processor = _load_feature_extractor = _load_video_processor = False

    def __call__(self, images: Any, text: str | None = None, **kwargs: Any) -> Any:
        """Caption pictures.

        Args:
            images: a picture, or a list, generator or data set of them: PIL, files or URLs
            text: how each caption begins; default: as the model likes
            kwargs: of `generate`, in place of what was chosen for the model; batch_size; timeout (seconds, of
                a URL)

        Returns:
            of a picture `[{"generated_text": caption}, ...]`, one for each of `num_return_sequences`
        """
        return super().__call__(images, text=text, **kwargs)

    def _sanitize_parameters(
        self, text: str | None = None, timeout: float | None = None, **generate: Any
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        given = {"text": text, "timeout": timeout}
        return {name: value for name, value in given.items() if value is not None}, generate, {}

    def preprocess(
        self, image: Image.Image | str | Path, text: str = "", timeout: float | None = None
    ) -> BatchFeature:
        """A picture -> pixel_values [1 x 1 x 3 x H x W], and input_ids [1 x L] of what is to come first."""
        inputs = self.processor(images=_opened(image, timeout))
        if text:
            words = begin(self.tokenizer, text)
            inputs |= self.tokenizer(words, add_special_tokens=False, return_tensors="pt")
        return inputs

    def _forward(self, inputs: dict[str, Tensor], **generate: Any) -> dict[str, Tensor]:
        """-> token ids [pictures x captions of each x L]."""
        captions = self.model.generate(**inputs, **generate)
        return {"captions": captions.unflatten(0, (len(inputs["pixel_values"]), -1))}

    def postprocess(self, outputs: dict[str, Tensor]) -> list[dict[str, str]]:
        """Token ids of one picture [1 x captions x L] -> texts."""
        return [{"generated_text": said} for said in self.processor.batch_decode(outputs["captions"][0])]


def _opened(image: Image.Image | str | Path, timeout: float | None) -> Image.Image:
    if isinstance(image, Image.Image):
        return image
    if str(image).startswith(("http://", "https://")):
        import httpx  # imports slowly

        answer = httpx.get(str(image), timeout=timeout, follow_redirects=True).raise_for_status()
        return Image.open(BytesIO(answer.content))
    return Image.open(image)
