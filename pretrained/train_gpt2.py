"""Stage `gpt2`: a small GPT2LMHeadModel that knows the sentences of the world (Radford et al. 2019).

    python -m pretrained.train_gpt2            goes on from its checkpoint, if there is one

Needs PyTorch, transformers, numpy and what the stages before wrote.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import IterableDataset
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from pretrained.optimizing import Losses, command_line, device, drawn, export, fit, make_optimizer
from pretrained.text import DICTIONARY, documents
from pretrained.world import World

OUT, CHECKPOINT = Path("pretrained/gpt2"), Path("pretrained/checkpoints/gpt2.pt")
CHUNK = 2000  # documents that are tokenised at once


class Blocks(IterableDataset):
    """Endless batches [b x positions] of documents in a row: `caption <eot> caption <eot> ...`."""

    def __init__(self, settings: dict, seed: int, start: int = 0):
        self.settings, self.seed, self.start = settings, seed, start

    def __iter__(self) -> Iterator[Tensor]:
        worker = torch.utils.data.get_worker_info()
        rng = random.Random(f"{self.seed} {self.start} {worker.id if worker else 0}")
        tokenizer = PreTrainedTokenizerFast.from_pretrained(OUT)
        lines = DICTIONARY.read_text(encoding="utf-8").splitlines()
        source = documents(World(Path("pretrained/data")), lines, self.settings["dictionary_share"], rng)
        size = self.settings["batch_size"] * tokenizer.model_max_length
        ids: list[int] = []
        while True:
            while len(ids) < size:
                chunk = [text for _ in range(CHUNK) for text in next(source)]
                texts = [f" {text} {tokenizer.eos_token}" for text in chunk]
                ids += [token for row in tokenizer(texts)["input_ids"] for token in row]
            yield torch.tensor(ids[:size]).view(self.settings["batch_size"], -1)
            ids = ids[size:]


def gpt2_config(settings: dict, tokenizer: PreTrainedTokenizerFast) -> GPT2Config:
    """No dropout: the model is small, not the data."""
    return GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=tokenizer.model_max_length,
        n_embd=settings["width"],
        n_layer=settings["layers"],
        n_head=settings["width"] // 32,
        activation_function="gelu",  # by erf; GPT-2's approximation by tanh takes a CPU four times as long
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )


def train(settings: dict, seed: int, minutes: float, init: bool) -> None:
    """Until `steps` or `minutes` are over; checkpoint every five minutes, export at the end."""
    torch.manual_seed(seed)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(OUT)
    model = GPT2LMHeadModel(gpt2_config(settings, tokenizer)).to(device())
    if device() == "cpu":
        model.set_attn_implementation("eager")
    if init and not CHECKPOINT.exists():
        model.load_state_dict(GPT2LMHeadModel.from_pretrained(OUT).state_dict())
    optimizer = make_optimizer(model, settings, outer=("wte", "wpe"))

    def losses_from(step: int) -> Iterator[Losses]:
        for batch in drawn(Blocks(settings, seed, step), workers=8):
            ids = batch.to(device())
            with torch.autocast(device(), torch.bfloat16):
                logits = model(ids[:, :-1]).logits
            loss = nn.functional.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten())
            yield loss, {"loss": loss}

    fit(model, optimizer, CHECKPOINT, settings["steps"], minutes, losses_from)
    export(model, OUT, without=["lm_head.weight"])  # tied: the embeddings once more


def main() -> None:
    """The command line."""
    settings, arguments = command_line("gpt2", Path("pretrained/params.yaml"))
    train(settings, **arguments)


if __name__ == "__main__":
    main()
