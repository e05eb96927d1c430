"""CamemBERT (Martin et al. 2019, arXiv:1911.03894): RoBERTa in French."""

from __future__ import annotations

from lmcli.engine.encoders.roberta import read as read
