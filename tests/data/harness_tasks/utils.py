"""What the tasks beside it ask, and how they score the answers."""

import re
from collections import Counter

import numpy as np

LETTERS = "ABCD"


def exam(doc):
    options = "\n".join(f"{letter}. {choice}" for letter, choice in zip(LETTERS, doc["choices"], strict=True))
    return f"{doc['question']}\n{options}\nAnswer:"


def prompts_of_a_pair(doc):
    # No other task asks so: lm_eval scores wrongly what continues one prompt as another prompt and an option's first token.
    return [f"It is written: {doc['question']} {value}" for value in doc["pair"]]


def probability_of_gold(doc, results):
    probabilities = np.exp([logprob for logprob, _ in results])
    labels = np.array(doc["mc2_targets"]["labels"])
    return {"acc": (probabilities / probabilities.sum())[labels == 1].sum()}


def without_markup(doc):
    return doc["page"].replace(" = ", "").replace(" . ", ". ").replace("\n ", "\n")


def words_and_bytes(doc, results):
    (logprob,) = results
    words, size = len(re.split(r"\s+", doc["page"])), len(doc["page"].encode())
    return {
        "word_perplexity": (logprob, words),
        "byte_perplexity": (logprob, size),
        "bits_per_byte": (logprob, size),
    }


def em_and_f1(doc, results):
    said, true = results[0].strip().removeprefix("is ").split(), doc["sentence"].partition(" is ")[2].split()
    common = sum((Counter(said) & Counter(true)).values())
    return {"em": float(said == true), "f1": 2 * common / (len(said) + len(true))}


def whole_sentences(resps, docs):
    return [[doc["question"] + text for text in texts] for texts, doc in zip(resps, docs, strict=True)]


def pass_at_k(references, predictions, k):
    """The chance that k of the samples, drawn without replacement, hold a right one (Chen et al. 2021)."""
    (texts,), (value,) = predictions, references
    right = np.array([text.endswith(f"is {value}.") for text in texts])
    n, wrong = len(right), int((~right).sum())
    return {f"pass@{i}": 1.0 - float(np.prod([max(wrong - j, 0) / (n - j) for j in range(i)])) for i in k}


def nearest_answers(doc, results):
    import sacrebleu

    def bleu(reference):
        return sacrebleu.corpus_bleu(results, [[reference]], use_effective_order=True).score

    right, wrong = (max(map(bleu, doc[f"{kind}_answers"])) for kind in ("correct", "incorrect"))
    return {"bleu_max": right, "bleu_acc": int(right > wrong), "bleu_diff": right - wrong}


def instructions_followed(doc, results):
    text = results[0]
    followed = [text.endswith("."), doc["choices"][doc["answer"]] in text, len(text) > 8][
        : 1 + len(doc["question"]) % 3
    ]
    return {"prompt_level_strict_acc": all(followed), "inst_level_strict_acc": followed}


def share_of_instructions(items):
    followed = [one for items_of_a_prompt in items for one in items_of_a_prompt]
    return sum(followed) / len(followed)


def whole_corpus(doc, results):
    text = results[0]
    right = doc["choices"][doc["answer"]] in text
    return {
        "distinct_words": text,
        "longest": len(text),
        "middle": len(text),
        "length_if_right": float(len(text)) if right else float("nan"),
        "letters": sum(letter.isalpha() for letter in text),
    }


def share_of_distinct_words(items):
    words = " ".join(items).split()
    return len(set(words)) / len(words)


def greatest(items):
    return max(items)
