"""Batches of tokenised texts: which texts share one, and how far each is padded."""

from collections.abc import Iterator

import torch

PADDINGS = ("bucketed", "dynamic", "max_length")
BUCKET_BATCHES = 20  # batches that are sorted by length together


def tokenise(tokenizer, texts: list[str], max_seq_len: int) -> list[list[int]]:
    """Token ids of each text, cut to max_seq_len, without padding."""
    if not texts:
        return []
    return tokenizer(texts, truncation=True, max_length=max_seq_len)["input_ids"]


def pad(tokenizer, tokens: list[list[int]], length: int | None = None) -> dict:
    """input_ids and attention_mask, int64 of shape (n, longest or length)."""
    options = {"padding": "max_length", "max_length": length} if length else {}
    padded = tokenizer.pad({"input_ids": tokens}, return_tensors="pt", **options)
    return {name: padded[name] for name in ("input_ids", "attention_mask")}


def epoch_order(
    lengths: list[int], batch_size: int, padding: str, seed: int, epoch: int
) -> list[list[int]]:
    """Rows of each batch of an epoch, which seed and epoch alone decide.

    A run that was interrupted finds the rest of its epoch by leaving out the batches
    that it has seen. With "bucketed", texts are drawn at random, sorted by length
    within 20 batches, and the batches are shuffled.
    """
    random = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    order = torch.randperm(len(lengths), generator=random).tolist()
    if padding == "bucketed":
        bucket = BUCKET_BATCHES * batch_size
        order = [
            row
            for start in range(0, len(order), bucket)
            for row in sorted(order[start : start + bucket], key=lengths.__getitem__)
        ]
    cut = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    if padding == "bucketed":
        cut = [cut[i] for i in torch.randperm(len(cut), generator=random).tolist()]
    return cut


def by_length(lengths: list[int], batch_size: int) -> Iterator[list[int]]:
    """Rows of batches for prediction, where the order of texts is free: by length."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]
