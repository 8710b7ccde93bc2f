"""Stage `tokenizer`: a byte-level BPE vocabulary, in the two forms that CLIP and GPT-2 expect.

    python -m pretrained.tokenizer

One vocabulary serves both towers (Radford et al. 2019, section 2.2). The forms differ as the originals do:
CLIP's tokenizer adds `<|startoftext|>` and `<|endoftext|>` by itself and pools at the latter; GPT-2's adds
nothing and uses `<|endoftext|>` as both ends.
"""

import random
from collections.abc import Iterable
from pathlib import Path

import yaml
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from pretrained.text import write_dictionary
from pretrained.world import World

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


def main() -> None:
    """Train the vocabulary and write both forms into the towers' folders."""
    params = yaml.safe_load(Path("pretrained/params.yaml").read_text())
    settings, rng = params["tokenizer"], random.Random(params["seed"])
    world, dictionary = World(Path("pretrained/data")), write_dictionary()
    captions = [rng.choice(world.picture(rng).captions) for _ in range(settings["captions"])]
    bpe = train_bpe(captions + rng.sample(dictionary, settings["sentences"]), settings["vocab_size"])
    clip_tokenizer(bpe, settings["positions"]).save_pretrained("pretrained/clip")
    gpt2_tokenizer(bpe, settings["positions"]).save_pretrained("pretrained/gpt2")


if __name__ == "__main__":
    main()
