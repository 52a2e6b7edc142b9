"""Mixing domains: how often each is drawn, and which of its segments a draw is.

weights.py       sizes -> weights, by temperature and cap
reweighting.py   a small model's excess losses -> weights, step by step (DoReMi)
draws.py         draw number i -> a domain and how often it was drawn before; epochs are bounded
order.py         the order of a domain's segments in an epoch, without holding it
mixture.py       the file that names domains, weights and bounds
"""
