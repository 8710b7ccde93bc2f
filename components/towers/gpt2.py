"""Language-model pre-training of a small `GPT2LMHeadModel` on captions (Radford et al. 2019)."""

import random
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import DataCollatorForSeq2Seq, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast, Trainer

from components.config import OfflineTowers
from components.towers.attention import choose_attention
from components.training.arguments import training_arguments


def gpt2_config(params: OfflineTowers, tokenizer: PreTrainedTokenizerFast) -> GPT2Config:
    """As wide as the vision tower (as 768 and 768 in the originals); no dropout: the model is small, not the
    data."""
    return GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=params.positions,
        n_embd=params.width,
        n_layer=params.gpt2_layers,
        n_head=max(1, params.width // 32),
        activation_function="gelu",  # by erf; GPT-2's approximation by tanh takes a CPU four times as long
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )


def documents(
    references: Sequence[Sequence[str]], tokenizer: PreTrainedTokenizerFast, seed: int
) -> list[list[int]]:
    """The captions of each picture in random order, two or three a document: `<eot> caption <eot> ... <eot>`.

    What a second caption says can be foreseen from the first, by whoever knows which drawing stands where. So
    the hidden states learn to ask for it; trained on single captions they hold grammar alone, and
    cross-attention finds no question in them.
    """
    shuffle = random.Random(seed).sample
    end, texts = tokenizer.eos_token, []
    for captions in references:
        order = shuffle(captions, len(captions))
        texts += [
            "".join(f"{end} {caption} " for caption in part) + end for part in (order[:2], order[2:]) if part
        ]
    return tokenizer(texts)["input_ids"]


def pretrain_gpt2(
    references: Sequence[Sequence[str]],
    tokenizer: PreTrainedTokenizerFast,
    params: OfflineTowers,
    seed: int,
    workdir: Path,
) -> GPT2LMHeadModel:
    """Train a `GPT2LMHeadModel` from scratch on the captions of each picture of the training split."""
    torch.manual_seed(seed)
    model = GPT2LMHeadModel(gpt2_config(params, tokenizer))
    model.loss_type = "ForCausalLM"  # transformers does not derive it from GPT-2's class name, and warns
    choose_attention(model)
    arguments = training_arguments(
        workdir,
        seed=seed,
        epochs=params.gpt2_epochs,
        batch_size=params.gpt2_batch_size,
        learning_rate=params.gpt2_learning_rate,
    )
    rows = [ids[: params.positions] for ids in documents(references, tokenizer, seed)]
    dataset = [{"input_ids": row, "labels": row} for row in rows]
    collator = DataCollatorForSeq2Seq(tokenizer)  # pads labels by -100, and does not take an end for padding
    Trainer(model, arguments, data_collator=collator, train_dataset=dataset).train()
    return model.eval()
