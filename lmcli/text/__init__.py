"""Text before any model sees it: documents, sentences, languages."""
