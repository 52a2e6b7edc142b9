"""Tokenizers and chat templates: messages in, token segments with roles out."""
