"""Readers for every data format, mixing and inspection."""
