"""Mutation testing of ``coalmine.analysis``: small wrong changes, each of which a test must notice.

A seeded sample of all the changes of ``operators`` is drawn (``population``). Each runs in a forked child that has
numpy, scipy and pytest imported already, with the changed module in place of the real one, on the tests that reach the
changed line (``lines``, ``trial``). What survives is explained by hand in ``explained.toml`` (``explanations``).

mutmut leaves out code outside functions and decorated functions and draws no sample; cosmic-ray starts a process of its
own for each mutant, whose imports alone take longer than most of the tests. Hence a harness of our own.
"""
