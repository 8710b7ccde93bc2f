"""Language-model pre-training of a small `GPT2LMHeadModel` on captions (Radford et al. 2019)."""

from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast, Trainer, default_data_collator

from components.config import OfflineTowers
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
        activation_function="gelu_pytorch_tanh",  # GPT-2's own GELU, as one fused kernel
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )


def pack(captions: list[str], tokenizer: PreTrainedTokenizerFast, length: int, seed: int) -> torch.Tensor:
    """All captions in random order as one stream `<eot> caption <eot> caption ...`, cut into rows: [n x
    length]."""
    order = torch.randperm(len(captions), generator=torch.Generator().manual_seed(seed)).tolist()
    texts = [f"{tokenizer.bos_token} {captions[i]} " for i in order]  # the next row's BOS is its EOS
    stream = torch.tensor([token for ids in tokenizer(texts)["input_ids"] for token in ids])
    rows = max(1, len(stream) // length)
    return stream[: rows * length].view(rows, -1)


def pretrain_gpt2(
    captions: list[str], tokenizer: PreTrainedTokenizerFast, params: OfflineTowers, seed: int, workdir: Path
) -> GPT2LMHeadModel:
    """Train a `GPT2LMHeadModel` from scratch on `captions` (the training split's)."""
    torch.manual_seed(seed)
    model = GPT2LMHeadModel(gpt2_config(params, tokenizer))
    model.loss_type = "ForCausalLM"  # transformers does not derive it from GPT-2's class name, and warns
    # Short rows: a caption should be predicted from its own beginning, as the captioner will ask for it.
    rows = pack(captions, tokenizer, length=min(48, params.positions), seed=seed)
    arguments = training_arguments(
        workdir,
        seed=seed,
        epochs=params.gpt2_epochs,
        batch_size=params.gpt2_batch_size,
        learning_rate=params.gpt2_learning_rate,
    )
    dataset = [{"input_ids": row, "labels": row} for row in rows]
    Trainer(model, arguments, data_collator=default_data_collator, train_dataset=dataset).train()
    return model.eval()
