"""How a trained checkpoint is used, for its model card: with lmcli, and with transformers alone."""

from __future__ import annotations

import json
import shlex
from textwrap import dedent

from lmcli.training.card import Card

_SENTIMENTS = {"positive", "negative", "neutral"}


def usage(card: Card) -> str:
    """The card's section with a command of lmcli's and the same in Python."""
    command = _command(card)
    shell = f"```sh\n{command}\n```" if command else "It is made to be fine-tuned: `lmcli finetune --help`."
    code = dedent(_PYTHON[card.recipe.task]).strip().replace("CHECKPOINT", json.dumps(card.name))
    return f"## Use\n\n{shell}\n\nWith transformers, in the folder that holds the checkpoint:\n\n```python\n{code}\n```"


def _command(card: Card) -> str:
    name = shlex.quote(card.name)
    if card.recipe.task == "classify":
        task = "sentiment" if card.labels and {label.lower() for label in card.labels} <= _SENTIMENTS else "classify"
        return f'lmcli {task} -m {name} "The text to judge"'
    target = card.languages[-1] if len(card.languages) > 1 else "zh"
    return {
        "translate": f"lmcli translate -m {name} --to {target} notes.txt",
        "summarize": f"lmcli summarize -m {name} report.txt",
        "chat": f"lmcli chat -m {name}",
        "generate": f'lmcli generate -m {name} "Once upon a time"',
        "masked": "",
    }[card.recipe.task]


_SEQ2SEQ = """
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(CHECKPOINT)
    model = AutoModelForSeq2SeqLM.from_pretrained(CHECKPOINT)
    tokens = model.generate(**tokenizer("The text to work on.", return_tensors="pt"))
    print(tokenizer.decode(tokens[0], skip_special_tokens=True))
    """
_PYTHON = {
    "classify": """
    from transformers import pipeline

    classifier = pipeline("text-classification", model=CHECKPOINT)
    print(classifier("The text to judge"))
    """,
    "translate": _SEQ2SEQ,
    "summarize": _SEQ2SEQ,
    "chat": """
    from transformers import pipeline

    chat = pipeline("text-generation", model=CHECKPOINT)
    print(chat([{"role": "user", "content": "Hello!"}], max_new_tokens=200)[0]["generated_text"][-1]["content"])
    """,
    "generate": """
    from transformers import pipeline

    generator = pipeline("text-generation", model=CHECKPOINT)
    print(generator("Once upon a time", max_new_tokens=100)[0]["generated_text"])
    """,
    "masked": """
    from transformers import pipeline

    fill = pipeline("fill-mask", model=CHECKPOINT)
    print(fill(f"The weather is {fill.tokenizer.mask_token} today."))
    """,
}
