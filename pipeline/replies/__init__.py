"""Collect: what came back, sorted, and laid beside the letter it answers.

The order of reading: `kinds` (the words), `sorting` (the decision, one step after the other), then the
readers it asks: `origin` (did a program send this?), `bounces` and `reasons` (who did not get the letter, and
why), `absence` (automatic answers), `optouts`. The words they look for are data, in `rules/`.
"""
