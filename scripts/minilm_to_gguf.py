"""Writes all-MiniLM-L6-v2 (safetensors + tokenizer.json, a sentence-transformers folder) as a GGUF file.

usage: minilm_to_gguf.py FOLDER OUT.gguf

BERT with mean pooling; matrices as F16, the rest F32. The names of the tensors come from the gguf package's own table.
"""

import json
import pathlib
import struct
import sys

import gguf
import numpy as np


def read_safetensors(path):
    """name -> float32 array; the format is an 8-byte little-endian header length, a JSON header, then the data"""
    raw = path.read_bytes()
    (size,) = struct.unpack_from("<Q", raw)
    header = json.loads(raw[8 : 8 + size])
    for name, info in header.items():
        if name == "__metadata__" or info["dtype"] != "F32":
            continue  # the position ids are integers, and GGUF has no use for them
        start, end = (8 + size + offset for offset in info["data_offsets"])
        yield name, np.frombuffer(raw[start:end], dtype=np.float32).reshape(info["shape"])


def vocabulary(tokenizer):
    """WordPiece as llama.cpp wants it: U+2581 before what starts a word, the "##" of continuations dropped"""
    control = {t["content"] for t in tokenizer["added_tokens"]}
    tokens, types = [], []
    for token, _ in sorted(tokenizer["model"]["vocab"].items(), key=lambda item: item[1]):
        if token in control:
            types.append(gguf.TokenType.CONTROL)
        else:
            types.append(gguf.TokenType.UNUSED if token.startswith("[unused") else gguf.TokenType.NORMAL)
            token = token[2:] if token.startswith("##") else "\u2581" + token
        tokens.append(token.encode())
    return tokens, types


def main(folder, out):
    folder = pathlib.Path(folder)
    config = json.loads((folder / "config.json").read_text())
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokens, types = vocabulary(tokenizer)
    ids = tokenizer["model"]["vocab"]

    writer = gguf.GGUFWriter(out, "bert")
    writer.add_name("all-MiniLM-L6-v2")
    writer.add_license("apache-2.0")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_token_type_count(config["type_vocab_size"])
    writer.add_tokenizer_model("bert")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_bos_token_id(ids["[CLS]"])
    writer.add_eos_token_id(ids["[SEP]"])
    writer.add_sep_token_id(ids["[SEP]"])
    writer.add_unk_token_id(ids["[UNK]"])
    writer.add_pad_token_id(ids["[PAD]"])
    writer.add_mask_token_id(ids["[MASK]"])

    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.BERT, config["num_hidden_layers"])
    for name, data in read_safetensors(folder / "model.safetensors"):
        new_name = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if new_name is None:
            continue  # the pooler, which mean pooling does not use
        is_lookup = name.endswith(("position_embeddings.weight", "token_type_embeddings.weight"))
        writer.add_tensor(new_name, data.astype(np.float16) if data.ndim == 2 and not is_lookup else data)

    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
