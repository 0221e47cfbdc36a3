"""Payloads that Temporal keeps but cannot read (docs/privacy.md): a key ring, a codec, and a server for its UI."""

from coalmine.encryption.codec import EncryptionCodec, data_converter
from coalmine.encryption.keys import KEYS_VARIABLE, KeyRing, new_key

__all__ = ["KEYS_VARIABLE", "EncryptionCodec", "KeyRing", "data_converter", "new_key"]
