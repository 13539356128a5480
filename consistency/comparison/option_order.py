"""Where each option of a question stands in another log, by the texts of the options or by their labels."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise

from consistency.logs.documents import normalised
from consistency.logs.labels import are_options, label_of, labels_of
from consistency.logs.scores import Scores


def column_order(before: Scores, i: int, after: Scores, j: int) -> tuple[int, ...] | None:
    """The position of each option of a question in the other log: empty if in the same place, None if they differ."""
    first, second = before.continuations[i], after.continuations[j]
    count = int(before.n_options[i])
    if count != int(after.n_options[j]):
        return None
    if first == second and before.documents[i] == after.documents[j]:
        return ()
    texts_before = [normalised(t) for t in first]
    texts_after = [normalised(t) for t in second]
    same_texts = sorted(texts_before) == sorted(texts_after)
    if not same_texts or _are_labels(texts_before):
        if not _are_comparable(before, i, after, j):
            return None
        scored_before, scored_after = texts_before, texts_after
        texts_before = [normalised(t) for t in before.option_texts(i)]
        texts_after = [normalised(t) for t in after.option_texts(j)]
        are_own = are_options(first, before.documents[i]), are_options(second, after.documents[j])
        if same_texts and texts_before == texts_after and are_own[0] == are_own[1]:
            # The same options behind the same labels: the label says which is which, also of two that read the same.
            texts_before, texts_after = scored_before, scored_after
    if texts_before == texts_after:
        return ()
    if Counter(texts_before) != Counter(texts_after):
        return None
    # Of options that read the same, the right one is the right one of the other log.
    right_before, right_after = before.gold[i], after.gold[j]
    places: dict[str, list[int]] = defaultdict(list)
    for column, text in enumerate(texts_after):
        places[text].append(column)
    found = {}
    for column in sorted(range(count), key=lambda column: not right_before[column]):
        same = places[texts_before[column]]
        found[column] = same.pop(
            next((k for k, other in enumerate(same) if right_after[other] == right_before[column]), 0)
        )
    return tuple(found[column] for column in range(count))


def _are_labels(texts: list[str]) -> bool:
    """Whether the options are scored by a letter or a number, which says nothing about their content."""
    return all(label_of(text) or not text for text in texts)


def _are_comparable(before: Scores, i: int, after: Scores, j: int) -> bool:
    """Whether the places of two rows' options tell which they are, where the texts that are scored do not.

    So they do for the document's own options, for labels of two kinds, such as letters and numbers, and for labels beside texts.
    Rows that share some labels and not others, lack one, or have one twice, do not say which option is which.
    """
    first, second = before.continuations[i], after.continuations[j]
    if first == second or not (first and second):
        return True
    labels = labels_of(first), labels_of(second)
    # Of options that are numbers only some may look like labels.
    own = are_options(first, before.documents[i]), are_options(second, after.documents[j])
    for texts, found, is_own in zip((first, second), labels, own, strict=True):
        if not (found or is_own) and len(set(texts)) > 1 and any(label_of(text) for text in texts):
            return False
    shared = set(labels[0]) & set(labels[1])
    # Numbers from 0 and from 1 share some.
    return len(shared) in (0, len(first)) or all(
        is_own or _are_counted(found) for found, is_own in zip(labels, own, strict=True)
    )


def _are_counted(labels: tuple[str, ...]) -> bool:
    """Whether each label is the successor of the one before."""
    return all(ord(after) == ord(before) + 1 for before, after in pairwise(labels))
