"""Answers that the tests of predict_fn must tell apart."""

import torch


def _blank(records):
    return [
        {"id": r["id"], "label": None, "scores": {}, "error": r["error"]}
        for r in records
    ]


def _texts(records):
    good = [i for i, record in enumerate(records) if record["error"] is None]
    return good, [records[i]["text"] for i in good]


def _tokens(tokenizer, texts):
    if not texts:
        return []
    limit = tokenizer.model_max_length
    return tokenizer(texts, truncation=True, max_length=limit)["input_ids"]


def _cut(order, tokens, budget):
    """Batches of rows in an order, within the budget."""
    batches = [[]]
    for row in order:
        longest = max(len(tokens[i]) for i in [*batches[-1], row])
        if batches[-1] and (len(batches[-1]) + 1) * longest > budget:
            batches.append([])
        batches[-1].append(row)
    return [batch for batch in batches if batch]


def _padded(rows, tokens, pad=0):
    longest = max(len(tokens[row]) for row in rows)
    ids = torch.full((len(rows), longest), pad, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for place, row in enumerate(rows):
        ids[place, : len(tokens[row])] = torch.tensor(tokens[row])
        mask[place, : len(tokens[row])] = 1
    return ids, mask


def _fill(answer, labels, p):
    answer["scores"] = dict(zip(labels, p, strict=True))
    answer["label"] = max(answer["scores"], key=answer["scores"].get)


def _answered(records, model, budget, order=None, mask_all=False, shuffled=False):
    module, tokenizer, labels = model
    answers, (good, texts) = _blank(records), _texts(records)
    tokens = _tokens(tokenizer, texts)
    order = (
        sorted(range(len(good)), key=lambda i: len(tokens[i]))
        if order is None
        else order
    )
    place = iter(range(len(good)))
    for rows in _cut(order, tokens, budget):
        ids, mask = _padded(rows, tokens)
        mask = torch.ones_like(mask) if mask_all else mask
        logits = module(input_ids=ids, attention_mask=mask)
        for row, p in zip(rows, logits.softmax(1).tolist(), strict=True):
            _fill(answers[good[next(place) if shuffled else row]], labels, p)
    return answers


def right_longest_first(records, model, max_batch_tokens=8192):
    # own padding, longest texts first
    module = model[0]
    module.eval()
    tokens = _tokens(model[1], _texts(records)[1])
    order = sorted(range(len(tokens)), key=lambda i: -len(tokens[i]))
    with torch.no_grad():
        return _answered(records, model, max_batch_tokens, order)


def wrong_answers_by_length(records, model, max_batch_tokens=8192):
    # sorted by length, and not sorted back
    model[0].eval()
    with torch.no_grad():
        return _answered(records, model, max_batch_tokens, shuffled=True)


def wrong_attends_to_padding(records, model, max_batch_tokens=8192):
    # padding counts as text
    model[0].eval()
    with torch.no_grad():
        return _answered(records, model, max_batch_tokens, mask_all=True)


def wrong_keeps_dropout(records, model, max_batch_tokens=8192):
    # the module stays in training mode
    with torch.no_grad():
        return _answered(records, model, max_batch_tokens)


def wrong_keeps_gradients(records, model, max_batch_tokens=8192):
    # memory for a backward pass that never comes
    model[0].eval()
    return _answered(records, model, max_batch_tokens)


def wrong_one_by_one(records, model, max_batch_tokens=8192):
    # right, and as slow as the model is without batches
    model[0].eval()
    with torch.no_grad():
        return _answered(records, model, 1)


def wrong_one_large_batch(records, model, max_batch_tokens=8192):
    # works until the file is large
    model[0].eval()
    with torch.no_grad():
        return _answered(records, model, 10**9)


def wrong_in_order_of_arrival(records, model, max_batch_tokens=8192):
    # short texts are padded to the length of chance neighbours
    model[0].eval()
    with torch.no_grad():
        good = _texts(records)[0]
        return _answered(records, model, max_batch_tokens, list(range(len(good))))


def wrong_drops_errors(records, model, max_batch_tokens=8192):
    # as many answers as good lines
    model[0].eval()
    with torch.no_grad():
        answers = _answered(records, model, max_batch_tokens)
    return [answer for answer in answers if answer["error"] is None]


def wrong_no_truncation(records, model, max_batch_tokens=8192):
    # long texts go in whole
    module, tokenizer, labels = model
    module.eval()
    answers, (good, texts) = _blank(records), _texts(records)
    tokens = tokenizer(texts)["input_ids"] if texts else []
    order = sorted(range(len(good)), key=lambda i: len(tokens[i]))
    with torch.no_grad():
        for rows in _cut(order, tokens, max_batch_tokens):
            ids, mask = _padded(rows, tokens)
            logits = module(input_ids=ids, attention_mask=mask)
            for row, p in zip(rows, logits.softmax(1).tolist(), strict=True):
                _fill(answers[good[row]], labels, p)
    return answers


def wrong_scores_are_logits(records, model, max_batch_tokens=8192):
    # numbers that do not sum to 1
    answers = right_longest_first(records, model, max_batch_tokens)
    for answer in answers:
        answer["scores"] = {k: 10 * v - 3 for k, v in answer["scores"].items()}
    return answers
