"""An encoder with a linear layer on the mean of its tokens, and its folder."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoConfig, AutoModel


class TextClassifier(nn.Module):
    """Logits of k classes from the mean over a text's tokens.

    The mean, because sentence encoders such as MiniLM were trained on it; the first
    token's vector, which BertForSequenceClassification takes, was not.

    Args:
        encoder: any encoder of transformers whose answer has a last_hidden_state.
        n_classes: number of classes k.
        dropout: share of the mean's components that training drops.
    """

    def __init__(self, encoder: nn.Module, n_classes: int, dropout: float = 0.1):
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(encoder.config.hidden_size, n_classes)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor
    ) -> torch.Tensor:
        """Logits, shape (n, k), of tokens and mask, both int64 of shape (n, length)."""
        tokens = self.encoder(
            input_ids=input_ids, attention_mask=attention_mask
        ).last_hidden_state
        kept = attention_mask.unsqueeze(-1).to(tokens.dtype)
        mean = (tokens * kept).sum(1) / kept.sum(1).clamp(min=1)
        return self.head(self.dropout(mean))


def load_encoder(name: str) -> nn.Module:
    """The pretrained encoder in a folder, or of a model id on the Hugging Face Hub."""
    return AutoModel.from_pretrained(name).float()


def encoder_layers(encoder: nn.Module) -> nn.ModuleList:
    """The stack of transformer layers, wherever the architecture keeps it.

    Raises:
        ValueError: no list of modules has as many entries as the configuration says.
    """
    wanted = encoder.config.num_hidden_layers
    for module in encoder.modules():
        if isinstance(module, nn.ModuleList) and len(module) == wanted:
            return module
    raise ValueError(f"{type(encoder).__name__} has no list of {wanted} layers")


def freeze(model: TextClassifier, n_layers: int) -> list[nn.Module]:
    """Keep the embeddings and the first n layers as they are; 0 trains everything.

    Returns:
        The frozen modules, which are to stay in evaluation mode.

    Raises:
        ValueError: the encoder has fewer layers.
    """
    layers = encoder_layers(model.encoder)
    if not 0 <= n_layers <= len(layers):
        raise ValueError(f"freeze_layers is 0 to {len(layers)}, got {n_layers}")
    if n_layers == 0:
        return []
    if n_layers == len(layers):
        frozen: list[nn.Module] = [model.encoder]
    else:
        frozen = [model.encoder.embeddings, *layers[:n_layers]]
    for module in frozen:
        module.requires_grad_(False)
    return frozen


def save(model: TextClassifier, labels: list[str], folder: Path) -> None:
    """Write config.json, model.safetensors and labels.json."""
    model.encoder.config.save_pretrained(folder)
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors")
    (folder / "labels.json").write_text(json.dumps(labels))


def load(folder: Path) -> tuple[TextClassifier, list[str]]:
    """A saved model, in evaluation mode, and its labels in the order of the logits."""
    labels = json.loads((folder / "labels.json").read_text())
    encoder = AutoModel.from_config(AutoConfig.from_pretrained(folder)).float()
    model = TextClassifier(encoder, len(labels))
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return model.eval(), labels
