"""Stage `gpt2`: a small GPT2LMHeadModel that knows the sentences of the world (Radford et al. 2019).

    python -m pretrained.train_gpt2            goes on from its checkpoint, if there is one

Needs PyTorch, transformers, numpy and what the stages before wrote.
"""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from pretrained.optimizing import (
    Checkpoint,
    Schedule,
    command_line,
    export,
    make_optimizer,
    update,
)
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
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(seed)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(OUT)
    model = GPT2LMHeadModel(gpt2_config(settings, tokenizer)).to(device)
    if device == "cpu":
        model.set_attn_implementation("eager")
    if init and not CHECKPOINT.exists():
        model.load_state_dict(GPT2LMHeadModel.from_pretrained(OUT).state_dict())
    optimizer = make_optimizer(model, settings, outer=("wte", "wpe"))
    schedule = Schedule(optimizer, settings["steps"], minutes)
    checkpoint = Checkpoint(CHECKPOINT, model, optimizer)
    first = step = checkpoint.load(device)
    workers = {"num_workers": 8, "prefetch_factor": 8} if device == "cuda" else {}
    batches = iter(DataLoader(Blocks(settings, seed, step), batch_size=None, **workers))
    told = time.monotonic()
    total = 0.0
    while schedule.done(step) < 1:
        ids = next(batches).to(device)
        with torch.autocast(device, torch.bfloat16):
            logits = model(ids[:, :-1]).logits
        loss = nn.functional.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten())
        loss.backward()
        schedule.set(step)
        update(model, optimizer)
        step += 1
        total += float(loss.detach())
        if step % 100 == 0:
            shown, now = min(100, step - first), time.monotonic()
            print(f"step {step}  loss {total / shown:.3f}  {(now - told) / shown:.3f} s a step", flush=True)
            total, told = 0.0, now
        checkpoint.save_now_and_then(step)
    checkpoint.save(step)
    export(model, OUT, without=["lm_head.weight"])  # tied: the embeddings once more


def main() -> None:
    """The command line."""
    settings, arguments = command_line("gpt2", Path("pretrained/params.yaml"))
    train(settings, **arguments)


if __name__ == "__main__":
    main()
