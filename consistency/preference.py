"""Preference pairs as Axolotl's preference methods train them: the prompt ends where the first token of the replies begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Sample = dict[str, Any]
# The rows that `consistency groups --preference` writes. Axolotl's schema of preference data has no key for most of this.
_ROWS = {
    "field_messages": "conversations",
    "message_property_mappings": {"role": "from", "content": "value"},
    "roles": {"user": ["human"], "assistant": ["gpt"]},
}


def preference_pairs(
    cfg: Any, dataset_idx: int = 0, **kwargs: Any
) -> tuple[Callable[[Sample, Any], Sample], dict[str, Any]]:
    """What makes prompt, chosen and rejected texts of a row: the prompt strategy of ``type: consistency.preference_pairs``.

    It is Axolotl's own ``chat_template.default`` with the prompt's end and beginning repaired. The trainer tokenizes the
    prompt alone and together with each reply, and takes the tokens behind the prompt's for the reply's. A prompt that
    ends in a space is one token longer alone, as the space belongs to the reply's first token (" A"), so that the letter
    of the answer would not be trained; the space goes to the replies. A beginning-of-sequence token that the template
    writes and the tokenizer adds once more is left to the tokenizer.

    Parameters
    ----------
    cfg : mapping
        The Axolotl config.
    dataset_idx : int
        Which of its datasets.

    Returns
    -------
    transform : callable
        Makes the texts of a row, given the tokenizer.
    options : dict
        Arguments of the map over the rows.
    """
    from axolotl.prompt_strategies.dpo.chat_template import default
    from axolotl.utils.dict import DictDefault

    dataset = {**cfg["datasets"][dataset_idx], **_ROWS}
    axolotls, options = default(DictDefault({**cfg, "datasets": [dataset]}), dataset_idx=0, **kwargs)

    def transform(sample: Sample, tokenizer: Any = None) -> Sample:
        made = axolotls(sample, tokenizer=tokenizer)
        prompt: str = made["prompt"]
        start = tokenizer.bos_token_id
        if start is not None and tokenizer(prompt)["input_ids"][:2] == [start, start]:
            prompt = prompt.removeprefix(tokenizer.bos_token)
        bare = prompt.rstrip(" ")
        space = prompt[len(bare) :]
        return {**made, "prompt": bare, "chosen": space + made["chosen"], "rejected": space + made["rejected"]}

    return transform, options
