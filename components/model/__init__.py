"""The captioner: CLIP and GPT-2, frozen, and the bridge between them."""

from transformers import AutoConfig, AutoModel, AutoModelForImageTextToText, AutoProcessor

from components.model.captioner import CaptionModel
from components.model.configuration import CaptionConfig
from components.model.inference import can_compile, for_inference, require_compiler
from components.model.processor import CaptionProcessor

AutoConfig.register(CaptionConfig.model_type, CaptionConfig, exist_ok=True)
AutoModel.register(CaptionConfig, CaptionModel, exist_ok=True)
AutoModelForImageTextToText.register(CaptionConfig, CaptionModel, exist_ok=True)
AutoProcessor.register(CaptionConfig, CaptionProcessor, exist_ok=True)

__all__ = [
    "CaptionConfig",
    "CaptionModel",
    "CaptionProcessor",
    "can_compile",
    "for_inference",
    "require_compiler",
]
