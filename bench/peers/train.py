"""Trains a small Llama with parallel heads in PyTorch, for bench/train-against-peers.ts.

The one argument is JSON: {"path", "threads", "heads", "layers", "queryHeads", "headDim", "eps", "theta", "length",
"optimizer"}, where `path` is the safetensors file of the initial weights and `layers` counts the trunk's layers, the last
of which is head 1's. Prints {"ready": true}, then runs a step for each line {"tokens": [...], "targets": [[...], ...]}, with
a list of targets for each head, and answers with {"loss": 5.1, "seconds": 0.5}: the sum of the heads' mean losses.
"""

import json
import struct
import sys
import time

import torch
import torch.nn.functional as F

given = json.loads(sys.argv[1])
torch.set_num_threads(given["threads"])


def read_safetensors(path):
    with open(path, "rb") as file:
        size = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(size))
        data = bytearray(file.read())
    header.pop("__metadata__", None)
    return {
        name: torch.frombuffer(data, dtype=torch.float32, count=(end - begin) // 4, offset=begin).reshape(shape).clone()
        for name, (shape, (begin, end)) in ((name, (it["shape"], it["data_offsets"])) for name, it in header.items())
    }


weights = {name: value.requires_grad_() for name, value in read_safetensors(given["path"]).items()}
length, query_heads, head_dim, eps = (given[key] for key in ("length", "queryHeads", "headDim", "eps"))

angles = torch.arange(length)[:, None] * given["theta"] ** (-torch.arange(0, head_dim, 2) / head_dim)
cosines, sines = (torch.cat([f(angles)] * 2, -1) for f in (torch.cos, torch.sin))
mask = torch.full((length, length), float("-inf")).triu(1)


def norm(x, name):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weights[name + ".weight"]


def linear(x, name):
    return F.linear(x, weights[name + ".weight"])


def rotate(x):
    low, high = x.chunk(2, -1)
    return x * cosines + torch.cat([-high, low], -1) * sines


def attend(q, k, v):
    if hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return torch.softmax(q @ k.transpose(-1, -2) / head_dim**0.5 + mask, -1) @ v


def block(x, name):
    h = norm(x, name + "input_layernorm")
    q, k, v = (
        linear(h, name + f"self_attn.{part}_proj").unflatten(-1, (query_heads, head_dim)).transpose(1, 2) for part in "qkv"
    )
    attended = attend(rotate(q), rotate(k), v).transpose(1, 2).flatten(2)
    x = x + linear(attended, name + "self_attn.o_proj")
    h = norm(x, name + "post_attention_layernorm")
    return x + linear(F.silu(linear(h, name + "mlp.gate_proj")) * linear(h, name + "mlp.up_proj"), name + "mlp.down_proj")


def losses(tokens, targets):
    embedding = weights["model.embed_tokens.weight"]
    z = F.embedding(tokens, embedding)
    for layer in range(given["layers"] - 1):
        z = block(z, f"model.layers.{layer}.")
    for k in range(1, given["heads"] + 1):
        name = f"model.layers.{given['layers'] - 1}." if k == 1 else f"mtp.heads.{k}.layer."
        hidden = norm(block(z, name), "model.norm" if k == 1 else f"mtp.heads.{k}.norm")
        yield F.cross_entropy(F.linear(hidden, embedding).flatten(0, 1), targets[k - 1].flatten())


optimizer_options = given["optimizer"]
decays = [value for value in weights.values() if value.dim() > 1]
others = [value for value in weights.values() if value.dim() == 1]
optimizer = torch.optim.AdamW(
    [{"params": decays, "weight_decay": optimizer_options["weightDecay"]}, {"params": others, "weight_decay": 0}],
    lr=optimizer_options["learningRate"],
    betas=(optimizer_options["beta1"], optimizer_options["beta2"]),
    eps=optimizer_options["eps"],
    foreach=True,
)
print(json.dumps({"ready": True}), flush=True)

for line in sys.stdin:
    request = json.loads(line)
    tokens = torch.tensor(request["tokens"]).reshape(-1, length)
    targets = [torch.tensor(of_head).reshape(-1, length) for of_head in request["targets"]]
    start = time.perf_counter()
    optimizer.zero_grad(set_to_none=True)
    loss = sum(losses(tokens, targets))
    loss.backward()
    optimizer.step()
    print(json.dumps({"loss": loss.item(), "seconds": time.perf_counter() - start}), flush=True)
