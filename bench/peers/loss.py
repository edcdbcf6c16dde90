"""The loss of n heads over one unembedding, as PyTorch users compute it: for bench/loss-against-peers.ts.

The one argument is JSON: {"device", "dtype", "threads", "n", "T", "d", "V"}. The first line of the output lists the available
ways. Then the program answers each line of input with one line:

    {"way": "torch", "mode": "loss-and-grad"}  ->  {"seconds": 1.5, "bytes": 12345} or {"error": "out of memory"}
    {"clocks": true}                           ->  {"clocks": "1755 MHz, 643 W, 55 C"}, null without a GPU

`bytes` is the peak memory of a run beyond inputs and their gradients, which are allocated before it begins.
"""

import importlib
import json
import subprocess
import sys
import time

import torch
import torch.nn.functional as F

given = json.loads(sys.argv[1])
device = torch.device(given["device"])
dtype = getattr(torch, given["dtype"])
heads, rows, dim, vocab = (given[key] for key in ("n", "T", "d", "V"))
if device.type == "cpu":
    torch.set_num_threads(given["threads"])

generator = torch.Generator(device).manual_seed(1)


def leaf(*shape, scale=1.0):
    values = torch.rand(*shape, generator=generator, device=device) * 2 - 1
    return (values * scale).to(dtype).requires_grad_()


# A tensor for each head, because the gradient of a slice would have the size of the whole tensor in PyTorch.
hidden = [leaf(rows, dim) for _ in range(heads)]
weight = leaf(vocab, dim, scale=0.05)
targets = [torch.randint(vocab, (rows,), generator=generator, device=device) for _ in range(heads)]


def plain(h, target):
    # In float32, as in training recipes, because bfloat16 is too coarse for a sum of exponentials.
    return F.cross_entropy(F.linear(h, weight).float(), target)


def compiled():
    if device.type != "cuda":
        raise RuntimeError("only on a GPU")
    return torch.compile(plain)


def fused():
    return lambda h, target: F.linear_cross_entropy(h, weight, target, options={})


def liger():
    loss = importlib.import_module("liger_kernel.transformers").LigerFusedLinearCrossEntropyLoss()
    return lambda h, target: loss(weight, h, target)


def cce():
    loss = importlib.import_module("cut_cross_entropy").linear_cross_entropy
    return lambda h, target: loss(h, weight, target)


def quack():
    loss = importlib.import_module("quack.linear_cross_entropy").chunked_linear_cross_entropy
    return lambda h, target: loss(h, weight, target)


MAKERS = {
    "torch": lambda: plain,
    "torch-compile": compiled,
    "torch-fused": fused,
    "liger": liger,
    "cce": cce,
    "quack": quack,
}


def run(way, mode):
    """Runs the heads one after another, so that the logits of only one head exist at a time."""
    for h, target in zip(hidden, targets):
        if mode == "loss":
            with torch.no_grad():
                way(h, target)
        else:
            way(h, target).backward()


def clear_gradients():
    for tensor in [weight, *hidden]:
        tensor.grad = torch.zeros_like(tensor)


def resident(field):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))


def measure(way, mode):
    clear_gradients()
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    else:
        # Resets the peak resident size to the current one.
        with open("/proc/self/clear_refs", "w") as clear:
            clear.write("5")
        before = resident("VmRSS")
    start = time.perf_counter()
    run(way, mode)
    if device.type == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else resident("VmHWM")
    return {"seconds": seconds, "bytes": max(peak - before, 0)}


def clocks():
    query = ["nvidia-smi", "--query-gpu=clocks.sm,power.draw,temperature.gpu", "--format=csv,noheader,nounits"]
    try:
        clock, power, heat = subprocess.run(query, capture_output=True, text=True, check=True).stdout.split(",")
    except (OSError, subprocess.CalledProcessError, ValueError):
        return None
    return f"{clock.strip()} MHz, {power.strip()} W, {heat.strip()} C"


def say(answer):
    print(json.dumps(answer), flush=True)


def reason(error):
    return f"{type(error).__name__}: {error}".split("\n")[0]


ways, missing = {}, {}
for name, make in MAKERS.items():
    try:
        ways[name] = make()
        ways[name](hidden[0], targets[0]).backward()
    except Exception as error:  # any reason why it cannot run here
        missing[name] = reason(error)
        ways.pop(name, None)
say({"torch": torch.__version__, "ways": list(ways), "missing": missing})

for line in sys.stdin:
    request = json.loads(line)
    if "clocks" in request:
        say({"clocks": clocks()})
        continue
    try:
        say(measure(ways[request["way"]], request["mode"]))
    except RuntimeError as error:  # out of memory is one
        say({"error": reason(error)})
