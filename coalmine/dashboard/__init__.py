"""The live page and the HTTP API: what ``coalmine dashboard`` serves. Needs the extra ``dashboard``."""
