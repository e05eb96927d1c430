"""Data: files of examples to train on and to measure by, read whole and checked before they are used."""
