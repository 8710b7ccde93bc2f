"""A byte-level BPE tokenizer, trained on the captions, in the two forms that CLIP and GPT-2 expect.

One vocabulary serves both towers (Radford et al. 2019, section 2.2). The forms differ as the originals do:
CLIP's tokenizer adds `<|startoftext|>` and `<|endoftext|>` by itself and pools at the latter; GPT-2's adds
nothing and uses `<|endoftext|>` as both ends.
"""

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

BOS, EOS = "<|startoftext|>", "<|endoftext|>"


def train_bpe(captions: Iterable[str], vocab_size: int) -> Tokenizer:
    """Byte-level BPE of at most `vocab_size` entries (256 bytes, the two specials, merges), each merge seen
    twice."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=[EOS, BOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    # Captions follow a space in the model's text format (BOS + " " + caption): learn the words in that form.
    bpe.train_from_iterator((f" {caption}" for caption in captions), trainer)
    return bpe


def clip_tokenizer(bpe: Tokenizer, max_length: int) -> PreTrainedTokenizerFast:
    """The tokenizer in CLIP's form: `text` -> `<|startoftext|> text <|endoftext|>`, padded with the end
    token."""
    bpe = Tokenizer.from_str(bpe.to_str())
    ids = [(token, bpe.token_to_id(token)) for token in (BOS, EOS)]
    bpe.post_processor = processors.TemplateProcessing(single=f"{BOS} $A {EOS}", special_tokens=ids)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token=BOS, eos_token=EOS, pad_token=EOS, model_max_length=max_length
    )


def gpt2_tokenizer(bpe: Tokenizer, max_length: int) -> PreTrainedTokenizerFast:
    """The tokenizer in GPT-2's form: nothing is added, `<|endoftext|>` begins, ends and pads."""
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token=EOS, eos_token=EOS, pad_token=EOS, model_max_length=max_length
    )
