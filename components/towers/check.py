"""What is checked of a fetched tower before anything is trained on it.

Each of these mistakes can go through the whole pipeline and show only as empty or wrong captions.
"""

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from components.errors import UserError
from components.features.text import wrap
from components.towers.fetch import Tower, TowerName

TOLERATED = 0.02
"""Share of captions that may come back changed and of tokens that may be unknown: of rare signs."""


def check_tower(tower: TowerName, fetched: Tower, captions: Sequence[str]) -> None:
    """Model and tokenizer belong together, and the tokenizer can read and write `captions`.

    Raises:
        UserError: what does not fit, with an example and what to do.
    """
    tokenizer = fetched.tokenizer
    _check_vocabulary(tokenizer, fetched.model.config.get_text_config().vocab_size)
    if tower == "gpt2":
        _check_ends(tokenizer, fetched.model.config)
    _check_known(tokenizer, captions)
    if tower == "gpt2":
        _check_round_trip(tokenizer, captions)


def _check_vocabulary(tokenizer: PreTrainedTokenizerBase, vocab_size: int) -> None:
    """The model has an embedding for each token, and tokens for most of its embeddings: some models have a
    few more, to make a round number. Else it is another model's tokenizer, or an empty one.
    """
    if not vocab_size / 2 <= len(tokenizer) <= vocab_size:
        raise UserError(
            f"its tokenizer knows {len(tokenizer)} tokens, the model {vocab_size}: they do not belong "
            "together. Save the model's own tokenizer into the same folder."
        )


def _check_ends(tokenizer: PreTrainedTokenizerBase, config) -> None:
    """A language model begins and ends with the tokens that its tokenizer writes there; else captions would
    never end.
    """
    for name in ("bos_token_id", "eos_token_id"):
        expected, found = getattr(config, name), getattr(tokenizer, name)
        if expected != found:
            raise UserError(
                f"{name} is {found} in its tokenizer and {expected} in its config.json. Make them the same."
            )


def _check_known(tokenizer: PreTrainedTokenizerBase, captions: Sequence[str]) -> None:
    rows = tokenizer([f" {caption}" for caption in captions], add_special_tokens=False)["input_ids"]
    unknown = [row.count(tokenizer.unk_token_id) for row in rows]
    tokens = sum(map(len, rows))
    if sum(unknown) > TOLERATED * tokens:
        worst = captions[unknown.index(max(unknown))]
        raise UserError(
            f"its tokenizer does not know {sum(unknown)} of {tokens} tokens of {len(captions)} training "
            f"captions, most in '{worst[:60]}'. Choose a tower of their language."
        )


def _check_round_trip(tokenizer: PreTrainedTokenizerBase, captions: Sequence[str]) -> None:
    """What is encoded as for training decodes to itself.

    White space does not count, nor the spaces before punctuation that `transformers` cleans up: scores are of
    words.
    """

    def words(text: str) -> str:
        return tokenizer.clean_up_tokenization(" ".join(text.split()))

    rows = tokenizer([wrap(tokenizer, caption) for caption in captions], add_special_tokens=False)
    written = [tokenizer.decode(row, skip_special_tokens=True) for row in rows["input_ids"]]
    changed = [pair for pair in zip(captions, written, strict=True) if words(pair[0]) != words(pair[1])]
    if len(changed) > TOLERATED * len(captions):
        caption, back = changed[0]
        raise UserError(
            f"its tokenizer does not give back what it reads: {len(changed)} of {len(captions)} training "
            f"captions come out changed, '{caption[:60]}' as '{back.strip()[:60]}'. Choose a byte-level "
            "tokenizer, as GPT-2's."
        )
