"""XLM-RoBERTa (Conneau et al. 2019, arXiv:1911.02116): RoBERTa in a hundred languages."""

from __future__ import annotations

from lmcli.engine.encoders.roberta import read as read
