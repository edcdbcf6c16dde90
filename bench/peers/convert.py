"""Runs llama.cpp's convert_hf_to_gguf.py with what it needs of transformers, for bench/compare-converted.ts.

Arguments: the folder of llama.cpp's source, then those of the script. It recognizes how a byte-level tokenizer splits words by the
ids that well-known vocabularies give a text. The vocabularies here are others, and split as GPT-2 does.
"""

import json
import runpy
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace


class AutoConfig:
    """config.json with a default of Phi-3's configuration class that the script relies on."""

    @staticmethod
    def from_pretrained(directory, **_):
        config = json.loads((Path(directory) / "config.json").read_text())
        return SimpleNamespace(to_dict=lambda: {"original_max_position_embeddings": 4096, **config})


class AutoTokenizer:
    """The vocabulary of tokenizer.json."""

    is_fast = True

    @classmethod
    def from_pretrained(cls, directory, **_):
        return cls(*(json.loads((Path(directory) / f"tokenizer{end}.json").read_text()) for end in ("", "_config")))

    def __init__(self, whole, config):
        added = whole["added_tokens"]
        self.vocab_size = len(whole["model"]["vocab"])
        self.added = {token["content"]: token["id"] for token in added}
        self.vocab = {**whole["model"]["vocab"], **self.added}
        self.added_tokens_decoder = {token["id"]: SimpleNamespace(**token) for token in added}
        self.all_special_tokens = [config[name] for name in ("bos_token", "eos_token", "unk_token") if name in config]
        self.all_special_ids = [self.vocab[token] for token in self.all_special_tokens]

    def get_vocab(self):
        return self.vocab

    def get_added_vocab(self):
        return self.added

    def encode(self, token, add_special_tokens):
        return [self.added[token]]

    def decode(self, ids):
        return self.added_tokens_decoder[ids[0]].content


def module(name, **contents):
    sys.modules[name] = ModuleType(name)
    vars(sys.modules[name]).update(contents)


module("transformers", AutoConfig=AutoConfig, AutoTokenizer=AutoTokenizer)
# Imported for models with tokenizer.model.
module("sentencepiece", SentencePieceProcessor=None)
source = sys.argv.pop(1)
sys.path[:0] = [source, f"{source}/gguf-py"]
import torch  # noqa: E402

# Types of numbers that the script names and that older versions lack.
for kind in ("uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu"):
    if not hasattr(torch, kind):
        setattr(torch, kind, kind)
import conversion.base  # noqa: E402

conversion.base.TextModel.get_vocab_base_pre = lambda self, tokenizer: "gpt-2"
runpy.run_path(f"{source}/convert_hf_to_gguf.py", run_name="__main__")
