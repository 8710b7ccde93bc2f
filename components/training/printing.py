"""What a training prints: lines to read, and in a terminal a bar below them."""

from collections.abc import Mapping

from tqdm.auto import tqdm
from transformers import ProgressCallback


class PrintedLog(ProgressCallback):
    """transformers' bar, which the environment silences in a log (see `flows`), with lines in place of its
    dictionaries: "step 200/2000  loss 0.85  lr 1.5e-3  2,600 tokens/s".
    """

    def on_train_begin(self, args, state, control, **kwargs) -> None:
        super().on_train_begin(args, state, control, **kwargs)
        if state.is_world_process_zero and state.global_step:
            self._print(f"goes on from step {state.global_step} of {state.max_steps}, its last checkpoint")

    def on_log(self, args, state, control, logs=None, **kwargs) -> None:
        if state.is_world_process_zero and (said := described(logs or {})):
            self._print(f"step {state.global_step}/{state.max_steps}  {said}")

    def _print(self, line: str) -> None:
        with tqdm.external_write_mode():  # the bar is moved out of the way
            print(line, flush=True)


def described(logs: Mapping[str, float]) -> str:
    """A record of the Trainer's log, of training or of a validation, in words; "" of any other."""
    if "eval_CIDEr" in logs:
        return f"validation: CIDEr {logs['eval_CIDEr']:.3f}  loss {logs['eval_loss']:.3f}"
    if "loss" not in logs:
        return ""
    rate = f"{logs['learning_rate']:.1e}".replace("e-0", "e-")
    return f"loss {logs['loss']:.3f}  lr {rate}  {logs['tokens_per_second']:,.0f} tokens/s"
